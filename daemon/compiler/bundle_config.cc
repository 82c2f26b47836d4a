#include "daemon/compiler/bundle_config.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/base/unique_fd.h"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

absl::Status BundleInvalid(const std::string& subject, const std::string& cause) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BUNDLE_INVALID",
                   absl::StrCat(subject, ": ", cause), {{"path", subject}});
}

absl::Status TooLarge(const std::string& path, uint64_t size) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, "SPEC_TOO_LARGE",
      absl::StrCat(path, ": has ", size, " bytes, at most ", kMaxSpecBytes, " are read"),
      {{"path", path}, {"limit_bytes", absl::StrCat(kMaxSpecBytes)}});
}

absl::StatusOr<std::string> ReadBounded(int fd, const std::string& path) {
  struct stat status;
  if (fstat(fd, &status) != 0) return BundleInvalid(path, std::strerror(errno));
  if (!S_ISREG(status.st_mode)) return BundleInvalid(path, "is not a plain file");
  const auto size = static_cast<uint64_t>(status.st_size);
  if (size > kMaxSpecBytes) return TooLarge(path, size);
  // One byte more than it has: then a file that grows meanwhile does not pass as the whole.
  std::string text(size + 1, '\0');
  size_t length = 0;
  while (length < text.size()) {
    const ssize_t count = read(fd, text.data() + length, text.size() - length);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return BundleInvalid(path, std::strerror(errno));
    if (count == 0) break;
    length += static_cast<size_t>(count);
  }
  if (length > size) return BundleInvalid(path, "grew while it was read");
  text.resize(length);
  return text;
}

}  // namespace

absl::StatusOr<BundleConfig> ReadBundleConfig(const std::string& bundle) {
  const UniqueFd folder(open(bundle.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid()) return BundleInvalid(bundle, std::strerror(errno));
  BundleConfig config;
  config.source_file = absl::StrCat(bundle, "/config.json");
  // O_NONBLOCK: a FIFO in its place must not stop us.
  const UniqueFd file(
      openat(folder.get(), "config.json", O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.valid()) return BundleInvalid(config.source_file, std::strerror(errno));
  const absl::StatusOr<std::string> text = ReadBounded(file.get(), config.source_file);
  if (!text.ok()) return text.status();
  config.source_sha256 = Sha256Digest(*text);
  absl::StatusOr<OciSpec> spec = OciSpec::Parse(*text);
  if (!spec.ok()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "SPEC_MALFORMED",
                     absl::StrCat(config.source_file, ": ", spec.status().message()),
                     {{"path", config.source_file}});
  }
  config.spec = *std::move(spec);
  return config;
}

}  // namespace ocid
