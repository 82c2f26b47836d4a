#include "runtime/cli/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "runtime/base/unique_fd.h"

namespace ocid {
namespace {

constexpr size_t kMaxBytes = size_t{16} << 20;
constexpr size_t kChunk = 16384;

absl::StatusOr<std::string> ReadToEnd(int fd, const std::string& path) {
  std::string text;
  for (;;) {
    const size_t used = text.size();
    text.resize(used + kChunk);
    const ssize_t size = read(fd, text.data() + used, kChunk);
    text.resize(used + static_cast<size_t>(size > 0 ? size : 0));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return absl::ErrnoToStatus(errno, absl::StrCat("read ", path));
    if (size == 0) return text;
    if (text.size() > kMaxBytes) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": larger than 16 MiB"));
    }
  }
}

}  // namespace

absl::StatusOr<std::string> ReadWholeFile(const std::string& path) {
  if (path == "-") return ReadToEnd(STDIN_FILENO, "standard input");
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("open ", path));
  return ReadToEnd(file.get(), path);
}

absl::Status ReplaceFile(const std::string& path, std::string_view bytes) {
  const size_t slash = path.rfind('/');
  const size_t name = slash == std::string::npos ? 0 : slash + 1;
  const std::string temporary =
      absl::StrCat(path.substr(0, name), ".", path.substr(name), ".", getpid());
  const UniqueFd file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("create ", temporary));
  const ssize_t size = write(file.get(), bytes.data(), bytes.size());
  if (size == static_cast<ssize_t>(bytes.size()) && rename(temporary.c_str(), path.c_str()) == 0) {
    return absl::OkStatus();
  }
  const absl::Status failed = absl::ErrnoToStatus(errno, absl::StrCat("write ", path));
  unlink(temporary.c_str());
  return failed;
}

}  // namespace ocid
