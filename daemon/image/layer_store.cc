#include "daemon/image/layer_store.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <thread>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "daemon/image/image_errors.h"
#include "daemon/image/store_files.h"
#include "daemon/image/user_lookup.h"

namespace ocid {
namespace {

std::string DirectoryName(const Digest& chain_id) {
  return std::string(chain_id.algorithm_name()) + "-" + chain_id.hex();
}

// What a container with these layers would read as /etc/passwd: kept beside the layer, so that nobody
// has to mount the stack, or to walk it, to look a name up.
absl::Status CopyAccountFile(BorrowedFd root, const std::string& path, BorrowedFd staging,
                             const std::string& name) {
  absl::StatusOr<std::optional<std::string>> text = ReadAccountFile(root, path);
  if (!text.ok()) return text.status();
  if (!text->has_value()) return absl::OkStatus();
  UniqueFd file(openat(staging.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file.valid()) return StoreFailed("create " + name, errno);
  return WriteAll(file, **text);
}

absl::Status FillRoot(BorrowedFd root, BorrowedFd staging, UniqueFd blob,
                      const LayerOptions& options) {
  absl::StatusOr<LayerResult> applied = ApplyLayer(std::move(blob), root, options);
  if (!applied.ok()) return applied.status();
  absl::Status copied = CopyAccountFile(root, "etc/passwd", staging, "passwd");
  if (copied.ok()) copied = CopyAccountFile(root, "etc/group", staging, "group");
  return copied;
}

// overlayfs shows the topmost directory's attributes: where a layer does not mention the root, they
// are those of the layer below.
absl::Status CopyRootAttributes(const std::string& from, BorrowedFd to) {
  struct stat info;
  if (stat(from.c_str(), &info) != 0) return StoreFailed("stat " + from, errno);
  const timespec times[2] = {info.st_mtim, info.st_mtim};
  if (fchown(to.get(), info.st_uid, info.st_gid) != 0 ||
      fchmod(to.get(), info.st_mode & 07777) != 0 || futimens(to.get(), times) != 0) {
    return StoreFailed("set attributes of a layer's root", errno);
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> OpenPath(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return StoreFailed("open " + path, errno);
  return fd;
}

// Runs on a thread of its own. `lower`: topmost first.
absl::Status MountAndFill(const std::vector<std::string>& lower, const std::string& staging_path,
                          BorrowedFd staging, UniqueFd blob, const LayerOptions& options) {
  if (unshare(CLONE_NEWNS) != 0) return StoreFailed("unshare mount namespace", errno);
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return StoreFailed("make mounts private", errno);
  }
  // By descriptor, because mount(2)'s options are one page and a digest is long. The descriptors must
  // be of this mount namespace.
  std::vector<UniqueFd> keep_open;
  std::string mount_options = "lowerdir=";
  for (const std::string& path : lower) {
    absl::StatusOr<UniqueFd> fd = OpenPath(path);
    if (!fd.ok()) return fd.status();
    if (!keep_open.empty()) mount_options += ':';
    mount_options += "/proc/self/fd/" + std::to_string(fd->get());
    keep_open.push_back(*std::move(fd));
  }
  for (const auto& [option, name] : {std::pair(",upperdir=", "/fs"), std::pair(",workdir=", "/work")}) {
    absl::StatusOr<UniqueFd> fd = OpenPath(staging_path + name);
    if (!fd.ok()) return fd.status();
    mount_options += option + ("/proc/self/fd/" + std::to_string(fd->get()));
    keep_open.push_back(*std::move(fd));
  }
  // A layer must serve on top of any copy of what is below it: nothing in it may point there.
  mount_options += ",index=off,metacopy=off,redirect_dir=off,xino=off";
  const std::string merged_path = staging_path + "/merged";
  if (mount("overlay", merged_path.c_str(), "overlay", 0, mount_options.c_str()) != 0) {
    return StoreFailed("mount overlay of " + std::to_string(lower.size()) + " layers", errno);
  }
  absl::StatusOr<UniqueFd> merged = OpenPath(merged_path);
  if (!merged.ok()) return merged.status();
  return FillRoot(*merged, staging, std::move(blob), options);
}

}  // namespace

absl::StatusOr<std::unique_ptr<LayerStore>> LayerStore::Open(const std::string& directory) {
  std::unique_ptr<LayerStore> store(new LayerStore(directory));
  absl::StatusOr<UniqueFd> directory_fd = OpenOrMakeDirectory(directory);
  if (!directory_fd.ok()) return directory_fd.status();
  store->directory_fd_ = *std::move(directory_fd);
  // What a daemon that was killed had in the making, or was removing.
  absl::Status emptied = RemoveTreeAt(store->directory_fd_, ".staging");
  if (!emptied.ok()) return emptied;
  absl::StatusOr<UniqueFd> staging_fd = OpenOrMakeDirectoryAt(store->directory_fd_, ".staging");
  if (!staging_fd.ok()) return staging_fd.status();
  store->staging_fd_ = *std::move(staging_fd);
  return store;
}

bool LayerStore::Contains(const Digest& chain_id) const {
  return faccessat(directory_fd_.get(), DirectoryName(chain_id).c_str(), F_OK,
                   AT_SYMLINK_NOFOLLOW) == 0;
}

std::string LayerStore::Path(const Digest& chain_id) const {
  return directory_ + "/" + DirectoryName(chain_id) + "/fs";
}

absl::Status LayerStore::Unpack(const std::vector<Digest>& chain, const OpenBlob& open_blob,
                                const LayerOptions& options) {
  const Digest& chain_id = chain.back();
  {
    MutexLock lock(mutex_);
    while (unpacking_.contains(chain_id)) released_.Wait(mutex_);
    if (Contains(chain_id)) return absl::OkStatus();
    unpacking_.insert(chain_id);
  }
  absl::Cleanup release = [&] {
    {
      MutexLock lock(mutex_);
      unpacking_.erase(chain_id);
    }
    released_.SignalAll();
  };
  return UnpackStaged(chain, open_blob, options);
}

absl::Status LayerStore::UnpackStaged(const std::vector<Digest>& chain, const OpenBlob& open_blob,
                                      const LayerOptions& options) {
  std::string name;
  {
    MutexLock lock(mutex_);
    name = std::to_string(counter_++);
  }
  const std::string staging = directory_ + "/.staging/" + name;
  absl::Cleanup remove_staging = [&] { RemoveTreeAt(staging_fd_, name).IgnoreError(); };
  absl::Status filled = Fill(staging, chain, open_blob, options);
  if (!filled.ok()) return filled;
  if (renameat(staging_fd_.get(), name.c_str(), directory_fd_.get(),
               DirectoryName(chain.back()).c_str()) != 0) {
    return StoreFailed("rename a layer", errno);
  }
  std::move(remove_staging).Cancel();
  return SyncDirectory(directory_fd_);
}

absl::Status LayerStore::Fill(const std::string& staging, const std::vector<Digest>& chain,
                              const OpenBlob& open_blob, const LayerOptions& options) const {
  absl::StatusOr<UniqueFd> staging_fd = OpenOrMakeDirectory(staging);
  if (!staging_fd.ok()) return staging_fd.status();
  absl::StatusOr<UniqueFd> root = OpenOrMakeDirectoryAt(*staging_fd, "fs");
  if (!root.ok()) return root.status();
  // The root of a container, which images need not mention, is open to every user in it.
  if (fchmod(root->get(), 0755) != 0) return StoreFailed("chmod fs", errno);
  absl::StatusOr<UniqueFd> blob = open_blob();
  if (!blob.ok()) return blob.status();

  absl::Status status;
  if (chain.size() == 1) {
    status = FillRoot(*root, *staging_fd, *std::move(blob), options);
  } else {
    absl::Status copied = CopyRootAttributes(Path(chain[chain.size() - 2]), *root);
    if (!copied.ok()) return copied;
    for (const char* name : {"work", "merged"}) {
      absl::StatusOr<UniqueFd> made = OpenOrMakeDirectoryAt(*staging_fd, name);
      if (!made.ok()) return made.status();
    }
    std::vector<std::string> lower;
    for (size_t i = chain.size() - 1; i-- > 0;) lower.push_back(Path(chain[i]));
    std::thread thread([&] {
      status = MountAndFill(lower, staging, *staging_fd, *std::move(blob), options);
    });
    thread.join();
    for (const char* name : {"merged", "work"}) {
      absl::Status removed = RemoveTreeAt(*staging_fd, name);
      if (status.ok()) status = removed;
    }
  }
  if (!status.ok()) return status;
  // The layer's files are many and new: one call for the file system instead of one for each.
  if (syncfs(staging_fd->get()) != 0) return StoreFailed("syncfs", errno);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<std::string>> LayerStore::ReadCopy(const Digest& chain_id,
                                                                const std::string& name) const {
  const std::string path = DirectoryName(chain_id) + "/" + name;
  UniqueFd file(openat(directory_fd_.get(), path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file.valid()) {
    if (errno == ENOENT && Contains(chain_id)) return std::nullopt;
    return StoreFailed("open " + path, errno);
  }
  absl::StatusOr<std::string> text = ReadAll(file, kMaxAccountFileBytes, path);
  if (!text.ok()) return text.status();
  return std::optional<std::string>(*std::move(text));
}

absl::StatusOr<std::optional<std::string>> LayerStore::Passwd(const Digest& chain_id) const {
  return ReadCopy(chain_id, "passwd");
}

absl::StatusOr<std::optional<std::string>> LayerStore::Group(const Digest& chain_id) const {
  return ReadCopy(chain_id, "group");
}

absl::StatusOr<std::vector<Digest>> LayerStore::List() const {
  absl::StatusOr<std::vector<std::string>> names = ListDirectory(directory_fd_);
  if (!names.ok()) return names.status();
  std::vector<Digest> chain_ids;
  for (std::string& name : *names) {
    const size_t dash = name.find('-');
    if (dash == std::string::npos) continue;
    name[dash] = ':';
    absl::StatusOr<Digest> chain_id = Digest::Parse(name);
    if (chain_id.ok()) chain_ids.push_back(*std::move(chain_id));
  }
  return chain_ids;
}

absl::StatusOr<uint64_t> LayerStore::UsedBytes(const Digest& chain_id) const {
  UniqueFd directory(openat(directory_fd_.get(), DirectoryName(chain_id).c_str(),
                            O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory.valid()) {
    if (errno == ENOENT) return 0;
    return StoreFailed("open a layer", errno);
  }
  return DiskUsage(directory);
}

absl::StatusOr<uint64_t> LayerStore::Remove(const Digest& chain_id) {
  absl::StatusOr<uint64_t> bytes = UsedBytes(chain_id);
  if (!bytes.ok()) return bytes;
  std::string name;
  {
    MutexLock lock(mutex_);
    name = "removed." + std::to_string(counter_++);
  }
  // Renamed first: half a layer must not have its name.
  if (renameat(directory_fd_.get(), DirectoryName(chain_id).c_str(), staging_fd_.get(),
               name.c_str()) != 0) {
    if (errno == ENOENT) return 0;
    return StoreFailed("rename a layer", errno);
  }
  absl::Status removed = RemoveTreeAt(staging_fd_, name);
  if (!removed.ok()) return removed;
  return bytes;
}

}  // namespace ocid
