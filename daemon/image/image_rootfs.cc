#include "daemon/image/image_rootfs.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "daemon/image/image_errors.h"
#include "daemon/image/store_files.h"

namespace ocid {
namespace {

absl::StatusOr<bool> IsMountPoint(const std::string& path) {
  struct statx info;
  if (statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0, &info) != 0) {
    return StoreFailed("stat " + path, errno);
  }
  return (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

absl::StatusOr<UniqueFd> OpenPath(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return StoreFailed("open " + path, errno);
  return fd;
}

// The topmost directory is what a container sees as its root.
absl::Status CopyRootAttributes(BorrowedFd from, BorrowedFd to) {
  struct stat info;
  if (fstat(from.get(), &info) != 0) return StoreFailed("stat a layer", errno);
  if (fchown(to.get(), info.st_uid, info.st_gid) != 0 ||
      fchmod(to.get(), info.st_mode & 07777) != 0) {
    return StoreFailed("set attributes of a root", errno);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ImageRootfs>> ImageRootfs::Open(ImageStore& store,
                                                               const std::string& directory) {
  std::unique_ptr<ImageRootfs> rootfs(new ImageRootfs(store, directory));
  absl::StatusOr<UniqueFd> directory_fd = OpenOrMakeDirectory(directory);
  if (!directory_fd.ok()) return directory_fd.status();
  rootfs->directory_fd_ = *std::move(directory_fd);
  absl::StatusOr<std::vector<std::string>> ids = ListDirectory(rootfs->directory_fd_);
  if (!ids.ok()) return ids.status();
  MutexLock lock(rootfs->mutex_);
  for (const std::string& id : *ids) {
    const std::optional<Digest> image = rootfs->ImageOf(id);
    if (!image.has_value()) continue;
    absl::StatusOr<std::unique_ptr<ImageHold>> hold = store.Hold(image->ToString(), id);
    // Without its record the container cannot start again, and can be deleted.
    if (hold.ok()) rootfs->holds_[id] = *std::move(hold);
  }
  return rootfs;
}

std::optional<Digest> ImageRootfs::ImageOf(const std::string& container_id) const {
  UniqueFd own(openat(directory_fd_.get(), container_id.c_str(),
                      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!own.valid()) return std::nullopt;
  const absl::StatusOr<std::vector<std::string>> names = ListDirectory(own);
  if (!names.ok()) return std::nullopt;
  for (const std::string& name : *names) {
    for (const char* algorithm : {"sha256:", "sha512:"}) {
      const absl::StatusOr<Digest> digest = Digest::Parse(algorithm + name);
      if (digest.ok()) return *digest;
    }
  }
  return std::nullopt;
}

absl::StatusOr<ImageRunConfig> ImageRootfs::RunConfig(const std::string& container_id,
                                                      const std::string& name) const {
  const std::optional<Digest> image = ImageOf(container_id);
  absl::StatusOr<ImageRunConfig> config =
      store_.RunConfig(image.has_value() ? image->ToString() : name);
  if (config.ok()) config->name = name;
  return config;
}

std::string ImageRootfs::PathFor(const std::string& container_id, const Digest& manifest) const {
  return directory_ + "/" + container_id + "/" + manifest.hex();
}

absl::Status ImageRootfs::Prepare(const std::string& container_id, const std::string& root_path) {
  const std::string hex = root_path.substr(root_path.rfind('/') + 1);
  const absl::StatusOr<Digest> manifest =
      Digest::Parse((hex.size() == 64 ? "sha256:" : "sha512:") + hex);
  if (!manifest.ok() || root_path != PathFor(container_id, *manifest)) {
    return ImageInvalid("root " + root_path + " is not the image's");
  }
  absl::StatusOr<std::unique_ptr<ImageHold>> hold =
      store_.Hold(manifest->ToString(), container_id);
  if (!hold.ok()) return hold.status();
  const ImageRecord image = (*hold)->image();
  {
    MutexLock lock(mutex_);
    // The hold of an earlier start, where there is one, goes after this one was taken.
    std::swap(holds_[container_id], *hold);
  }
  return Mount(container_id, image, root_path);
}

absl::Status ImageRootfs::Mount(const std::string& container_id, const ImageRecord& image,
                                const std::string& root_path) const {
  absl::StatusOr<UniqueFd> own = OpenOrMakeDirectoryAt(directory_fd_, container_id);
  if (!own.ok()) return own.status();
  const std::string mount_point = root_path.substr(root_path.rfind('/') + 1);
  // The mount point first: by it, the rest is found again.
  for (const std::string& name : {mount_point, std::string("upper"), std::string("work"),
                                  std::string("empty")}) {
    if (mkdirat(own->get(), name.c_str(), 0755) != 0 && errno != EEXIST) {
      return StoreFailed("mkdir " + name, errno);
    }
  }
  const absl::StatusOr<bool> mounted = IsMountPoint(root_path);
  if (!mounted.ok() || *mounted) return mounted.status();

  const std::string own_path = directory_ + "/" + container_id;
  std::vector<std::string> lower;
  const std::vector<Digest> chain = ChainOf(image);
  for (size_t i = chain.size(); i-- > 0;) lower.push_back(store_.layers().Path(chain[i]));
  if (lower.empty()) lower.push_back(own_path + "/empty");
  // By descriptor, because mount(2)'s options are one page and a digest is long.
  std::vector<UniqueFd> keep_open;
  std::string options;
  const auto add = [&](const char* option, const std::string& path) -> absl::Status {
    absl::StatusOr<UniqueFd> fd = OpenPath(path);
    if (!fd.ok()) return fd.status();
    options += option + ("/proc/self/fd/" + std::to_string(fd->get()));
    keep_open.push_back(*std::move(fd));
    return absl::OkStatus();
  };
  for (const std::string& path : lower) {
    absl::Status added = add(options.empty() ? "lowerdir=" : ":", path);
    if (!added.ok()) return added;
  }
  absl::Status added = add(",upperdir=", own_path + "/upper");
  if (added.ok()) added = add(",workdir=", own_path + "/work");
  if (!added.ok()) return added;
  UniqueFd upper(openat(own->get(), "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!upper.valid()) return StoreFailed("open upper", errno);
  const absl::StatusOr<std::vector<std::string>> written = ListDirectory(upper);
  if (!written.ok()) return written.status();
  if (written->empty()) {
    UniqueFd top(open(lower.front().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!top.valid()) return StoreFailed("open " + lower.front(), errno);
    absl::Status copied = CopyRootAttributes(top, upper);
    if (!copied.ok()) return copied;
  }
  if (mount("overlay", root_path.c_str(), "overlay", 0, options.c_str()) != 0) {
    return StoreFailed("mount overlay on " + root_path, errno);
  }
  return absl::OkStatus();
}

absl::Status ImageRootfs::Release(const std::string& container_id) {
  const std::optional<Digest> image = ImageOf(container_id);
  if (image.has_value()) {
    const std::string path = PathFor(container_id, *image);
    // Detached: what still looks into it, another container's mount namespace perhaps, may go on.
    while (umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
    }
    if (errno != EINVAL && errno != ENOENT) return StoreFailed("unmount " + path, errno);
  }
  absl::Status removed = RemoveTreeAt(directory_fd_, container_id);
  if (!removed.ok()) return removed;
  std::unique_ptr<ImageHold> hold;
  {
    MutexLock lock(mutex_);
    const auto found = holds_.find(container_id);
    if (found == holds_.end()) return absl::OkStatus();
    hold = std::move(found->second);
    holds_.erase(found);
  }
  const absl::StatusOr<ImageRecord> record = store_.Get(hold->image().manifest.ToString());
  hold.reset();
  // The last user of an image without a name takes its content along.
  if (record.ok() && record->names.empty()) return store_.CollectGarbage().status();
  return absl::OkStatus();
}

}  // namespace ocid
