// KernelCgroup: a Cgroup made of directories that this process writes itself.
//
// The manager `cgroupfs` uses it as it is; the manager `systemd` puts it over the directories of a
// unit. Thread-compatible; see cgroup.h for what its calls do.
#ifndef OCID_RUNTIME_CGROUP_KERNEL_CGROUP_H_
#define OCID_RUNTIME_CGROUP_KERNEL_CGROUP_H_

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/unique_fd.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/cgroup/cgroup_files.h"
#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/cgroup/cgroup_settings.h"

namespace ocid {

// One directory of a container.
struct CgroupPart {
  std::string label;                     // V1Hierarchy::Label(); empty: cgroup2
  std::vector<std::string> controllers;  // of the v1 hierarchy
  std::string mount_point;
  UniqueFd directory;
  UniqueFd procs;           // v1 only
  size_t kept_parents = 0;  // leading path components that stay when the leaf is removed
};

// Where a cgroup is and what may be done about it.
struct KernelCgroupOptions {
  std::shared_ptr<const CgroupLayout> layout;
  std::string path;  // below each mount, as ResolveCgroupPath gives it
  // Leading components of `path` that are not ours, whoever made them.
  size_t foreign_parents = 0;
  bool allow_missing_controllers = false;
  // v1 controllers that are joined without a limit, for their numbers.
  std::vector<std::string> accounting;
  // cgroup2 controllers that are enabled where the machine has them, for their numbers.
  std::vector<std::string> unified_accounting;
};

class KernelCgroup : public Cgroup {
 public:
  // Makes the directories that `resources` needs and applies them. ALREADY_EXISTS, CGROUP_BUSY if
  // one is in use. On failure nothing is left.
  static absl::StatusOr<std::unique_ptr<KernelCgroup>> Create(KernelCgroupOptions options,
                                                              const Resources& resources);
  // The directories that exist. NOT_FOUND, NO_CGROUP if there is none in cgroup2.
  static absl::StatusOr<std::unique_ptr<KernelCgroup>> Open(KernelCgroupOptions options);

  // What Create would refuse about the resources, or INVALID_ARGUMENT; fills `settings`.
  static absl::Status Check(const CgroupLayout& layout, bool allow_missing_controllers,
                            const Resources& resources, CgroupSettings& settings);

  bool exists() const override { return true; }
  BorrowedFd unified_fd() const override { return parts_[0].directory; }
  std::vector<BorrowedFd> v1_procs_fds() const override;
  void ReleaseAnchor() override {}
  std::vector<CgroupPath> Paths() const override;
  std::string unit() const override { return {}; }
  const std::vector<std::string>& warnings() const override { return warnings_; }

  absl::Status Freeze(absl::Duration timeout) override;
  absl::Status Thaw(absl::Duration timeout) override;
  absl::StatusOr<bool> Frozen() const override;
  absl::Status Kill() override;
  absl::StatusOr<std::vector<pid_t>> Pids() const override;
  absl::StatusOr<bool> Populated() const override;
  absl::StatusOr<CgroupStats> Stats() const override;
  absl::StatusOr<uint64_t> OomKillCount() const override;
  UniqueFd OpenOomKillFile() const override;
  absl::Status Update(const nlohmann::json& resources) override;
  absl::Status GiveTo(uid_t owner) override;
  absl::Status Remove(absl::Duration timeout) override;

  // For a manager above: applies settings, making v1 directories that are missing and moving the
  // container's processes there.
  absl::Status Apply(const Resources& resources, const CgroupSettings& settings);
  // memory.checkBeforeUpdate: refuses a limit below the usage.
  absl::Status CheckMemoryBeforeUpdate(const Resources& resources) const;

 private:
  explicit KernelCgroup(KernelCgroupOptions options) : options_(std::move(options)) {}

  absl::Status MakeUnified();
  absl::Status EnableControllers(const CgroupSettings& settings);
  absl::Status MakeV1Parts(const CgroupSettings& settings);
  absl::Status MakePart(CgroupPart part);
  absl::StatusOr<UniqueFd> MakeDirectory(CgroupPart& part);
  absl::Status MoveProcessesTo(const CgroupPart& part);
  absl::Status WriteSettings(const std::vector<CgroupSetting>& settings);
  absl::Status WriteSetting(const CgroupSetting& setting);
  absl::Status RemovePart(const CgroupPart& part, const Deadline& deadline);
  void RemoveEmptyParents(const CgroupPart& part) const;
  absl::Status StillPopulated() const;

  const CgroupPart* FindV1Part(std::string_view controller) const;
  std::string PathOf(const CgroupPart& part) const;

  KernelCgroupOptions options_;
  std::vector<CgroupPart> parts_;  // cgroup2 first
  std::vector<std::string> warnings_;
};

// Reads what the kernel counts in these directories, cgroup2 first.
absl::StatusOr<CgroupStats> ReadCgroupStats(const std::vector<CgroupPart>& parts);
absl::StatusOr<uint64_t> ReadOomKills(const std::vector<CgroupPart>& parts);
// See Cgroup::OpenOomKillFile. NOT_FOUND where there is none.
absl::StatusOr<UniqueFd> OpenOomKills(const std::vector<CgroupPart>& parts);

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_KERNEL_CGROUP_H_
