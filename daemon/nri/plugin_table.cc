#include "daemon/nri/plugin_table.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/log.h"

namespace ocid {
namespace {

using Updates = PluginTable::Updates;

// A part of Synchronize. Well below the 4 MiB that a message may have: small parts are decoded while the
// next one is made.
constexpr size_t kSyncPartBytes = 1 << 20;

// For each part of Synchronize. Nobody waits for the plugin meanwhile, so it gets time for thousands of
// containers.
constexpr absl::Duration kSyncTimeout = absl::Seconds(20);

constexpr int kSyncRounds = 8;
constexpr size_t kFewContainers = 64;

// For how long after the last part was sent creates wait for a plugin at all.
constexpr absl::Duration kPatienceWindow = absl::Milliseconds(250);

bool CalledBefore(const std::shared_ptr<Plugin>& a, const std::shared_ptr<Plugin>& b) {
  return std::tie(a->info().index, a->info().name) < std::tie(b->info().index, b->info().name);
}

absl::Status CallFailed(std::string_view method, const RpcResult& result) {
  return absl::UnavailableError(
      absl::StrCat(absl::string_view(method.data(), method.size()), ": ", result.message));
}

}  // namespace

// One part of Synchronize, while it is put together.
class PluginTable::SyncMessage {
 public:
  void Add(const Entry& entry) {
    const EncodedContainer parts = WithState(entry.container->Describe(), entry.state);
    AppendMessage(nri::SynchronizeRequest::kPodsFieldNumber, parts.pod, bytes_);
    if (entry.state.state == nri::CONTAINER_STOPPED) return;
    AppendMessage(nri::SynchronizeRequest::kContainersFieldNumber, parts.container, bytes_);
  }

  size_t size() const { return bytes_.size(); }

  // Sends what was added and starts anew.
  absl::Status Send(Plugin& plugin, bool more, const std::function<void(const Updates&)>& apply) {
    nri::SynchronizeRequest tail;
    tail.set_more(more);
    tail.AppendToString(&bytes_);
    const RpcResult result = plugin.Call("Synchronize", bytes_, kSyncTimeout);
    bytes_.clear();
    if (!result.ok()) return CallFailed("Synchronize", result);
    nri::SynchronizeResponse response;
    if (!response.ParseFromString(result.payload)) {
      return absl::InvalidArgumentError("Synchronize: an answer that cannot be decoded");
    }
    if (more && (!response.more() || !response.update().empty())) {
      return absl::UnimplementedError("Synchronize: it does not take it in parts");
    }
    if (!more && !response.update().empty()) apply(response.update());
    return absl::OkStatus();
  }

 private:
  std::string bytes_;
};

absl::Status PluginTable::Synchronize(const std::shared_ptr<Plugin>& plugin,
                                      const std::function<void(const Updates&)>& apply) {
  Joining joining;
  joining.plugin = plugin;
  {
    MutexLock lock(mutex_);
    joining_.push_back(&joining);
  }
  const absl::Cleanup no_longer_joining = [&] {
    MutexLock lock(mutex_);
    std::erase(joining_, &joining);
    changed_.SignalAll();
  };
  const absl::Status sent = SendAll(*plugin, joining, apply);
  return sent.ok() ? CatchUp(plugin, joining) : sent;
}

std::vector<PluginTable::Entry> PluginTable::TakeUnsent(Joining& joining) {
  std::vector<Entry> unsent;
  for (const auto& [id, entry] : containers_) {
    if (joining.sent.insert(id).second) unsent.push_back(entry);
  }
  return unsent;
}

absl::Status PluginTable::SendAll(Plugin& plugin, Joining& joining,
                                  const std::function<void(const Updates&)>& apply) {
  SyncMessage message;
  const auto add = [&](const std::vector<Entry>& entries) {
    for (const Entry& entry : entries) {
      message.Add(entry);
      if (message.size() < kSyncPartBytes) continue;
      const absl::Status sent = message.Send(plugin, /*more=*/true, apply);
      if (!sent.ok()) return sent;
    }
    return absl::OkStatus();
  };
  std::vector<Entry> entries;
  absl::Status added;
  // While what is there is sent, more comes. What is left for the last part is to be little.
  for (int round = 0; round < kSyncRounds && (round == 0 || entries.size() > kFewContainers);
       ++round) {
    {
      MutexLock lock(mutex_);
      entries = TakeUnsent(joining);
    }
    added = add(entries);
    if (!added.ok()) return added;
  }
  {
    MutexLock lock(mutex_);
    // From here on creates know of the plugin. Those that began before are in the last part, unless
    // they take longer than everybody else should be kept waiting.
    const std::set<uint64_t> under_way = creations_;
    const absl::Time end = absl::Now() + kJoinPatience;
    joining.patience_end = absl::Now() + kPatienceWindow;
    const auto all_ended = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return std::none_of(under_way.begin(), under_way.end(),
                          [this](uint64_t id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                            return creations_.contains(id);
                          });
    };
    while (!all_ended() && absl::Now() < end) changed_.WaitFor(mutex_, end - absl::Now());
    entries = TakeUnsent(joining);
  }
  added = add(entries);
  if (!added.ok()) return added;
  return message.Send(plugin, /*more=*/false, apply);
}

absl::Status PluginTable::CatchUp(const std::shared_ptr<Plugin>& plugin, Joining& joining) {
  const auto tell = [&plugin](const Missed& missed) {
    if (!plugin->Subscribed(missed.event)) return;
    const RpcResult result =
        plugin->Notify(missed.container->Event(missed.event, missed.state));
    if (result.ok()) return;
    Log(LogLevel::kWarning, "nri: event",
        {{"plugin", plugin->qualified_name()},
         {"container", missed.container->id()},
         {"event", EventMethod(missed.event)},
         {"error", result.message}});
  };
  while (true) {
    std::deque<Missed> missed;
    {
      MutexLock lock(mutex_);
      missed = std::exchange(joining.missed, {});
      for (const Entry& late : TakeUnsent(joining)) {
        missed.push_back({nri::RUN_POD_SANDBOX, late.container, late.state});
        missed.push_back({nri::POST_CREATE_CONTAINER, late.container, late.state});
        if (late.state.state != nri::CONTAINER_RUNNING) continue;
        missed.push_back({nri::START_CONTAINER, late.container, late.state});
        missed.push_back({nri::POST_START_CONTAINER, late.container, late.state});
      }
      if (plugin->gone()) return absl::UnavailableError("the connection was lost");
      if (missed.empty()) {
        Insert(plugin);
        return absl::OkStatus();
      }
      // It answers: creates wait for it, or it would never catch up with those that do not.
      joining.patience_end = absl::Now() + kPatienceWindow;
    }
    for (const Missed& event : missed) tell(event);
  }
}

void PluginTable::Insert(const std::shared_ptr<Plugin>& plugin) {
  active_.insert(std::upper_bound(active_.begin(), active_.end(), plugin, CalledBefore), plugin);
}

void PluginTable::Leave(const Plugin* plugin) {
  MutexLock lock(mutex_);
  std::erase_if(active_, [plugin](const auto& member) { return member.get() == plugin; });
  changed_.SignalAll();
}

PluginTable::Plugins PluginTable::active() const {
  MutexLock lock(mutex_);
  return active_;
}

PluginTable::Creation PluginTable::BeginCreation() {
  MutexLock lock(mutex_);
  Creation creation{.id = ++last_creation_, .plugins = active_, .joining = {}};
  creations_.insert(creation.id);
  for (const Joining* joining : joining_) {
    if (joining->patience_end < absl::Now()) continue;
    creation.joining.push_back(joining->plugin);
    creation.plugins.insert(std::upper_bound(creation.plugins.begin(), creation.plugins.end(),
                                             joining->plugin, CalledBefore),
                            joining->plugin);
  }
  return creation;
}

void PluginTable::AbandonCreation(uint64_t id) {
  MutexLock lock(mutex_);
  creations_.erase(id);
  changed_.SignalAll();
}

PluginTable::Plugins PluginTable::CommitCreation(
    uint64_t id, const std::shared_ptr<const KnownContainer>& container, const NriState& state) {
  MutexLock lock(mutex_);
  creations_.erase(id);
  containers_[container->id()] = {container, state};
  changed_.SignalAll();
  return active_;
}

bool PluginTable::AwaitJoined(const std::shared_ptr<Plugin>& plugin) {
  const absl::Time end = absl::Now() + kJoinPatience;
  MutexLock lock(mutex_);
  while (true) {
    if (std::find(active_.begin(), active_.end(), plugin) != active_.end()) return true;
    const auto found =
        std::find_if(joining_.begin(), joining_.end(),
                     [&](const Joining* joining) { return joining->plugin == plugin; });
    if (found == joining_.end()) return false;
    const absl::Duration left = std::min(end, (*found)->patience_end) - absl::Now();
    if (left <= absl::ZeroDuration()) return false;
    changed_.WaitFor(mutex_, left);
  }
}

void PluginTable::Restore(const std::shared_ptr<const KnownContainer>& container,
                          const NriState& state) {
  MutexLock lock(mutex_);
  containers_[container->id()] = {container, state};
}

PluginTable::Plugins PluginTable::Change(nri::Event event,
                                         const std::shared_ptr<const KnownContainer>& container,
                                         const NriState& state) {
  MutexLock lock(mutex_);
  const auto found = containers_.find(container->id());
  if (found != containers_.end()) found->second = {container, state};
  for (Joining* joining : joining_) {
    if (joining->sent.contains(container->id())) {
      joining->missed.push_back({event, container, state});
    }
  }
  return active_;
}

void PluginTable::Remove(const std::string& id) {
  MutexLock lock(mutex_);
  containers_.erase(id);
}

size_t PluginTable::containers() const {
  MutexLock lock(mutex_);
  return containers_.size();
}

}  // namespace ocid
