#include "daemon/image/fresh_output.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "daemon/image/image_errors.h"
#include "daemon/image/store_files.h"

namespace ocid {

absl::StatusOr<FreshOutput> FreshOutput::Begin(const std::string& path) {
  const size_t slash = path.rfind('/');
  std::string name = slash == std::string::npos ? std::string() : path.substr(slash + 1);
  if (!path.starts_with('/') || name.empty() || name == "." || name == "..") {
    return ImageInvalid("\"" + path + "\" is not an absolute path of something new");
  }
  const std::string parent_path = slash == 0 ? "/" : path.substr(0, slash);
  UniqueFd parent(open(parent_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent.valid()) return ImageInvalid(parent_path + ": " + strerrorname_np(errno));
  if (faccessat(parent.get(), name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
    return ImageInvalid(path + ": exists");
  }
  static std::atomic<uint64_t> counter = 0;
  std::string partial_name = "." + name.substr(0, 200) + ".partial." + std::to_string(getpid()) +
                             "." + std::to_string(counter++);
  return FreshOutput(std::move(parent), path, std::move(name), std::move(partial_name));
}

FreshOutput::~FreshOutput() {
  if (parent_.valid()) RemoveTreeAt(parent_, partial_name_).IgnoreError();
}

absl::Status FreshOutput::Commit() && {
  if (renameat2(parent_.get(), partial_name_.c_str(), parent_.get(), name_.c_str(),
                RENAME_NOREPLACE) != 0) {
    return errno == EEXIST ? ImageInvalid(path_ + ": exists")
                           : StoreFailed("rename " + partial_name_, errno);
  }
  const UniqueFd parent = std::move(parent_);
  return SyncDirectory(parent);
}

}  // namespace ocid
