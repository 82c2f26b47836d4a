#include "daemon/image/image_files.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <map>
#include <utility>

#include "daemon/image/image_errors.h"
#include "daemon/image/store_files.h"

namespace ocid {
namespace {

constexpr int kMaxLinks = 8;

absl::Status NoSuchFile(std::string_view name) {
  return ImageInvalid("no file \"" + std::string(name.substr(0, 200)) + "\" in the image's source");
}

// Opens only what is regular: opening a FIFO or a device for reading does something by itself.
absl::StatusOr<UniqueFd> OpenRegular(const UniqueFd& found, const std::string& name) {
  struct stat info;
  if (fstat(found.get(), &info) != 0) return StoreFailed("stat " + name, errno);
  if (!S_ISREG(info.st_mode)) return ImageInvalid(name + ": not a regular file");
  UniqueFd file(
      open(("/proc/self/fd/" + std::to_string(found.get())).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return StoreFailed("open " + name, errno);
  return file;
}

class FolderFiles : public ImageFiles {
 public:
  explicit FolderFiles(UniqueFd folder) : folder_(std::move(folder)) {}

  absl::StatusOr<UniqueFd> Open(std::string_view name) const override {
    const std::string path(name);
    const UniqueFd found(Find(path));
    if (!found.valid()) {
      return errno == ENOENT ? NoSuchFile(name) : ImageInvalid(path + ": " + strerrorname_np(errno));
    }
    return OpenRegular(found, path);
  }
  bool Contains(std::string_view name) const override {
    return UniqueFd(Find(std::string(name))).valid();
  }

 private:
  int Find(const std::string& path) const {
    return OpenAt2(folder_.get(), path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC, 0,
                   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  }

  const UniqueFd folder_;
};

// "./a//b" and "a/b" are one name; ".." climbs within the archive.
std::string NormalizeName(std::string_view directory, std::string_view name) {
  std::string path = name.starts_with('/') ? std::string() : std::string(directory);
  while (!name.empty()) {
    const size_t slash = name.find('/');
    const std::string_view part = name.substr(0, slash);
    name = slash == std::string_view::npos ? std::string_view() : name.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      const size_t last = path.rfind('/');
      path.resize(last == std::string::npos ? 0 : last);
      continue;
    }
    if (!path.empty()) path += '/';
    path += part;
  }
  return path;
}

class ArchiveFiles : public ImageFiles {
 public:
  ArchiveFiles(UniqueFd parent, std::string staging_name)
      : parent_(std::move(parent)), staging_name_(std::move(staging_name)) {}
  ~ArchiveFiles() override { RemoveTreeAt(parent_, staging_name_).IgnoreError(); }

  absl::Status Spread(BorrowedFd source, const Limits& limits);

  absl::StatusOr<UniqueFd> Open(std::string_view name) const override {
    const std::string* staged = Find(name);
    if (staged == nullptr) return NoSuchFile(name);
    UniqueFd file(openat(folder_.get(), staged->c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!file.valid()) return StoreFailed("open a staged file", errno);
    return file;
  }
  bool Contains(std::string_view name) const override { return Find(name) != nullptr; }

 private:
  absl::Status SpreadEntry(archive* handle, archive_entry* entry, const Limits& limits);

  const std::string* Find(std::string_view name) const {
    std::string at = NormalizeName("", name);
    for (int links = 0; links <= kMaxLinks; ++links) {
      if (const auto file = files_.find(at); file != files_.end()) return &file->second;
      const auto link = links_.find(at);
      if (link == links_.end()) return nullptr;
      at = link->second;
    }
    return nullptr;
  }

  const UniqueFd parent_;
  const std::string staging_name_;
  UniqueFd folder_;
  uint64_t spread_bytes_ = 0;
  std::map<std::string, std::string, std::less<>> files_;  // name in the archive -> in folder_
  std::map<std::string, std::string, std::less<>> links_;  // name -> name
};

absl::Status ArchiveFailed(archive* handle) {
  const char* text = archive_error_string(handle);
  return ImageInvalid("archive: " + std::string(text != nullptr ? text : "cannot be read"));
}

absl::Status ArchiveFiles::Spread(BorrowedFd source, const Limits& limits) {
  absl::StatusOr<UniqueFd> folder = OpenOrMakeDirectoryAt(parent_, staging_name_);
  if (!folder.ok()) return folder.status();
  folder_ = *std::move(folder);
  struct FreeArchive {
    void operator()(archive* handle) const { archive_read_free(handle); }
  };
  const std::unique_ptr<archive, FreeArchive> handle(archive_read_new());
  if (handle == nullptr) return ImageInvalid("archive: no memory to read it");
  archive_read_support_filter_gzip(handle.get());
  archive_read_support_filter_zstd(handle.get());
  archive_read_support_format_tar(handle.get());
  if (archive_read_open_fd(handle.get(), source.get(), size_t{256} << 10) != ARCHIVE_OK) {
    return ArchiveFailed(handle.get());
  }
  for (uint64_t entries = 0;; ++entries) {
    archive_entry* entry = nullptr;
    const int result = archive_read_next_header(handle.get(), &entry);
    if (result == ARCHIVE_EOF) return absl::OkStatus();
    if (result != ARCHIVE_OK) return ArchiveFailed(handle.get());
    if (entries == limits.entries) return ImageInvalid("archive: too many entries");
    absl::Status status = SpreadEntry(handle.get(), entry, limits);
    if (!status.ok()) return status;
  }
}

absl::Status ArchiveFiles::SpreadEntry(archive* handle, archive_entry* entry,
                                       const Limits& limits) {
  const char* raw_name = archive_entry_pathname(entry);
  if (raw_name == nullptr) return ImageInvalid("archive: entry without a name");
  const std::string name = NormalizeName("", raw_name);
  if (files_.contains(name) || links_.contains(name)) {
    return ImageInvalid("archive: \"" + name.substr(0, 200) + "\" occurs twice");
  }
  if (const char* target = archive_entry_hardlink(entry); target != nullptr) {
    links_[name] = NormalizeName("", target);
    return absl::OkStatus();
  }
  if (archive_entry_filetype(entry) == AE_IFLNK) {
    const char* target = archive_entry_symlink(entry);
    const size_t slash = name.rfind('/');
    links_[name] = NormalizeName(slash == std::string::npos ? "" : name.substr(0, slash),
                                 target != nullptr ? target : "");
    return absl::OkStatus();
  }
  if (archive_entry_filetype(entry) != AE_IFREG) return absl::OkStatus();

  const std::string staged = std::to_string(files_.size());
  const UniqueFd file(openat(folder_.get(), staged.c_str(),
                             O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file.valid()) return StoreFailed("create a staged file", errno);
  for (;;) {
    const void* block = nullptr;
    size_t size = 0;
    la_int64_t offset = 0;
    const int result = archive_read_data_block(handle, &block, &size, &offset);
    if (result == ARCHIVE_EOF) break;
    if (result != ARCHIVE_OK) return ArchiveFailed(handle);
    spread_bytes_ += size;
    if (spread_bytes_ > limits.archive_bytes) {
      return ImageInvalid("archive: holds more than " + std::to_string(limits.archive_bytes) +
                          " bytes");
    }
    if (lseek(file.get(), offset, SEEK_SET) < 0) return StoreFailed("seek in a staged file", errno);
    absl::Status written = WriteAll(file, {static_cast<const char*>(block), size});
    if (!written.ok()) return written;
  }
  files_[name] = staged;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ImageFiles::Read(std::string_view name, uint64_t limit_bytes) const {
  absl::StatusOr<UniqueFd> file = Open(name);
  if (!file.ok()) return file.status();
  return ReadAll(*file, limit_bytes, name);
}

absl::StatusOr<std::unique_ptr<ImageFiles>> OpenImageFiles(const std::string& path,
                                                           const std::string& staging,
                                                           const ImageFiles::Limits& limits) {
  if (!path.starts_with('/')) return ImageInvalid("path \"" + path + "\" is not absolute");
  UniqueFd found(open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!found.valid()) return ImageInvalid(path + ": " + strerrorname_np(errno));
  struct stat info;
  if (fstat(found.get(), &info) != 0) return StoreFailed("stat " + path, errno);
  if (S_ISDIR(info.st_mode)) return std::make_unique<FolderFiles>(std::move(found));

  absl::StatusOr<UniqueFd> source = OpenRegular(found, path);
  if (!source.ok()) return source.status();
  absl::StatusOr<UniqueFd> parent = OpenOrMakeDirectory(staging);
  if (!parent.ok()) return parent.status();
  static std::atomic<uint64_t> counter = 0;
  auto files = std::make_unique<ArchiveFiles>(*std::move(parent),
                                              "archive." + std::to_string(counter++));
  absl::Status spread = files->Spread(*source, limits);
  if (!spread.ok()) return spread;
  return files;
}

}  // namespace ocid
