// HealthMonitor: runs a container's health check for as long as one generation of it runs.
//
//   auto monitor = std::make_shared<HealthMonitor>(...);
//   monitor->Begin(std::move(target), start_time, state);
//   ...  monitor->OnExit(id, record)   the supervisor says that a probe has ended
//   monitor->End();
//
// A probe is an exec that the container's supervisor launches from a plan compiled once: no new runtime
// process, no file, no event, no place in the table of execs. Its id begins with '.', as no caller's
// can. One runs at a time; it takes a thread of the pool for its launch and for its end, and none
// meanwhile. What it writes nobody waits for: the supervisor keeps the end of it.
//
// Owned by shared_ptr, which timers share weakly. Thread-safe. OnExit blocks on the supervisor's
// answers: call it on the pool. The functions of Hooks are called under no lock.
#ifndef OCID_DAEMON_CONTAINER_HEALTH_MONITOR_H_
#define OCID_DAEMON_CONTAINER_HEALTH_MONITOR_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "daemon/base/thread_pool.h"
#include "daemon/base/timers.h"
#include "daemon/container/health_policy.h"
#include "proto/ocid/v1/types.pb.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"
#include "runtime/host/supervisor_handle.h"

namespace ocid {

class HealthMonitor : public std::enable_shared_from_this<HealthMonitor> {
 public:
  // What a probe is launched with.
  struct Target {
    std::shared_ptr<SupervisorHandle> supervisor;
    std::string plan;
    UniqueFd cgroup2;
    std::vector<UniqueFd> cgroup1;
  };
  struct Hooks {
    // The status is another one now.
    std::function<void()> changed;
    // Whether the container's processes are frozen, and a probe would be.
    std::function<bool()> paused;
  };

  HealthMonitor(const HealthRules& rules, ThreadPool& pool, Timers& timers,
                absl::Duration control_timeout, Hooks hooks);

  static bool IsProbe(std::string_view exec_id) { return exec_id.starts_with(kPrefix); }

  // `state`: what is known already, of an earlier daemon.
  void Begin(Target target, absl::Time start_time, const HealthState& state);
  // No further probe. One that runs is left to the container's end.
  void End();

  void OnExit(const std::string& exec_id, const ExitRecord& record);

  v1::Health health() const;

 private:
  static constexpr std::string_view kPrefix = ".health-";
  static constexpr int kKeptProbes = 5;

  void Schedule(absl::Duration delay) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::function<void()> OnPool(void (HealthMonitor::*step)());
  void Probe();
  void TimeUp();
  void Finish(const std::string& exec_id, const ExitRecord& record);
  void Record(v1::Health::Probe probe, bool succeeded);
  std::string TakeOutput(const std::string& exec_id);

  const HealthRules rules_;
  ThreadPool& pool_;
  Timers& timers_;
  const absl::Duration control_timeout_;
  const Hooks hooks_;

  Target target_;  // from Begin on
  absl::Time container_start_;

  mutable Mutex mutex_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = true;
  HealthState state_ ABSL_GUARDED_BY(mutex_);
  v1::Health health_ ABSL_GUARDED_BY(mutex_);
  uint64_t number_ ABSL_GUARDED_BY(mutex_) = 0;
  TimerId timer_ ABSL_GUARDED_BY(mutex_) = 0;  // until the next probe, or for the one that runs
  // Of the probe that runs; empty: none.
  std::string running_ ABSL_GUARDED_BY(mutex_);
  absl::Time probe_start_ ABSL_GUARDED_BY(mutex_);
  bool launched_ ABSL_GUARDED_BY(mutex_) = false;
  bool exited_ ABSL_GUARDED_BY(mutex_) = false;
  bool timed_out_ ABSL_GUARDED_BY(mutex_) = false;
  ExitRecord exit_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ocid

#endif  // OCID_DAEMON_CONTAINER_HEALTH_MONITOR_H_
