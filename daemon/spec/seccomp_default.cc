#include "daemon/spec/seccomp_default.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/image/store_files.h"
#include "runtime/base/unique_fd.h"
#include "runtime/oci/json_text.h"
#include "runtime/seccomp/seccomp_profile.h"
#include "runtime/seccomp/seccomp_template.h"

namespace ocid {
namespace {

constexpr uint64_t kMaxProfileBytes = 1 << 20;

absl::Status Named(const std::string& path, const absl::Status& cause) {
  return absl::InvalidArgumentError(absl::StrCat("seccomp profile ", path, ": ", cause.message()));
}

absl::StatusOr<std::string> ReadProfile(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.valid()) return absl::InvalidArgumentError(std::strerror(errno));
  return ReadAll(BorrowedFd(file), kMaxProfileBytes, path);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const SeccompDefault>> LoadSeccompDefault(const std::string& name) {
  if (name == "unconfined") return nullptr;
  auto result = std::make_shared<SeccompDefault>();
  std::string text(DefaultSeccompTemplate());
  if (name != "default") {
    absl::StatusOr<std::string> read = ReadProfile(name);
    if (!read.ok()) return Named(name, read.status());
    text = *std::move(read);
    result->source_file = name;
  }
  result->source_sha256 = Sha256Digest(text);
  absl::StatusOr<nlohmann::json> profile = ParseJson(text);
  if (!profile.ok()) return Named(name, profile.status());
  const auto resolved = ResolveSeccompTemplate(*profile, SeccompTargetHere({}));
  if (!resolved.ok()) return Named(name, resolved.status());
  const auto parsed = ParseSeccompProfile(*resolved, "");
  if (!parsed.ok()) return Named(name, parsed.status());
  result->profile = *std::move(profile);
  return result;
}

}  // namespace ocid
