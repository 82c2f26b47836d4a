#include "daemon/image/fresh_output.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/image/image_errors.h"
#include "daemon/image/store_files.h"

namespace ocid {
namespace {

constexpr std::string_view kPartial = ".partial.";
constexpr uint64_t kMaxNoteBytes = 2 * PATH_MAX;

// Half of a note, which is about nothing yet, is called otherwise.
bool IsPartialName(std::string_view name) {
  const size_t partial = name.rfind(kPartial);
  return name.starts_with('.') && partial != std::string_view::npos &&
         name.find_first_not_of("0123456789.", partial + kPartial.size()) == std::string_view::npos;
}

// A note is called as what it is about, and says in which directory that is.
absl::Status RemoveNoted(BorrowedFd notes, const std::string& name) {
  const UniqueFd note(openat(notes.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!note.valid()) return StoreFailed("open a note of " + name, errno);
  const absl::StatusOr<std::string> parent_path = ReadAll(note, kMaxNoteBytes, name);
  if (!parent_path.ok()) return parent_path.status();
  const UniqueFd parent(open(parent_path->c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (parent.valid()) return RemoveTreeAt(parent, name);
  // With its directory it has gone, too.
  return errno == ENOENT ? absl::OkStatus() : StoreFailed("open " + *parent_path, errno);
}

}  // namespace

absl::Status FreshOutput::RemoveUnfinished(BorrowedFd notes) {
  const absl::StatusOr<std::vector<std::string>> names = ListDirectory(notes);
  if (!names.ok()) return names.status();
  absl::Status first;
  for (const std::string& name : *names) {
    absl::Status removed = IsPartialName(name) ? RemoveNoted(notes, name) : absl::OkStatus();
    if (removed.ok()) removed = RemoveTreeAt(notes, name);
    first.Update(removed);
  }
  return first;
}

absl::StatusOr<FreshOutput> FreshOutput::Begin(const std::string& path, BorrowedFd notes) {
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
  std::string partial_name = "." + name.substr(0, 200) + std::string(kPartial) +
                             std::to_string(getpid()) + "." + std::to_string(counter++);
  const absl::Status noted = ReplaceDurably(notes, partial_name, parent_path);
  if (!noted.ok()) return noted;
  return FreshOutput(std::move(parent), notes, path, std::move(name), std::move(partial_name));
}

FreshOutput::~FreshOutput() {
  if (!parent_.valid()) return;
  absl::Status removed = RemoveTreeAt(parent_, partial_name_);
  if (removed.ok()) removed = RemoveTreeAt(notes_, partial_name_);
  removed.IgnoreError();  // the note stays, for the next daemon
}

absl::Status FreshOutput::Commit() && {
  if (renameat2(parent_.get(), partial_name_.c_str(), parent_.get(), name_.c_str(),
                RENAME_NOREPLACE) != 0) {
    return errno == EEXIST ? ImageInvalid(path_ + ": exists")
                           : StoreFailed("rename " + partial_name_, errno);
  }
  const UniqueFd parent = std::move(parent_);
  const absl::Status synced = SyncDirectory(parent);
  RemoveTreeAt(notes_, partial_name_).IgnoreError();  // about nothing any more
  return synced;
}

}  // namespace ocid
