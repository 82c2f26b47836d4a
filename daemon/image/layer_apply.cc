#include "daemon/image/layer_apply.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "daemon/image/image_errors.h"
#include "daemon/image/layer_stream.h"

namespace ocid {
namespace {

constexpr std::string_view kWhiteoutPrefix = ".wh.";
constexpr std::string_view kWhiteoutMetaPrefix = ".wh..wh.";
constexpr std::string_view kOpaqueName = ".wh..wh..opq";

struct FreeArchive {
  void operator()(archive* handle) const { archive_read_free(handle); }
};

// libarchive converts pax names, which are UTF-8, to the thread's locale; in "C" that would put "?"
// for what is not ASCII. C.UTF-8 is built into Debian 12's C library.
class Utf8Locale {
 public:
  Utf8Locale() : locale_(newlocale(LC_CTYPE_MASK, "C.UTF-8", static_cast<locale_t>(nullptr))) {
    if (locale_ != static_cast<locale_t>(nullptr)) previous_ = uselocale(locale_);
  }
  ~Utf8Locale() {
    if (locale_ == static_cast<locale_t>(nullptr)) return;
    uselocale(previous_);
    freelocale(locale_);
  }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;
  bool valid() const { return locale_ != static_cast<locale_t>(nullptr); }

 private:
  locale_t locale_;
  locale_t previous_ = static_cast<locale_t>(nullptr);
};

// The stream as libarchive wants it: a callback that returns the next piece.
struct StreamSource {
  LayerStream& stream;
  absl::Status status;
};

la_ssize_t ReadPiece(archive* handle, void* client, const void** buffer) {
  auto& source = *static_cast<StreamSource*>(client);
  absl::StatusOr<std::string_view> piece = source.stream.Next();
  if (!piece.ok()) {
    source.status = piece.status();
    archive_set_error(handle, EIO, "layer stream failed");
    return ARCHIVE_FATAL;
  }
  *buffer = piece->data();
  return static_cast<la_ssize_t>(piece->size());
}

class LayerReader {
 public:
  LayerReader(archive* handle, StreamSource& source, RootfsWriter& writer,
              const LayerLimits& limits)
      : handle_(handle), source_(source), writer_(writer), limits_(limits) {}

  absl::StatusOr<uint64_t> ReadAll();

 private:
  absl::Status ReadEntry(archive_entry* entry);
  absl::Status ReadWhiteout(const std::string& path, std::string_view name);
  absl::Status ReadFile(archive_entry* entry, const std::string& path,
                        const EntryAttributes& attributes);
  absl::StatusOr<EntryAttributes> ReadAttributes(archive_entry* entry) const;
  absl::Status ArchiveFailed() const;

  archive* const handle_;
  StreamSource& source_;
  RootfsWriter& writer_;
  const LayerLimits& limits_;
};

absl::Status LayerReader::ArchiveFailed() const {
  if (!source_.status.ok()) return source_.status;
  const char* text = archive_error_string(handle_);
  return ImageInvalid("layer: not a tar archive: " + std::string(text != nullptr ? text : "?"));
}

absl::StatusOr<uint64_t> LayerReader::ReadAll() {
  for (uint64_t entries = 0;; ++entries) {
    archive_entry* entry = nullptr;
    const int result = archive_read_next_header(handle_, &entry);
    if (result == ARCHIVE_EOF) return entries;
    // A warning is something that was not understood: two readers may then see two things.
    if (result != ARCHIVE_OK) return ArchiveFailed();
    if (entries == limits_.entries) {
      return ImageInvalid("layer: more than " + std::to_string(limits_.entries) + " entries");
    }
    absl::Status status = ReadEntry(entry);
    if (!status.ok()) return status;
  }
}

absl::StatusOr<EntryAttributes> LayerReader::ReadAttributes(archive_entry* entry) const {
  const la_int64_t uid = archive_entry_uid(entry);
  const la_int64_t gid = archive_entry_gid(entry);
  if (uid < 0 || gid < 0) return ImageInvalid("layer: an owner's id is negative");
  EntryAttributes attributes;
  attributes.mode = archive_entry_mode(entry) & 07777;
  attributes.uid = static_cast<uint64_t>(uid);
  attributes.gid = static_cast<uint64_t>(gid);
  attributes.mtime = {.tv_sec = archive_entry_mtime(entry),
                      .tv_nsec = archive_entry_mtime_nsec(entry)};
  uint64_t total_bytes = 0;
  archive_entry_xattr_reset(entry);
  const char* name = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
    if (name == nullptr) continue;
    total_bytes += std::string_view(name).size() + size;
    if (total_bytes > limits_.xattr_bytes) {
      return ImageInvalid("layer: extended attributes of more than " +
                          std::to_string(limits_.xattr_bytes) + " bytes");
    }
    attributes.xattrs.emplace_back(name, std::string(static_cast<const char*>(value), size));
  }
  return attributes;
}

absl::Status LayerReader::ReadEntry(archive_entry* entry) {
  const char* raw_path = archive_entry_pathname(entry);
  if (raw_path == nullptr || *raw_path == '\0') return ImageInvalid("layer: entry without a name");
  absl::StatusOr<std::string> path = NormalizeEntryPath(raw_path);
  if (!path.ok()) return path.status();
  const std::string_view name = std::string_view(*path).substr(path->rfind('/') + 1);
  if (name.starts_with(kWhiteoutPrefix)) return ReadWhiteout(*path, name);

  if (const char* raw_target = archive_entry_hardlink(entry); raw_target != nullptr) {
    absl::StatusOr<std::string> target = NormalizeEntryPath(raw_target);
    if (!target.ok()) return target.status();
    return writer_.MakeHardLink(*path, *target);
  }
  absl::StatusOr<EntryAttributes> attributes = ReadAttributes(entry);
  if (!attributes.ok()) return attributes.status();
  const mode_t type = archive_entry_filetype(entry);
  switch (type) {
    case S_IFDIR:
      return writer_.MakeDirectory(*path, *attributes);
    case S_IFREG:
      return ReadFile(entry, *path, *attributes);
    case S_IFLNK: {
      const char* target = archive_entry_symlink(entry);
      return writer_.MakeSymlink(*path, target != nullptr ? target : "", *attributes);
    }
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
      return writer_.MakeNode(
          *path, type, makedev(archive_entry_rdevmajor(entry), archive_entry_rdevminor(entry)),
          *attributes);
    default:
      return ImageInvalid("layer: entry " + *path + " is of no type that a layer can have");
  }
}

absl::Status LayerReader::ReadWhiteout(const std::string& path, std::string_view name) {
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "" : path.substr(0, slash);
  if (name == kOpaqueName) return writer_.RemoveLowerContents(directory);
  // What AUFS kept for itself: `.wh..wh.plnk`, `.wh..wh.aufs`.
  if (name.starts_with(kWhiteoutMetaPrefix)) return absl::OkStatus();
  const std::string_view target = name.substr(kWhiteoutPrefix.size());
  if (target.empty() || target == "." || target == "..") {
    return ImageInvalid("layer: whiteout " + path.substr(0, 200) + " names nothing");
  }
  return writer_.RemoveLower(directory.empty() ? std::string(target)
                                               : directory + "/" + std::string(target));
}

absl::Status LayerReader::ReadFile(archive_entry* entry, const std::string& path,
                                   const EntryAttributes& attributes) {
  const la_int64_t size = archive_entry_size(entry);
  if (size < 0 || static_cast<uint64_t>(size) > limits_.file_bytes) {
    return ImageInvalid("layer: file " + path.substr(0, 200) + " of " + std::to_string(size) +
                        " bytes");
  }
  absl::StatusOr<UniqueFd> file = writer_.CreateFile(path);
  if (!file.ok()) return file.status();
  la_int64_t end = 0;
  for (;;) {
    const void* block = nullptr;
    size_t block_size = 0;
    la_int64_t offset = 0;
    const int result = archive_read_data_block(handle_, &block, &block_size, &offset);
    if (result == ARCHIVE_EOF) break;
    if (result != ARCHIVE_OK) return ArchiveFailed();
    if (offset < end || offset + static_cast<la_int64_t>(block_size) > size) {
      return ImageInvalid("layer: file " + path.substr(0, 200) + " has data outside of its size");
    }
    std::string_view bytes(static_cast<const char*>(block), block_size);
    while (!bytes.empty()) {
      const ssize_t written = pwrite(file->get(), bytes.data(), bytes.size(), offset);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return StoreFailed("write " + path, errno);
      bytes.remove_prefix(static_cast<size_t>(written));
      offset += written;
    }
    end = offset;
  }
  if (end < size && ftruncate(file->get(), size) != 0) return StoreFailed("truncate " + path, errno);
  return writer_.FinishFile(*file, attributes);
}

}  // namespace

absl::StatusOr<LayerResult> ApplyLayer(UniqueFd blob, BorrowedFd root,
                                       const LayerOptions& options) {
  const Utf8Locale locale;
  if (!locale.valid()) return StoreFailed("newlocale C.UTF-8", errno);
  LayerStream stream(std::move(blob), options.compression, options.limits.stream_bytes);
  StreamSource source{.stream = stream, .status = absl::OkStatus()};
  const std::unique_ptr<archive, FreeArchive> handle(archive_read_new());
  if (handle == nullptr) return ImageInvalid("layer: no memory to read it");
  archive_read_support_format_tar(handle.get());
  archive_read_support_format_empty(handle.get());
  RootfsWriter writer(root, options.owner);
  LayerReader reader(handle.get(), source, writer, options.limits);
  if (archive_read_open(handle.get(), &source, nullptr, ReadPiece, nullptr) != ARCHIVE_OK) {
    if (!source.status.ok()) return source.status;
    return ImageInvalid("layer: not a tar archive");
  }
  absl::StatusOr<uint64_t> entries = reader.ReadAll();
  if (!entries.ok()) return entries.status();
  absl::StatusOr<Digest> diff_id = stream.Finish();
  if (!diff_id.ok()) return diff_id.status();
  if (options.diff_id.has_value() && *diff_id != *options.diff_id) {
    return ImageInvalid("layer: content has diff id " + diff_id->ToString() + ", not " +
                        options.diff_id->ToString());
  }
  absl::Status finished = writer.Finish();
  if (!finished.ok()) return finished;
  return LayerResult{.diff_id = *std::move(diff_id),
                     .stream_bytes = stream.size_bytes(),
                     .entries = *entries,
                     .dropped_xattrs = writer.dropped_xattrs()};
}

absl::StatusOr<Digest> ComputeDiffId(UniqueFd blob, Compression compression,
                                     const LayerLimits& limits) {
  LayerStream stream(std::move(blob), compression, limits.stream_bytes);
  return stream.Finish();
}

}  // namespace ocid
