// PluginTable: the plugins that are connected, the containers they know, and how the two meet.
//
// A plugin that joins is told of every container by Synchronize before it is asked about any, and misses
// none that is created meanwhile; nobody waits for it. In short:
//
//   joining      what is there is sent in parts. What happens to a container that was sent already is
//                kept and told afterwards.
//   finishing    what came in between goes into the last part. A create that reaches its plugins now
//                waits for the new one, but only for moments (kJoinPatience): a plugin that hangs in
//                Synchronize delays nobody.
//   active       it is in the list that operations take when they begin. Containers whose creates did
//                not wait are told to it as pods and containers that have come to be.
//
// Thread-safe. Synchronize and AwaitJoined block; no call to a plugin is made under the lock.
#ifndef OCID_DAEMON_NRI_PLUGIN_TABLE_H_
#define OCID_DAEMON_NRI_PLUGIN_TABLE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "daemon/nri/known_container.h"
#include "daemon/nri/plugin.h"
#include "runtime/base/mutex.h"

namespace ocid {

class PluginTable {
 public:
  using Plugins = std::vector<std::shared_ptr<Plugin>>;
  using Updates = google::protobuf::RepeatedPtrField<nri::ContainerUpdate>;

  // ---- Plugins.
  // Tells `plugin` what there is and makes it active. `apply` gets the updates of its answer. An error
  // says why it cannot take part.
  absl::Status Synchronize(const std::shared_ptr<Plugin>& plugin,
                           const std::function<void(const Updates&)>& apply);
  void Leave(const Plugin* plugin);
  // In the order in which they are called.
  Plugins active() const;

  // ---- Containers.
  struct Creation {
    uint64_t id = 0;
    Plugins plugins;   // in the order in which they are called
    Plugins joining;   // those of them that AwaitJoined must be asked about
  };
  // A create begins. Ends with CommitCreation or AbandonCreation.
  Creation BeginCreation();
  void AbandonCreation(uint64_t id);
  // Returns who is active now: all of them are to be told.
  Plugins CommitCreation(uint64_t id, const std::shared_ptr<const KnownContainer>& container,
                         const NriState& state);
  // Whether the plugin has become active. Waits for moments.
  bool AwaitJoined(const std::shared_ptr<Plugin>& plugin);

  // A container of an earlier daemon.
  void Restore(const std::shared_ptr<const KnownContainer>& container, const NriState& state);

  // Notes that `event` has led to `state` and returns who is to be told by the caller.
  Plugins Change(nri::Event event, const std::shared_ptr<const KnownContainer>& container,
                 const NriState& state);
  // The same with the container's going.
  void Remove(const std::string& id);

  size_t containers() const;

 private:
  static constexpr absl::Duration kJoinPatience = absl::Milliseconds(50);

  struct Entry {
    std::shared_ptr<const KnownContainer> container;
    NriState state;
  };
  struct Missed {
    nri::Event event;
    std::shared_ptr<const KnownContainer> container;
    NriState state;
  };
  struct Joining {
    std::shared_ptr<Plugin> plugin;
    std::set<std::string> sent;
    std::deque<Missed> missed;
    absl::Time patience_end = absl::InfinitePast();  // later: creates may wait for it until then
  };
  class SyncMessage;

  std::vector<Entry> TakeUnsent(Joining& joining) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status SendAll(Plugin& plugin, Joining& joining,
                       const std::function<void(const Updates&)>& apply);
  absl::Status CatchUp(const std::shared_ptr<Plugin>& plugin, Joining& joining);
  void Insert(const std::shared_ptr<Plugin>& plugin) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  CondVar changed_;
  Plugins active_ ABSL_GUARDED_BY(mutex_);
  std::vector<Joining*> joining_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Entry> containers_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_creation_ ABSL_GUARDED_BY(mutex_) = 0;
  std::set<uint64_t> creations_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_PLUGIN_TABLE_H_
