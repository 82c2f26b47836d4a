// Container: one container of ocirun, through its life.
//
//   Create ----> created --Start--> running <--Pause/Resume--> paused
//                   |                  | (its first process exits, or Kill)
//                   +----> stopped <---+ --Delete--> gone
//
// Each command is one process, so that every function here reads what is on disk
// (container_state.h), looks at the kernel, acts, and writes. Functions that change a container
// hold its lock. An error leaves the container as it was; a failed Create leaves nothing.
//
// Thread-hostile: launching clones, and hooks are children of the process. Blocks on hooks, cgroups
// and the file system. Source: runtime-spec runtime.md#lifecycle, #operations.
#ifndef OCID_RUNTIME_CLI_CONTAINER_H_
#define OCID_RUNTIME_CLI_CONTAINER_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/cgroup/cgroup_manager.h"
#include "runtime/cli/container_state.h"
#include "runtime/cli/launch_process.h"
#include "runtime/oci/oci_spec.h"
#include "runtime/plan/plan_compile.h"

namespace ocid {

// Global flags that say how containers are made and where they are found.
struct RuntimeOptions {
  std::string root;
  CgroupManagerKind cgroup_manager = CgroupManagerKind::kCgroupfs;
  // A container whose cgroups the caller may not make gets none, if it asks for no limits.
  bool rootless = false;
  // A limit that no controller here can enforce is logged instead of an error.
  bool allow_missing_controllers = false;
};

struct CreateOptions {
  std::string id;
  std::string bundle = ".";
  std::string config_file;  // empty: config.json of the bundle
  std::string pid_file;
  std::string console_socket;
  std::string pidfd_socket;
  unsigned preserve_fds = 0;
  bool keep_keyring = false;
  bool detached = true;  // false: the caller waits for the process and proxies its terminal
};

struct Created;

class Container {
 public:
  // The container stands at its gate: until Start where the caller goes (CreateOptions::detached), and
  // else until StartOwn, which alone can open it.
  static absl::StatusOr<Created> Create(const RuntimeOptions& runtime,
                                        const CreateOptions& options);
  static absl::StatusOr<Container> Open(const RuntimeOptions& runtime, const std::string& id);

  const ContainerRecord& record() const { return record_; }
  const StateDirectory& state() const { return state_; }
  ContainerStatus Status() const;
  // The state document of the specification; what `state` and `list` print.
  nlohmann::json StateJson() const;

  absl::StatusOr<std::unique_ptr<Cgroup>> OpenCgroup() const;

  // Runs the program. On failure, that of a poststart hook too, the container has stopped. A
  // container whose spec has no process stops at once.
  absl::Status Start();
  // The same by the process that has created it and stays.
  absl::Status StartOwn(const LaunchPlan& plan, Launched* launched);
  // Of the first process; not valid when that is gone.
  UniqueFd OpenPidfd() const;
  // To the first process, or to all of them.
  absl::Status Kill(int signal, bool all);
  absl::Status Delete(bool force);
  absl::Status Pause();
  absl::Status Resume();
  // `resources` as linux.resources; members that are absent stay as they are. What was changed is
  // kept with the container.
  absl::Status Update(const nlohmann::json& resources);

  // Lets other commands at the container, after a call that took its lock. Any of them may delete
  // it: calls that need the lock again are then NOT_FOUND.
  void Unlock() { state_.Unlock(); }

 private:
  Container(RuntimeOptions runtime, StateDirectory state, ContainerRecord record)
      : runtime_(std::move(runtime)), state_(std::move(state)), record_(std::move(record)) {}

  absl::Status LockAndReload();
  // Poststart hooks, when the program runs.
  absl::Status EndStart(const PlanView& plan);
  // Kills what is left and removes all that Create made but the directory.
  absl::Status TearDown();
  absl::Status RunPoststopHooks();
  void KillAndWait();

  RuntimeOptions runtime_;
  StateDirectory state_;
  ContainerRecord record_;
};

struct Created {
  Container container;
  LaunchPlan plan;
  Launched process;  // with its console, if the caller proxies that
};

// Reads, upgrades and checks a bundle's configuration. `bundle` is absolute.
absl::StatusOr<OciSpec> ReadBundleSpec(const std::string& bundle, const std::string& config_file);

// Where compiled seccomp filters are kept between two commands; empty: nowhere.
std::string SeccompFolder();

absl::StatusOr<std::unique_ptr<CgroupManager>> OpenCgroupManager(
    CgroupManagerKind kind, const RuntimeOptions& runtime, bool prefer_device_programs = false);

}  // namespace ocid

#endif  // OCID_RUNTIME_CLI_CONTAINER_H_
