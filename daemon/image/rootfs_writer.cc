#include "daemon/image/rootfs_writer.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <limits>
#include <utility>

#include "daemon/image/image_errors.h"
#include "daemon/image/store_files.h"

namespace ocid {
namespace {

constexpr uint64_t kResolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
constexpr int kMaxLinks = 40;  // as the kernel's own limit, MAXSYMLINKS
constexpr int kMaxDepth = 256;
constexpr uint64_t kMaxId = std::numeric_limits<uint32_t>::max() - 1;  // (uid_t)-1 means "leave it"

std::string_view ParentOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

std::string NameOf(std::string_view path) { return std::string(path.substr(path.rfind('/') + 1)); }

std::string Join(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + "/" + name;
}

std::string ProcPath(BorrowedFd fd) { return "/proc/self/fd/" + std::to_string(fd.get()); }

absl::Status EntryFailed(const std::string& what, const std::string& path, int error_number) {
  switch (error_number) {
    case ELOOP:
    case ENAMETOOLONG:
    case ENOTDIR:
    case EXDEV:
      return ImageInvalid("layer: " + what + " " + path + ": " + strerrorname_np(error_number));
    default:
      return StoreFailed(what + " " + path, error_number);
  }
}

// A link's target, as seen from the root, without looking at the file system.
std::string ResolveLexically(std::string_view directory, std::string_view target) {
  std::vector<std::string_view> parts;
  const auto walk = [&parts](std::string_view path) {
    while (!path.empty()) {
      const size_t slash = path.find('/');
      const std::string_view part = path.substr(0, slash);
      path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
      if (part.empty() || part == ".") continue;
      if (part != "..") {
        parts.push_back(part);
      } else if (!parts.empty()) {
        parts.pop_back();
      }
    }
  };
  if (target.empty() || target.front() != '/') walk(directory);
  walk(target);
  std::string result;
  for (const std::string_view part : parts) {
    if (!result.empty()) result += '/';
    result += part;
  }
  return result;
}

// Attributes that are not the image's to set: overlayfs's own, which would make it follow a hostile
// redirect, and labels, which are the host's policy.
bool IsForbiddenXattr(std::string_view name) {
  return name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.") ||
         name == "security.selinux" || name == "security.ima" || name == "security.evm";
}

absl::Status ClearXattrs(BorrowedFd directory) {
  std::array<char, 1 << 16> names;
  const ssize_t size = flistxattr(directory.get(), names.data(), names.size());
  if (size < 0) return errno == ENOTSUP ? absl::OkStatus() : StoreFailed("listxattr", errno);
  for (ssize_t at = 0; at < size;) {
    const std::string name(names.data() + at);
    at += static_cast<ssize_t>(name.size()) + 1;
    if (IsForbiddenXattr(name)) continue;
    if (fremovexattr(directory.get(), name.c_str()) != 0 && errno != ENODATA &&
        errno != ENOTSUP) {
      return StoreFailed("removexattr " + name, errno);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> NormalizeEntryPath(std::string_view path) {
  std::string normal;
  const std::string_view whole = path;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      return ImageInvalid("layer: entry \"" + std::string(whole.substr(0, 200)) +
                          "\" leads out of the root");
    }
    if (part.size() > NAME_MAX || part.find('\0') != std::string_view::npos) {
      return ImageInvalid("layer: entry \"" + std::string(whole.substr(0, 200)) +
                          "\": no file can have this name");
    }
    if (!normal.empty()) normal += '/';
    normal += part;
  }
  if (normal.size() >= PATH_MAX) {
    return ImageInvalid("layer: entry \"" + normal.substr(0, 200) + "...\": path is too long");
  }
  return normal;
}

absl::StatusOr<BorrowedFd> RootfsWriter::OpenParent(const std::string& path) {
  const std::string parent(ParentOf(path));
  if (parent_.valid() && !parent_stale_ && parent == parent_path_) return BorrowedFd(parent_);
  absl::StatusOr<UniqueFd> opened = OpenDirectory(parent, /*depth=*/0);
  if (!opened.ok()) return opened.status();
  parent_ = *std::move(opened);
  parent_path_ = parent;
  parent_stale_ = false;
  NoteTouched(parent, parent_);
  return BorrowedFd(parent_);
}

absl::StatusOr<UniqueFd> RootfsWriter::OpenDirectory(const std::string& path, int depth) {
  UniqueFd fd(OpenAt2(root_.get(), path.empty() ? "." : path.c_str(),
                      O_PATH | O_DIRECTORY | O_CLOEXEC, 0, kResolve));
  if (fd.valid()) return fd;
  if (errno != ENOENT || path.empty()) return EntryFailed("open parent", path, errno);

  absl::StatusOr<UniqueFd> parent = OpenDirectory(std::string(ParentOf(path)), depth);
  if (!parent.ok()) return parent;
  NoteTouched(std::string(ParentOf(path)), *parent);
  const std::string name = NameOf(path);
  if (mkdirat(parent->get(), name.c_str(), 0755) != 0) {
    if (errno == EEXIST) return FollowDangling(path, depth);
    return EntryFailed("mkdir", path, errno);
  }
  fd.reset(OpenAt2(parent->get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0,
                   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS));
  if (!fd.valid()) return EntryFailed("open", path, errno);
  if (fchmod(fd.get(), 0755) != 0) return EntryFailed("chmod", path, errno);
  if (owner_.has_value() && fchown(fd.get(), owner_->uid, owner_->gid) != 0) {
    return EntryFailed("chown", path, errno);
  }
  NoteCreated(path);
  // The archive says nothing about this directory: any time will do that is the same every time.
  pending_[path] = {};
  return fd;
}

// The path names a symbolic link to nothing. What it names is made, within the root.
absl::StatusOr<UniqueFd> RootfsWriter::FollowDangling(const std::string& path, int depth) {
  if (depth == kMaxLinks) return EntryFailed("open parent", path, ELOOP);
  const std::string directory(ParentOf(path));
  UniqueFd parent(OpenAt2(root_.get(), directory.empty() ? "." : directory.c_str(),
                          O_PATH | O_DIRECTORY | O_CLOEXEC, 0, kResolve));
  if (!parent.valid()) return EntryFailed("open parent", path, errno);
  std::array<char, PATH_MAX> target;
  const ssize_t size =
      readlinkat(parent.get(), NameOf(path).c_str(), target.data(), target.size());
  if (size < 0) return EntryFailed("open parent", path, errno == EINVAL ? ENOTDIR : errno);
  const std::string resolved =
      ResolveLexically(directory, {target.data(), static_cast<size_t>(size)});
  return OpenDirectory(resolved, depth + 1);
}

void RootfsWriter::NoteCreated(const std::string& path) {
  std::string_view at = path;
  while (!at.empty() && created_.emplace(at).second) at = ParentOf(at);
}

void RootfsWriter::NoteTouched(const std::string& directory, BorrowedFd fd) {
  if (pending_.contains(directory)) return;
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return;
  pending_[directory] = Pending{.mode = std::nullopt, .mtime = info.st_mtim};
}

absl::Status RootfsWriter::RemoveAny(BorrowedFd parent, const std::string& path) {
  absl::Status removed = RemoveTreeAt(parent, NameOf(path));
  if (!removed.ok()) return removed;
  parent_stale_ = true;
  created_.erase(path);
  const std::string below = path + "/";
  for (auto it = pending_.lower_bound(path); it != pending_.end();) {
    if (it->first != path && !it->first.starts_with(below)) {
      if (it->first > below) break;
      ++it;
      continue;
    }
    created_.erase(it->first);
    it = pending_.erase(it);
  }
  return absl::OkStatus();
}

absl::Status RootfsWriter::SetOwner(BorrowedFd file, const EntryAttributes& attributes) {
  if (!owner_.has_value() && (attributes.uid > kMaxId || attributes.gid > kMaxId)) {
    return ImageInvalid("layer: owner " + std::to_string(attributes.uid) + ":" +
                        std::to_string(attributes.gid) + " is no id");
  }
  const uid_t uid = owner_.has_value() ? owner_->uid : static_cast<uid_t>(attributes.uid);
  const gid_t gid = owner_.has_value() ? owner_->gid : static_cast<gid_t>(attributes.gid);
  if (fchownat(file.get(), "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0) {
    return StoreFailed("chown", errno);
  }
  return absl::OkStatus();
}

absl::Status RootfsWriter::SetXattrs(BorrowedFd file, bool path_only,
                                     const EntryAttributes& attributes) {
  for (const auto& [name, value] : attributes.xattrs) {
    if (IsForbiddenXattr(name)) continue;
    if (owner_.has_value() && !name.starts_with("user.")) continue;
    // An O_PATH descriptor takes no fsetxattr(2); its magic link leads to the very inode.
    const int result =
        path_only
            ? setxattr(ProcPath(file).c_str(), name.c_str(), value.data(), value.size(), 0)
            : fsetxattr(file.get(), name.c_str(), value.data(), value.size(), 0);
    if (result == 0) continue;
    // A capability that is lost breaks the program that has it; the rest is decoration. EPERM: only
    // files and directories have user.* attributes.
    if (name != "security.capability" && (errno == ENOTSUP || errno == EPERM)) {
      ++dropped_xattrs_;
      continue;
    }
    if (errno == EINVAL || errno == ERANGE || errno == E2BIG) {
      return ImageInvalid("layer: extended attribute " + name.substr(0, 255) + " is malformed");
    }
    return StoreFailed("setxattr " + name.substr(0, 255), errno);
  }
  return absl::OkStatus();
}

absl::Status RootfsWriter::MakeDirectory(const std::string& path,
                                         const EntryAttributes& attributes) {
  UniqueFd directory;
  bool existed = true;
  if (path.empty()) {
    directory.reset(openat(root_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  } else {
    absl::StatusOr<BorrowedFd> parent = OpenParent(path);
    if (!parent.ok()) return parent.status();
    const std::string name = NameOf(path);
    for (int attempt = 0; attempt < 2; ++attempt) {
      // 0700 until the end: nobody else looks in while it is filled.
      existed = mkdirat(parent->get(), name.c_str(), 0700) != 0;
      if (existed && errno != EEXIST) return EntryFailed("mkdir", path, errno);
      directory.reset(OpenAt2(parent->get(), name.c_str(),
                              O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0,
                              RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS));
      if (directory.valid() || (errno != ENOTDIR && errno != ELOOP)) break;
      absl::Status removed = RemoveAny(*parent, path);
      if (!removed.ok()) return removed;
    }
    NoteCreated(path);
  }
  if (!directory.valid()) return EntryFailed("open", path, errno);
  absl::Status status = existed ? ClearXattrs(directory) : absl::OkStatus();
  if (status.ok()) status = SetOwner(directory, attributes);
  if (status.ok()) status = SetXattrs(directory, /*path_only=*/false, attributes);
  if (!status.ok()) return status;
  pending_[path] = Pending{.mode = attributes.mode, .mtime = attributes.mtime};
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> RootfsWriter::CreateFile(const std::string& path) {
  if (path.empty()) return ImageInvalid("layer: the root is not a directory");
  absl::StatusOr<BorrowedFd> parent = OpenParent(path);
  if (!parent.ok()) return parent.status();
  const std::string name = NameOf(path);
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  UniqueFd file(openat(parent->get(), name.c_str(), kFlags, 0600));
  if (!file.valid() && errno == EEXIST) {
    absl::Status removed = RemoveAny(*parent, path);
    if (!removed.ok()) return removed;
    file.reset(openat(parent->get(), name.c_str(), kFlags, 0600));
  }
  if (!file.valid()) return EntryFailed("create", path, errno);
  NoteCreated(path);
  return file;
}

absl::Status RootfsWriter::FinishFile(BorrowedFd file, const EntryAttributes& attributes) {
  // In this order: chown(2) drops setuid bits and capabilities.
  absl::Status status = SetOwner(file, attributes);
  if (!status.ok()) return status;
  if (fchmod(file.get(), attributes.mode) != 0) return StoreFailed("chmod", errno);
  status = SetXattrs(file, /*path_only=*/false, attributes);
  if (!status.ok()) return status;
  const std::array<timespec, 2> times = {attributes.mtime, attributes.mtime};
  if (futimens(file.get(), times.data()) != 0) return StoreFailed("utimens", errno);
  return absl::OkStatus();
}

absl::Status RootfsWriter::SetNodeAttributes(BorrowedFd parent, const std::string& name,
                                             bool is_symlink, const EntryAttributes& attributes) {
  UniqueFd node(openat(parent.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!node.valid()) return StoreFailed("open " + name, errno);
  absl::Status status = SetOwner(node, attributes);
  if (!status.ok()) return status;
  if (!is_symlink && chmod(ProcPath(node).c_str(), attributes.mode) != 0) {
    return StoreFailed("chmod " + name, errno);
  }
  status = SetXattrs(node, /*path_only=*/true, attributes);
  if (!status.ok()) return status;
  const std::array<timespec, 2> times = {attributes.mtime, attributes.mtime};
  if (utimensat(parent.get(), name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
    return StoreFailed("utimens " + name, errno);
  }
  return absl::OkStatus();
}

absl::Status RootfsWriter::MakeSymlink(const std::string& path, const std::string& target,
                                       const EntryAttributes& attributes) {
  // A link in the root's place would make every later entry land where it leads (CVE-2021-29136).
  if (path.empty()) return ImageInvalid("layer: the root is not a directory");
  if (target.empty() || target.size() >= PATH_MAX) {
    return ImageInvalid("layer: symbolic link " + path + " has no target that a link can have");
  }
  absl::StatusOr<BorrowedFd> parent = OpenParent(path);
  if (!parent.ok()) return parent.status();
  const std::string name = NameOf(path);
  int result = symlinkat(target.c_str(), parent->get(), name.c_str());
  if (result != 0 && errno == EEXIST) {
    absl::Status removed = RemoveAny(*parent, path);
    if (!removed.ok()) return removed;
    result = symlinkat(target.c_str(), parent->get(), name.c_str());
  }
  if (result != 0) return EntryFailed("symlink", path, errno);
  NoteCreated(path);
  return SetNodeAttributes(*parent, name, /*is_symlink=*/true, attributes);
}

absl::Status RootfsWriter::MakeHardLink(const std::string& path, const std::string& target) {
  if (path.empty()) return ImageInvalid("layer: the root is not a directory");
  const auto bad_target = [&](std::string_view why) {
    return ImageInvalid("layer: hard link " + path + " to " + target.substr(0, 200) + ": " +
                        std::string(why));
  };
  if (target.empty()) return bad_target("the root is a directory");
  const std::string target_parent(ParentOf(target));
  UniqueFd from(OpenAt2(root_.get(), target_parent.empty() ? "." : target_parent.c_str(),
                        O_PATH | O_DIRECTORY | O_CLOEXEC, 0, kResolve));
  if (!from.valid()) return bad_target("no such file");
  const std::string target_name = NameOf(target);
  struct stat info;
  if (fstatat(from.get(), target_name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return bad_target("no such file");
  }
  if (S_ISDIR(info.st_mode)) return bad_target("is a directory");
  if (path == target) return absl::OkStatus();

  absl::StatusOr<BorrowedFd> parent = OpenParent(path);
  if (!parent.ok()) return parent.status();
  const std::string name = NameOf(path);
  struct stat existing;
  if (fstatat(parent->get(), name.c_str(), &existing, AT_SYMLINK_NOFOLLOW) == 0) {
    if (existing.st_dev == info.st_dev && existing.st_ino == info.st_ino) {
      NoteCreated(path);
      return absl::OkStatus();
    }
    absl::Status removed = RemoveAny(*parent, path);
    if (!removed.ok()) return removed;
  }
  // No AT_SYMLINK_FOLLOW: a link to a symbolic link is a second name of that link.
  if (linkat(from.get(), target_name.c_str(), parent->get(), name.c_str(), 0) != 0) {
    return errno == ENOENT ? bad_target("was in the way itself") : EntryFailed("link", path, errno);
  }
  NoteCreated(path);
  return absl::OkStatus();
}

absl::Status RootfsWriter::MakeNode(const std::string& path, mode_t type, dev_t device,
                                    const EntryAttributes& attributes) {
  if (path.empty()) return ImageInvalid("layer: the root is not a directory");
  if (type == S_IFCHR && device == makedev(0, 0)) {
    // In a directory of overlayfs this is a whiteout, and would hide what lower layers have.
    return ImageInvalid("layer: device " + path + " has the number 0:0");
  }
  absl::StatusOr<BorrowedFd> parent = OpenParent(path);
  if (!parent.ok()) return parent.status();
  const std::string name = NameOf(path);
  if (owner_.has_value() && type != S_IFIFO) type = S_IFREG;
  int result = mknodat(parent->get(), name.c_str(), type | 0600, type == S_IFREG ? 0 : device);
  if (result != 0 && errno == EEXIST) {
    absl::Status removed = RemoveAny(*parent, path);
    if (!removed.ok()) return removed;
    result = mknodat(parent->get(), name.c_str(), type | 0600, type == S_IFREG ? 0 : device);
  }
  if (result != 0) return EntryFailed("mknod", path, errno);
  NoteCreated(path);
  return SetNodeAttributes(*parent, name, /*is_symlink=*/false, attributes);
}

absl::Status RootfsWriter::RemoveLower(const std::string& path) {
  const std::string directory(ParentOf(path));
  UniqueFd parent(OpenAt2(root_.get(), directory.empty() ? "." : directory.c_str(),
                          O_PATH | O_DIRECTORY | O_CLOEXEC, 0, kResolve));
  if (!parent.valid()) {
    if (errno == ENOENT || errno == ENOTDIR) return absl::OkStatus();
    return EntryFailed("open parent", path, errno);
  }
  if (created_.contains(path)) return RemoveLowerContents(path);
  NoteTouched(directory, parent);
  return RemoveAny(parent, path);
}

absl::Status RootfsWriter::RemoveLowerContents(const std::string& path) {
  UniqueFd directory(OpenAt2(root_.get(), path.empty() ? "." : path.c_str(),
                             O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, kResolve));
  if (!directory.valid()) {
    if (errno == ENOENT || errno == ENOTDIR) return absl::OkStatus();
    return EntryFailed("open", path, errno);
  }
  return RemoveLowerIn(directory, path, /*depth=*/0);
}

absl::Status RootfsWriter::RemoveLowerIn(BorrowedFd directory, const std::string& path,
                                         int depth) {
  if (depth == kMaxDepth) return EntryFailed("remove", path, ENAMETOOLONG);
  NoteTouched(path, directory);
  absl::StatusOr<std::vector<std::string>> names = ListDirectory(directory);
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    const std::string child = Join(path, name);
    if (!created_.contains(child)) {
      absl::Status removed = RemoveAny(directory, child);
      if (!removed.ok()) return removed;
      continue;
    }
    UniqueFd below(openat(directory.get(), name.c_str(),
                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!below.valid()) continue;  // not a directory: it is this layer's and stays
    absl::Status removed = RemoveLowerIn(below, child, depth + 1);
    if (!removed.ok()) return removed;
  }
  return absl::OkStatus();
}

absl::Status RootfsWriter::Finish() {
  // From the longest path: a mode that shuts us out must not hide what is below.
  for (auto it = pending_.rbegin(); it != pending_.rend(); ++it) {
    const auto& [path, attributes] = *it;
    UniqueFd directory(OpenAt2(root_.get(), path.empty() ? "." : path.c_str(),
                               O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, kResolve));
    if (!directory.valid()) {
      if (errno == ENOENT || errno == ENOTDIR) continue;  // replaced or removed since
      return EntryFailed("open", path, errno);
    }
    if (attributes.mode.has_value() && fchmod(directory.get(), *attributes.mode) != 0) {
      return EntryFailed("chmod", path, errno);
    }
    const std::array<timespec, 2> times = {attributes.mtime, attributes.mtime};
    if (futimens(directory.get(), times.data()) != 0) return EntryFailed("utimens", path, errno);
  }
  pending_.clear();
  parent_.reset();
  return absl::OkStatus();
}

}  // namespace ocid
