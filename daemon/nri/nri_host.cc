#include "daemon/nri/nri_host.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/base/log.h"

namespace ocid {
namespace {

constexpr char kRuntimeName[] = "ocid";
constexpr char kNriVersion[] = "v0.12.2";  // whose protocol this is
constexpr size_t kMaxConnections = 128;
constexpr size_t kMaxGone = 64;
constexpr int kWorkers = 32;
// Requests of one plugin that are worked on at the same time.
constexpr int kMaxUpdateRequests = 8;

absl::Status Errno(std::string_view what) {
  return absl::ErrnoToStatus(errno, absl::string_view(what.data(), what.size()));
}

PluginProcess ProcessOf(pid_t pid, bool launched) {
  PluginProcess process{.pid = pid, .executable = {}, .launched = launched};
  std::error_code error;
  const std::filesystem::path link = absl::StrCat("/proc/", pid, "/exe");
  process.executable = std::filesystem::read_symlink(link, error).string();
  return process;
}

pid_t PeerOf(BorrowedFd socket) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  return getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
}

RpcResult Refusal(int code, std::string message) {
  return {.kind = RpcResult::Kind::kError, .code = code, .message = std::move(message)};
}

template <class Message>
RpcResult Answer(const Message& message) {
  return {.kind = RpcResult::Kind::kAnswered, .payload = message.SerializeAsString()};
}

PluginReport ReportOf(const Plugin& plugin) {
  PluginReport report;
  report.name = plugin.qualified_name();
  report.index = plugin.info().index;
  report.process = plugin.process();
  report.policy = plugin.info().policy;
  for (int event = nri::RUN_POD_SANDBOX; event <= nri::VALIDATE_CONTAINER_ADJUSTMENT; ++event) {
    const auto subscribed = static_cast<nri::Event>(event);
    if (plugin.Subscribed(subscribed)) {
      report.subscriptions.emplace_back(EventMethod(subscribed));
    }
  }
  report.numbers = plugin.stats().Read();
  report.connect_time = plugin.connect_time();
  report.connected = !plugin.gone();
  if (report.connected) return report;
  report.disconnect_time = plugin.disconnect_time();
  report.disconnect_reason = plugin.disconnect_reason();
  return report;
}

}  // namespace

// One connection, from accept to its end.
struct NriHost::Connection {
  PluginProcess process;
  std::optional<PluginFile> file;  // launched
  UniqueFd pidfd;                  // launched

  std::atomic<int> update_requests{0};
  std::atomic<bool> active{false};

  Mutex mutex;
  std::shared_ptr<PluginChannel> channel ABSL_GUARDED_BY(mutex);
  std::shared_ptr<Plugin> plugin ABSL_GUARDED_BY(mutex);  // once it is registered
  bool ended ABSL_GUARDED_BY(mutex) = false;
};

NriHost::NriHost(NriHostOptions options)
    : options_(std::move(options)),
      timers_(MakeTimers()),
      workers_(std::make_unique<ThreadPool>("nri", kWorkers)) {
  context_.policies = options_.policies;
}

NriHost::~NriHost() { Stop(); }

absl::Status NriHost::Start() {
  if (!options_.socket_path.empty()) {
    const absl::Status listening = Listen();
    if (!listening.ok()) return listening;
    acceptor_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "nri accept");
      Accept();
    });
  }
  if (options_.plugin_dir.empty()) return absl::OkStatus();
  launcher_ = std::make_unique<PluginLauncher>([this](PluginLauncher::Started started) {
    auto connection = std::make_shared<Connection>();
    connection->process = ProcessOf(started.pid, /*launched=*/true);
    connection->process.executable = started.file.path;
    connection->file = started.file;
    connection->pidfd = std::move(started.pidfd);
    Serve(std::move(started.socket), std::move(connection));
  });
  const absl::StatusOr<std::vector<PluginFile>> files = launcher_->Start(options_.plugin_dir);
  if (!files.ok()) return files.status();
  AwaitLaunched(*files);
  return absl::OkStatus();
}

void NriHost::AwaitLaunched(const std::vector<PluginFile>& files) {
  const absl::Time end = absl::Now() + options_.registration_timeout + absl::Seconds(1);
  MutexLock lock(mutex_);
  for (const PluginFile& file : files) {
    while (!settled_.contains(file.path) && absl::Now() < end) {
      changed_.WaitFor(mutex_, end - absl::Now());
    }
  }
}

void NriHost::Stop() {
  {
    MutexLock lock(mutex_);
    if (std::exchange(stopping_, true)) return;
  }
  if (acceptor_.joinable()) {
    const uint64_t one = 1;
    if (write(stop_event_.get(), &one, sizeof(one)) < 0) {
      Log(LogLevel::kError, "nri: eventfd", {{"error", Errno("write")}});
    }
    acceptor_.join();
    unlink(options_.socket_path.c_str());
  }
  launcher_.reset();
  std::vector<std::shared_ptr<Connection>> connections;
  {
    MutexLock lock(mutex_);
    connections = connections_;
  }
  for (const std::shared_ptr<Connection>& connection : connections) {
    MutexLock lock(connection->mutex);
    if (connection->channel != nullptr) connection->channel->Close("the daemon ends");
  }
  connections.clear();
  {
    MutexLock lock(mutex_);
    while (!connections_.empty()) changed_.Wait(mutex_);
  }
  workers_.reset();
}

absl::Status NriHost::Listen() {
  const std::string& path = options_.socket_path;
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": too long for a socket's path"));
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  // The folder's mode is what keeps others out.
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code error;
  std::filesystem::create_directories(folder.parent_path(), error);
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return Errno(folder.string());
  listener_ = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener_.valid()) return Errno("socket");
  // A socket that somebody still listens on is not stale.
  const auto* const to = reinterpret_cast<const sockaddr*>(&address);
  const UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (probe.valid() && connect(probe.get(), to, sizeof(address)) == 0) {
    return absl::AlreadyExistsError(absl::StrCat(path, ": another NRI runtime listens here"));
  }
  struct stat found = {};
  if (lstat(path.c_str(), &found) == 0 && S_ISSOCK(found.st_mode)) unlink(path.c_str());
  if (bind(listener_.get(), to, sizeof(address)) != 0) return Errno(absl::StrCat("bind ", path));
  chmod(path.c_str(), 0600);
  if (listen(listener_.get(), SOMAXCONN) != 0) return Errno(absl::StrCat("listen ", path));
  stop_event_ = UniqueFd(eventfd(0, EFD_CLOEXEC));
  return stop_event_.valid() ? absl::OkStatus() : Errno("eventfd");
}

void NriHost::Accept() {
  while (true) {
    std::array<pollfd, 2> waits = {
        pollfd{.fd = listener_.get(), .events = POLLIN, .revents = 0},
        pollfd{.fd = stop_event_.get(), .events = POLLIN, .revents = 0}};
    if (poll(waits.data(), waits.size(), -1) < 0) continue;
    if (waits[1].revents != 0) return;
    UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket.valid()) {
      // Out of descriptors, say: the queue waits, and this thread must not spin.
      if (errno != EAGAIN && errno != ECONNABORTED) absl::SleepFor(absl::Milliseconds(100));
      continue;
    }
    auto connection = std::make_shared<Connection>();
    connection->process = ProcessOf(PeerOf(socket), /*launched=*/false);
    Serve(std::move(socket), std::move(connection));
  }
}

void NriHost::Serve(UniqueFd socket, std::shared_ptr<Connection> connection) {
  {
    MutexLock lock(mutex_);
    if (stopping_ || connections_.size() >= kMaxConnections) {
      Log(LogLevel::kWarning, "nri: connection refused",
          {{"pid", connection->process.pid}, {"connections", connections_.size()}});
      return;
    }
    connections_.push_back(connection);
  }
  // The callbacks may come before Start returns: they find the channel under the connection's lock.
  MutexLock lock(connection->mutex);
  connection->channel = PluginChannel::Start(
      std::move(socket),
      {.on_request =
           [this, connection](std::string_view method, const std::string& payload,
                              const PluginChannel::Reply& reply) {
             TakeRequest(connection, method, payload, reply);
           },
       .on_closed = [this, connection](const std::string& reason) { TakeEnd(connection, reason); }});
  timers_->After(options_.registration_timeout, [weak = std::weak_ptr<Connection>(connection)] {
    const std::shared_ptr<Connection> waiting = weak.lock();
    if (waiting == nullptr) return;
    MutexLock late(waiting->mutex);
    if (waiting->plugin == nullptr && waiting->channel != nullptr) {
      waiting->channel->Close("it did not register in time");
    }
  });
}

void NriHost::TakeRequest(const std::shared_ptr<Connection>& connection, std::string_view method,
                          const std::string& payload, const PluginChannel::Reply& reply) {
  if (method == "RegisterPlugin") return reply(Register(connection, payload));
  if (method == "UpdateContainers") return UpdateContainers(connection, payload, reply);
  reply(Refusal(kTtrpcUnimplemented,
                absl::StrCat("method ", absl::string_view(method.data(), method.size()))));
}

RpcResult NriHost::Register(const std::shared_ptr<Connection>& connection,
                            const std::string& payload) {
  nri::RegisterPluginRequest request;
  if (!request.ParseFromString(payload)) {
    return Refusal(kTtrpcInvalidArgument, "a request that cannot be decoded");
  }
  PluginInfo info{.index = request.plugin_idx(), .name = request.plugin_name(), .policy = {}};
  if (connection->file.has_value()) {
    info.index = connection->file->index;  // the file's name wins
    info.name = connection->file->name;
  }
  if (!IsPluginIndex(info.index) || !IsPluginName(info.name)) {
    return Refusal(kTtrpcUnknown, absl::StrCat("invalid plugin name or index: ",
                                               QuoteForLog(info.QualifiedName())));
  }
  info.policy = context_.policies.For(info.index, info.name);
  std::shared_ptr<Plugin> plugin;
  {
    MutexLock lock(connection->mutex);
    if (connection->ended) return Refusal(kTtrpcUnknown, "closed");
    if (connection->plugin != nullptr) return Refusal(kTtrpcUnknown, "already registered");
    plugin = std::make_shared<Plugin>(std::move(info), connection->process, connection->channel);
    connection->plugin = plugin;
  }
  workers_->Post([this, connection, plugin] { SetUp(connection, plugin); });
  return Answer(nri::Empty());
}

void NriHost::SetUp(const std::shared_ptr<Connection>& connection,
                    const std::shared_ptr<Plugin>& plugin) {
  const absl::Time begin = absl::Now();
  absl::Status status = Configure(*plugin);
  if (status.ok()) {
    status = context_.table.Synchronize(plugin, [&](const PluginTable::Updates& updates) {
      context_.Apply({updates.begin(), updates.end()}, {}, plugin->qualified_name(),
                     [](const PluginContext::UpdateOutcome&) {});
    });
  }
  if (status.ok()) {
    connection->active = true;
    Log(LogLevel::kInfo, "nri: plugin connected",
        {{"plugin", plugin->qualified_name()},
         {"pid", plugin->process().pid},
         {"executable", plugin->process().executable},
         {"events", plugin->subscriptions()},
         {"containers", context_.table.containers()},
         {"ms", absl::ToInt64Milliseconds(absl::Now() - begin)}});
  } else {
    plugin->stats().SetError(std::string(status.message()));
    plugin->Close(std::string(status.message()));
  }
  MutexLock lock(mutex_);
  if (connection->file.has_value()) settled_.insert(connection->file->path);
  changed_.SignalAll();
}

absl::Status NriHost::Configure(Plugin& plugin) {
  nri::ConfigureRequest request;
  request.set_config(
      ReadPluginConfig(options_.config_dir, plugin.info().index, plugin.info().name));
  request.set_runtime_name(kRuntimeName);
  request.set_runtime_version(options_.runtime_version);
  request.set_registration_timeout(absl::ToInt64Milliseconds(options_.registration_timeout));
  request.set_request_timeout(absl::ToInt64Milliseconds(plugin.info().policy.timeout));
  request.set_nri_version(kNriVersion);
  const RpcResult result =
      plugin.Call("Configure", request.SerializeAsString(), plugin.info().policy.timeout);
  if (!result.ok()) return absl::UnavailableError(absl::StrCat("Configure: ", result.message));
  nri::ConfigureResponse response;
  if (!response.ParseFromString(result.payload)) {
    return absl::InvalidArgumentError("Configure: an answer that cannot be decoded");
  }
  plugin.Subscribe(response.events());
  return absl::OkStatus();
}

void NriHost::UpdateContainers(const std::shared_ptr<Connection>& connection,
                               const std::string& payload, const PluginChannel::Reply& reply) {
  std::string name;
  {
    MutexLock lock(connection->mutex);
    if (connection->plugin == nullptr) return reply(Refusal(kTtrpcUnknown, "not registered"));
    name = connection->plugin->qualified_name();
  }
  nri::UpdateContainersRequest request;
  if (!request.ParseFromString(payload)) {
    return reply(Refusal(kTtrpcInvalidArgument, "a request that cannot be decoded"));
  }
  if (connection->update_requests.fetch_add(1) >= kMaxUpdateRequests) {
    --connection->update_requests;
    return reply(Refusal(kTtrpcResourceExhausted, "too many requests at the same time"));
  }
  workers_->Post([this, connection, request = std::move(request), name, reply] {
    context_.Apply({request.update().begin(), request.update().end()},
                   {request.evict().begin(), request.evict().end()}, name,
                   [connection, reply](const PluginContext::UpdateOutcome& outcome) {
                     nri::UpdateContainersResponse response;
                     for (const nri::ContainerUpdate& failed : outcome.failed) {
                       *response.add_failed() = failed;
                     }
                     reply(Answer(response));
                     --connection->update_requests;
                   });
  });
}

void NriHost::TakeEnd(const std::shared_ptr<Connection>& connection, const std::string& reason) {
  std::shared_ptr<Plugin> plugin;
  {
    MutexLock lock(connection->mutex);
    connection->ended = true;
    plugin = std::exchange(connection->plugin, nullptr);
    connection->channel = nullptr;
  }
  if (connection->pidfd.valid()) {
    // Whatever made the connection end, the process is of no use without it.
    syscall(SYS_pidfd_send_signal, connection->pidfd.get(), SIGKILL, nullptr, 0);
  }
  if (plugin != nullptr) {
    plugin->SetGone(absl::Now(), reason);
    context_.table.Leave(plugin.get());
  }
  Log(LogLevel::kWarning, "nri: connection ended",
      {{"plugin", plugin == nullptr ? "(not registered)" : plugin->qualified_name()},
       {"pid", connection->process.pid},
       {"reason", reason}});
  MutexLock lock(mutex_);
  std::erase(connections_, connection);
  if (connection->file.has_value()) settled_.insert(connection->file->path);
  if (plugin != nullptr) {
    std::erase_if(gone_, [&](const auto& old) { return old.name == plugin->qualified_name(); });
    gone_.push_back(ReportOf(*plugin));
    if (gone_.size() > kMaxGone) gone_.erase(gone_.begin());
  }
  changed_.SignalAll();
}

std::vector<PluginReport> NriHost::List() const {
  std::vector<PluginReport> reports;
  for (const std::shared_ptr<Plugin>& plugin : context_.table.active()) {
    reports.push_back(ReportOf(*plugin));
  }
  MutexLock lock(mutex_);
  for (const PluginReport& gone : gone_) {
    const bool back = std::any_of(reports.begin(), reports.end(), [&](const auto& report) {
      return report.connected && report.name == gone.name;
    });
    if (!back) reports.push_back(gone);
  }
  return reports;
}

}  // namespace ocid
