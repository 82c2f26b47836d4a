// FakeRuntime: supervisors, cgroups and specs that exist in memory only, so that the container manager
// can be tested without root, and each step of a create can be made to fail.
//
//   FakeRuntime runtime;
//   options.supervisors = runtime.MakeHost(); ... MakeCgroups(); ... MakeCompiler();
//   runtime.FailAt("spawn");
//   runtime.ExitInit("c1", 3);
//
// What is left is counted: supervisors() and cgroups(). Thread-safe.
#ifndef OCID_DAEMON_CONTAINER_TESTING_FAKE_RUNTIME_H_
#define OCID_DAEMON_CONTAINER_TESTING_FAKE_RUNTIME_H_

#include <map>
#include <memory>
#include <set>
#include <string>

#include "daemon/container/spec_compiler.h"
#include "runtime/base/mutex.h"
#include "runtime/cgroup/cgroup_manager.h"
#include "runtime/host/supervisor_handle.h"

namespace ocid {

class FakeRuntime {
 public:
  struct Supervisor {
    std::string id;
    ProcessState init = ProcessState::kCreated;
    pid_t pid = 0;
    ExitRecord exit;
    std::map<std::string, ExecStatus> execs;
    SupervisorCallbacks callbacks;
    int shutdowns = 0;
  };

  // Steps: "generate", "cgroup", "plan", "spawn", "start", "exec", "exec plan". Empty: none.
  void FailAt(const std::string& step);
  absl::Status Step(const std::string& step);
  // Starts last until their supervisor is killed.
  void HangStarts();

  // Whether SIGTERM ends an init, and whether SIGKILL does.
  void SetObedience(bool to_term, bool to_kill);

  // Ends an init, as the supervisor tells it: through the callback.
  void ExitInit(const std::string& id, int code, int signal = 0);
  void ExitExec(const std::string& id, const std::string& exec_id, int code);
  // The supervisor of `id` dies with its init, writing nothing.
  void LoseSupervisor(const std::string& id);
  void OomKill(const std::string& id);
  // What a look for drift observes as every container's hostname. Empty: what was expected.
  void SetDrift(std::string observed);

  // The manager's connections end; supervisors live on, as over a restart of the daemon.
  void Disconnect();

  size_t supervisors() const;
  size_t cgroups() const;
  int generated() const;

  std::unique_ptr<SupervisorHost> MakeHost();
  std::unique_ptr<CgroupManager> MakeCgroups();
  std::unique_ptr<SpecCompiler> MakeCompiler();

 private:
  friend class FakeHandle;
  friend class FakeHost;
  friend class FakeCgroup;
  friend class FakeCgroups;
  friend class FakeCompiler;

  absl::Status SignalInit(const std::string& id, int signal);

  mutable Mutex mutex_;
  bool starts_hang_ ABSL_GUARDED_BY(mutex_) = false;
  CondVar killed_;
  std::string fail_at_ ABSL_GUARDED_BY(mutex_);
  bool dies_by_term_ ABSL_GUARDED_BY(mutex_) = true;
  bool dies_by_kill_ ABSL_GUARDED_BY(mutex_) = true;
  int generated_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string drift_ ABSL_GUARDED_BY(mutex_);
  pid_t next_pid_ ABSL_GUARDED_BY(mutex_) = 1000;
  std::map<std::string, std::shared_ptr<Supervisor>> supervisors_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, uint64_t> cgroups_ ABSL_GUARDED_BY(mutex_);  // id -> OOM kills
  std::set<std::string> frozen_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ocid

#endif  // OCID_DAEMON_CONTAINER_TESTING_FAKE_RUNTIME_H_
