// Plugin: one connected plugin, as the host calls it.
//
// Knows who it is, what it may do and what it subscribed to; counts what it does; speaks the old form of
// events to plugins that want it. A call that gets no answer in time, or loses its connection, closes the
// connection: what the plugin has missed by then it would never catch up with.
//
// Shared by the host and by operations under way. Thread-safe; Call blocks for up to its timeout.
#ifndef OCID_DAEMON_NRI_PLUGIN_H_
#define OCID_DAEMON_NRI_PLUGIN_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "daemon/nri/nri_requests.h"
#include "daemon/nri/plugin_calls.h"
#include "daemon/nri/plugin_channel.h"
#include "daemon/nri/plugin_stats.h"
#include "runtime/base/mutex.h"

namespace ocid {

// The process at the other end of a socket. Source: unix(7), SO_PEERCRED.
struct PluginProcess {
  pid_t pid = 0;
  std::string executable;  // empty where /proc does not tell
  bool launched = false;   // by the daemon
};

class Plugin {
 public:
  Plugin(PluginInfo info, PluginProcess process, std::shared_ptr<PluginChannel> channel)
      : info_(std::move(info)),
        qualified_name_(info_.QualifiedName()),
        process_(std::move(process)),
        channel_(std::move(channel)),
        connect_time_(absl::Now()) {}

  const PluginInfo& info() const { return info_; }
  const std::string& qualified_name() const { return qualified_name_; }
  const PluginProcess& process() const { return process_; }
  absl::Time connect_time() const { return connect_time_; }
  PluginStats& stats() { return stats_; }
  const PluginStats& stats() const { return stats_; }

  // The mask of the answer to Configure. 0: everything.
  void Subscribe(int mask);
  int subscriptions() const { return subscriptions_; }
  bool Subscribed(nri::Event event) const { return (subscriptions_ & EventBit(event)) != 0; }

  // One call with its encoded request, counted.
  RpcResult Call(std::string_view method, std::string_view request, absl::Duration timeout) {
    return Call(method, request, timeout, Unknown::kIsAFailure);
  }
  RpcResult Call(nri::Event event, std::string_view request) {
    return Call(EventMethod(event), request, info_.policy.timeout);
  }

  // An event in the form that the plugin knows.
  RpcResult Notify(const EventRequest& request);

  void Close(const std::string& reason) { channel_->Close(reason); }

  // What the host notes when the connection has ended.
  void SetGone(absl::Time time, std::string reason);
  bool gone() const { return gone_; }
  absl::Time disconnect_time() const;
  std::string disconnect_reason() const;

 private:
  // What an answer that there is no such method is.
  enum class Unknown { kIsAFailure, kIsNoFailure };

  RpcResult Call(std::string_view method, std::string_view request, absl::Duration timeout,
                 Unknown unknown);

  const PluginInfo info_;
  const std::string qualified_name_;
  const PluginProcess process_;
  const std::shared_ptr<PluginChannel> channel_;
  const absl::Time connect_time_;
  std::atomic<int> subscriptions_{0};
  std::atomic<bool> legacy_{false};
  PluginStats stats_;

  std::atomic<bool> gone_{false};
  mutable Mutex mutex_;
  absl::Time disconnect_time_ ABSL_GUARDED_BY(mutex_);
  std::string disconnect_reason_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_PLUGIN_H_
