#include "runtime/cgroup/none_manager.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/cgroup/cgroup_settings.h"
#include "runtime/cgroup/kernel_cgroup.h"
#include "runtime/cgroup/text.h"

namespace ocid {
namespace {

absl::Status NoCgroup(std::string_view action) {
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "NO_CGROUP",
      absl::StrCat(AsAbsl(action), ": the container has no cgroup (cgroup manager \"none\")"));
}

class NoCgroupAtAll : public Cgroup {
 public:
  explicit NoCgroupAtAll(std::vector<std::string> warnings) : warnings_(std::move(warnings)) {}

  bool exists() const override { return false; }
  BorrowedFd unified_fd() const override { return {}; }
  std::vector<BorrowedFd> v1_procs_fds() const override { return {}; }
  void ReleaseAnchor() override {}
  std::vector<CgroupPath> Paths() const override { return {}; }
  std::string unit() const override { return {}; }
  const std::vector<std::string>& warnings() const override { return warnings_; }
  absl::Status Freeze(absl::Duration /*timeout*/) override { return NoCgroup("freeze"); }
  absl::Status Thaw(absl::Duration /*timeout*/) override { return NoCgroup("thaw"); }
  absl::StatusOr<bool> Frozen() const override { return false; }
  absl::Status Kill() override { return NoCgroup("kill"); }
  absl::StatusOr<std::vector<pid_t>> Pids() const override { return NoCgroup("list processes"); }
  absl::StatusOr<bool> Populated() const override { return false; }
  absl::StatusOr<CgroupStats> Stats() const override { return NoCgroup("statistics"); }
  absl::StatusOr<uint64_t> OomKillCount() const override { return 0; }
  UniqueFd OpenOomKillFile() const override { return {}; }
  absl::Status Update(const nlohmann::json& /*resources*/) override { return NoCgroup("update"); }
  absl::Status GiveTo(uid_t /*owner*/) override { return absl::OkStatus(); }
  absl::Status Remove(absl::Duration /*timeout*/) override { return absl::OkStatus(); }

 private:
  const std::vector<std::string> warnings_;
};

class NoneManager : public CgroupManager {
 public:
  explicit NoneManager(bool allow_missing_controllers)
      : allow_missing_controllers_(allow_missing_controllers) {}

  CgroupManagerKind kind() const override { return CgroupManagerKind::kNone; }
  std::string Describe() const override { return "none"; }

  absl::Status Validate(std::string_view /*id*/, std::string_view /*cgroups_path*/,
                        const nlohmann::json& document) const override {
    const absl::StatusOr<Resources> resources = ParseResources(document);
    if (!resources.ok()) return resources.status();
    CgroupSettings settings;
    return KernelCgroup::Check(nothing_mounted_, allow_missing_controllers_, *resources, settings);
  }

  absl::StatusOr<std::unique_ptr<Cgroup>> Create(
      std::string_view id, std::string_view cgroups_path, const nlohmann::json& document,
      const std::vector<UnitProperty>& /*unit_properties*/) override {
    const absl::Status valid = Validate(id, cgroups_path, document);
    if (!valid.ok()) return valid;
    const absl::StatusOr<Resources> resources = ParseResources(document);
    if (!resources.ok()) return resources.status();
    std::vector<std::string> warnings;
    for (const UnenforcedLimit& limit : CompileSettings(*resources, nothing_mounted_).unenforced) {
      warnings.push_back(absl::StrCat(limit.pointer, " is not enforced: ", limit.why));
    }
    return std::make_unique<NoCgroupAtAll>(std::move(warnings));
  }

  absl::StatusOr<std::unique_ptr<Cgroup>> Open(std::string_view /*id*/,
                                               std::string_view /*cgroups_path*/) override {
    return std::make_unique<NoCgroupAtAll>(std::vector<std::string>());
  }

 private:
  const CgroupLayout nothing_mounted_;
  const bool allow_missing_controllers_;
};

}  // namespace

std::unique_ptr<CgroupManager> MakeNoneManager(const CgroupManagerOptions& options) {
  return std::make_unique<NoneManager>(options.allow_missing_controllers);
}

}  // namespace ocid
