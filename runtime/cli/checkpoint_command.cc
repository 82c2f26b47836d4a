// ocirun checkpoint, restore: the flags of runc, and why it cannot be done here.
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "runtime/base/error_details.h"
#include "runtime/cli/command.h"

namespace ocid {
namespace {

bool HasCriu() {
  const char* const path = getenv("PATH");
  for (const absl::string_view directory :
       absl::StrSplit(path == nullptr ? "/usr/sbin:/usr/bin" : path, ':')) {
    if (access(absl::StrCat(directory, "/criu").c_str(), X_OK) == 0) return true;
  }
  return false;
}

absl::Status Refuse(const char* what, bool has_criu) {
  return MakeError(absl::StatusCode::kUnimplemented, "NOT_IMPLEMENTED",
                   absl::StrCat(what, has_criu ? ": this version does not drive CRIU"
                                               : ": needs CRIU, and there is no program criu in PATH"));
}

std::vector<FlagSpec> CommonFlags() {
  std::vector<FlagSpec> flags;
  for (const std::string_view name :
       {"image-path", "work-path", "parent-path", "manage-cgroups-mode", "empty-ns", "page-server",
        "status-fd", "lsm-profile", "lsm-mount-context"}) {
    flags.push_back({name, "", FlagKind::kIgnoredValue, ""});
  }
  for (const std::string_view name :
       {"leave-running", "tcp-established", "tcp-skip-in-flight", "link-remap", "ext-unix-sk",
        "shell-job", "lazy-pages", "file-locks", "pre-dump", "auto-dedup"}) {
    flags.push_back({name, "", FlagKind::kIgnoredSwitch, ""});
  }
  return flags;
}

}  // namespace

std::vector<FlagSpec> CheckpointFlags() { return CommonFlags(); }

std::vector<FlagSpec> RestoreFlags() {
  std::vector<FlagSpec> flags = CommonFlags();
  flags.push_back({"bundle", "b", FlagKind::kIgnoredValue, ""});
  for (const std::string_view name : {"pid-file", "console-socket", "pidfd-socket"}) {
    flags.push_back({name, "", FlagKind::kIgnoredValue, ""});
  }
  flags.push_back({"detach", "d", FlagKind::kIgnoredSwitch, ""});
  for (const std::string_view name : {"no-subreaper", "no-pivot"}) {
    flags.push_back({name, "", FlagKind::kIgnoredSwitch, ""});
  }
  return flags;
}

absl::StatusOr<int> RunCheckpoint(const Invocation& invocation) {
  const absl::StatusOr<std::string> id = OnlyArgument(invocation);
  if (!id.ok()) return id.status();
  const absl::StatusOr<Container> container = Container::Open(invocation.runtime, *id);
  if (!container.ok()) return container.status();
  return Refuse("checkpoint", HasCriu());
}

absl::StatusOr<int> RunRestore(const Invocation& invocation) {
  const absl::StatusOr<std::string> id = OnlyArgument(invocation);
  if (!id.ok()) return id.status();
  return Refuse("restore", HasCriu());
}

}  // namespace ocid
