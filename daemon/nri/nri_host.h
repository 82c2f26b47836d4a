// NriHost: plugins of the Node Resource Interface (NRI, v1alpha1), from their connection to their end.
//
//   NriHost host(std::move(options));
//   host.context()      what containers work with: see plugin_pod.h
//   host.Start()        listens and launches, once containers are recovered
//   host.Stop()
//
// Each connection is served by itself: registration (5 s), Configure, Synchronize, then it is active. A
// connection that is silent, slow or wrong keeps nobody else waiting and costs nothing but itself. A
// plugin of the same name may be there while an old connection is still being noticed as gone.
//
// Thread-safe. Start blocks on the socket's folder and the plugin folder, Stop until connections and
// launched plugins have ended. Source: containerd/nri pkg/adaptation.
#ifndef OCID_DAEMON_NRI_NRI_HOST_H_
#define OCID_DAEMON_NRI_NRI_HOST_H_

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "daemon/base/thread_pool.h"
#include "daemon/base/timers.h"
#include "daemon/nri/plugin_context.h"
#include "daemon/nri/plugin_launcher.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

struct NriHostOptions {
  std::string socket_path;  // for plugins that connect by themselves; empty: none
  std::string plugin_dir;   // of plugins to launch; empty: none
  std::string config_dir;   // of their configurations
  PluginPolicies policies;
  std::string runtime_version;
  absl::Duration registration_timeout = absl::Seconds(5);
};

// A plugin as the API shows it.
struct PluginReport {
  std::string name;  // "NN-name"
  std::string index;
  PluginProcess process;
  PluginPolicy policy;
  std::vector<std::string> subscriptions;  // methods
  PluginStats::Numbers numbers;
  absl::Time connect_time;
  bool connected = false;
  absl::Time disconnect_time;
  std::string disconnect_reason;
};

class NriHost {
 public:
  explicit NriHost(NriHostOptions options);
  ~NriHost();
  NriHost(const NriHost&) = delete;
  NriHost& operator=(const NriHost&) = delete;

  PluginContext& context() { return context_; }

  // Waits until launched plugins are active or have failed, for a few seconds at
  // most: what is created next is to find them there.
  absl::Status Start();
  void Stop();

  // Connected plugins in the order in which they are called, then those that are gone: the last of each
  // name that is not connected.
  std::vector<PluginReport> List() const;

 private:
  struct Connection;

  absl::Status Listen();
  void Accept();
  void Serve(UniqueFd socket, std::shared_ptr<Connection> connection);
  void AwaitLaunched(const std::vector<PluginFile>& files);
  void TakeRequest(const std::shared_ptr<Connection>& connection, std::string_view method,
                   const std::string& payload, const PluginChannel::Reply& reply);
  RpcResult Register(const std::shared_ptr<Connection>& connection, const std::string& payload);
  void SetUp(const std::shared_ptr<Connection>& connection, const std::shared_ptr<Plugin>& plugin);
  absl::Status Configure(Plugin& plugin);
  void UpdateContainers(const std::shared_ptr<Connection>& connection, const std::string& payload,
                        const PluginChannel::Reply& reply);
  void TakeEnd(const std::shared_ptr<Connection>& connection, const std::string& reason);

  const NriHostOptions options_;
  PluginContext context_;
  const std::unique_ptr<Timers> timers_;
  UniqueFd listener_;
  UniqueFd stop_event_;
  std::thread acceptor_;
  std::unique_ptr<PluginLauncher> launcher_;

  mutable Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::shared_ptr<Connection>> connections_ ABSL_GUARDED_BY(mutex_);
  std::vector<PluginReport> gone_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> settled_ ABSL_GUARDED_BY(mutex_);  // launched files: active, or failed once

  // Configure, Synchronize and what plugins ask for. After everything that it uses.
  std::unique_ptr<ThreadPool> workers_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_NRI_HOST_H_
