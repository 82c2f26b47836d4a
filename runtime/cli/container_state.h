// What ocirun keeps of a container between two commands:
//
//   ROOT/ID/intent.json  ContainerRecord before its process exists
//   ROOT/ID/state.json   ContainerRecord from then on
//   ROOT/ID/config.json  the spec that it was created with, upgraded where it was old
//   ROOT/ID/plan         its launch plan: hooks of later commands, and words for failures
//   ROOT/ID/notify/      where its readiness notifications come in, if it was asked for them
//   ROOT/ID/gate         the socket at which init waits for `start`; gone when it was started
//
// The directory is the claim on the ID: who makes it owns the name. It is locked (flock) by
// commands that change the container. Status is not stored, but derived from the process and the
// gate: what a crash leaves behind is "stopped" and can be deleted.
//
// Thread-compatible. Calls read and write small files; Lock waits for other commands.
// Errors carry a reason: NOT_FOUND/CONTAINER_NOT_FOUND, ALREADY_EXISTS/CONTAINER_EXISTS,
// INVALID_ARGUMENT/ID_INVALID, DATA_LOSS/STATE_CORRUPT.
#ifndef OCID_RUNTIME_CLI_CONTAINER_STATE_H_
#define OCID_RUNTIME_CLI_CONTAINER_STATE_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "runtime/base/unique_fd.h"
#include "runtime/oci/oci_spec.h"
#include "runtime/plan/launch_plan.h"

namespace ocid {

struct ContainerRecord {
  std::string id;
  std::string oci_version;
  std::string bundle;
  std::string rootfs;
  std::string created;  // RFC 3339
  std::string owner;
  std::string cgroup_manager;  // a name of CgroupManagerKind
  std::string cgroups_path;
  std::map<std::string, std::string> annotations;
  pid_t pid = 0;               // 0: not launched yet
  bool shares_mounts = false;  // no mount namespace: the root file system is mounted in the host's
  bool joined_resctrl = false;  // linux.intelRdt made something on the host
  bool shares_pids = false;    // no pid namespace of its own: killing the first process kills no other
  uint64_t start_time = 0;     // of the process, in clock ticks since boot: tells a reused pid

  nlohmann::json ToJson() const;
  static absl::StatusOr<ContainerRecord> FromJson(const nlohmann::json& json);
};

enum class ContainerStatus { kCreating, kCreated, kRunning, kPaused, kStopped };
std::string_view ContainerStatusName(ContainerStatus status);

// A word of letters, digits, '_', '+', '-', '.' that is a file name, at most 1024 bytes.
bool IsContainerId(std::string_view id);

// From /proc/PID/stat; 0 if there is no such process or it is a zombie.
uint64_t ProcessStartTime(pid_t pid);

class StateDirectory {
 public:
  // Makes ROOT (0700, with its parents) and ROOT/ID, and locks it.
  static absl::StatusOr<StateDirectory> Create(const std::string& root, const std::string& id);
  static absl::StatusOr<StateDirectory> Open(const std::string& root, const std::string& id);
  // IDs under ROOT, sorted. NOT_FOUND if there is no such directory.
  static absl::StatusOr<std::vector<std::string>> List(const std::string& root);

  const std::string& path() const { return path_; }
  // For connect(2) and bind(2): short, whatever the length of ROOT.
  std::string GatePath() const;
  bool HasGate() const;
  void RemoveGate() const;

  absl::Status Lock();
  void Unlock();

  absl::StatusOr<ContainerRecord> ReadRecord() const;
  absl::Status WriteRecord(const ContainerRecord& record) const;
  absl::StatusOr<OciSpec> ReadSpec() const;
  absl::Status WriteSpec(const OciSpec& spec) const;
  absl::StatusOr<LaunchPlan> ReadPlan() const;
  absl::Status WritePlan(const LaunchPlan& plan) const;

  // But for `kPaused`, which the cgroup knows.
  ContainerStatus StatusOf(const ContainerRecord& record) const;

  // Removes the directory with all that is in it.
  absl::Status Remove() const;

 private:
  StateDirectory(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  absl::StatusOr<std::string> ReadFile(const char* name) const;
  absl::Status WriteFile(const char* name, std::string_view bytes) const;

  std::string path_;
  UniqueFd fd_;
  bool locked_ = false;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_CLI_CONTAINER_STATE_H_
