#include "daemon/image/image_save.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/image/content_store.h"
#include "daemon/image/fresh_output.h"
#include "daemon/image/image_errors.h"
#include "daemon/image/manifest.h"
#include "daemon/image/store_files.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

using nlohmann::json;

constexpr char kRefName[] = "org.opencontainers.image.ref.name";

// Takes the files of a layout one after the other.
class LayoutWriter {
 public:
  virtual ~LayoutWriter() = default;
  virtual absl::Status Begin(const std::string& name, uint64_t size_bytes) = 0;
  virtual absl::Status Write(std::string_view bytes) = 0;
  virtual absl::Status End() = 0;
  virtual absl::Status Finish() = 0;
};

absl::Status SetOwner(BorrowedFd file, const std::optional<RootlessOwner>& owner) {
  if (owner.has_value() && fchown(file.get(), owner->uid, owner->gid) != 0) {
    return StoreFailed("chown a saved image", errno);
  }
  return absl::OkStatus();
}

class FolderWriter : public LayoutWriter {
 public:
  static absl::StatusOr<std::unique_ptr<LayoutWriter>> Open(
      const FreshOutput& output, const std::optional<RootlessOwner>& owner) {
    std::unique_ptr<FolderWriter> writer(new FolderWriter(owner));
    absl::StatusOr<UniqueFd> folder = OpenOrMakeDirectoryAt(output.parent(), output.partial_name());
    if (!folder.ok()) return folder.status();
    writer->folder_ = *std::move(folder);
    absl::Status owned = SetOwner(writer->folder_, owner);
    if (!owned.ok()) return owned;
    return writer;
  }

  absl::Status Begin(const std::string& name, uint64_t) override {
    UniqueFd folder(dup(folder_.get()));
    if (!folder.valid()) return StoreFailed("dup", errno);
    std::string_view rest = name;
    for (size_t slash = rest.find('/'); slash != std::string_view::npos; slash = rest.find('/')) {
      absl::StatusOr<UniqueFd> below =
          OpenOrMakeDirectoryAt(folder, std::string(rest.substr(0, slash)));
      if (!below.ok()) return below.status();
      absl::Status owned = SetOwner(*below, owner_);
      if (!owned.ok()) return owned;
      folder = *std::move(below);
      rest = rest.substr(slash + 1);
    }
    file_.reset(openat(folder.get(), std::string(rest).c_str(),
                       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file_.valid()) return StoreFailed("create " + name, errno);
    return SetOwner(file_, owner_);
  }
  absl::Status Write(std::string_view bytes) override { return WriteAll(file_, bytes); }
  absl::Status End() override { return absl::OkStatus(); }
  absl::Status Finish() override {
    if (syncfs(folder_.get()) != 0) return StoreFailed("syncfs", errno);
    return absl::OkStatus();
  }

 private:
  explicit FolderWriter(const std::optional<RootlessOwner>& owner) : owner_(owner) {}

  const std::optional<RootlessOwner> owner_;
  UniqueFd folder_;
  UniqueFd file_;
};

// The same bytes for the same image: no times, no owners.
class ArchiveWriter : public LayoutWriter {
 public:
  static absl::StatusOr<std::unique_ptr<LayoutWriter>> Open(
      const FreshOutput& output, const std::optional<RootlessOwner>& owner) {
    std::unique_ptr<ArchiveWriter> writer(new ArchiveWriter);
    writer->file_.reset(openat(output.parent().get(), output.partial_name().c_str(),
                               O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!writer->file_.valid()) return StoreFailed("create " + output.partial_name(), errno);
    absl::Status owned = SetOwner(writer->file_, owner);
    if (!owned.ok()) return owned;
    archive* const handle = writer->handle_.get();
    if (handle == nullptr || archive_write_set_format_pax_restricted(handle) != ARCHIVE_OK ||
        archive_write_open_fd(handle, writer->file_.get()) != ARCHIVE_OK) {
      return writer->Failed();
    }
    return writer;
  }

  absl::Status Begin(const std::string& name, uint64_t size_bytes) override {
    const std::unique_ptr<archive_entry, FreeEntry> entry(archive_entry_new());
    if (entry == nullptr) return Failed();
    archive_entry_set_pathname(entry.get(), name.c_str());
    archive_entry_set_filetype(entry.get(), S_IFREG);
    archive_entry_set_perm(entry.get(), 0644);
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(size_bytes));
    archive_entry_set_mtime(entry.get(), 0, 0);
    return archive_write_header(handle_.get(), entry.get()) == ARCHIVE_OK ? absl::OkStatus()
                                                                          : Failed();
  }
  absl::Status Write(std::string_view bytes) override {
    const la_ssize_t written = archive_write_data(handle_.get(), bytes.data(), bytes.size());
    return written == static_cast<la_ssize_t>(bytes.size()) ? absl::OkStatus() : Failed();
  }
  absl::Status End() override {
    return archive_write_finish_entry(handle_.get()) == ARCHIVE_OK ? absl::OkStatus() : Failed();
  }
  absl::Status Finish() override {
    if (archive_write_close(handle_.get()) != ARCHIVE_OK) return Failed();
    if (fsync(file_.get()) != 0) return StoreFailed("fsync an archive", errno);
    return absl::OkStatus();
  }

 private:
  struct FreeArchive {
    void operator()(archive* handle) const { archive_write_free(handle); }
  };
  struct FreeEntry {
    void operator()(archive_entry* entry) const { archive_entry_free(entry); }
  };

  ArchiveWriter() : handle_(archive_write_new()) {}
  absl::Status Failed() const {
    const int error = handle_ == nullptr ? ENOMEM : archive_errno(handle_.get());
    return StoreFailed("write an archive", error);
  }

  UniqueFd file_;  // outlives the handle
  std::unique_ptr<archive, FreeArchive> handle_;
};

absl::Status AddText(LayoutWriter& writer, const std::string& name, std::string_view text) {
  absl::Status status = writer.Begin(name, text.size());
  if (status.ok()) status = writer.Write(text);
  return status.ok() ? writer.End() : status;
}

std::string BlobName(const Digest& digest) {
  return "blobs/" + std::string(digest.algorithm_name()) + "/" + digest.hex();
}

absl::Status AddBlob(const ContentStore& content, const Digest& digest, LayoutWriter& writer) {
  absl::StatusOr<ContentStore::Blob> blob = content.Open(digest);
  if (!blob.ok()) return blob.status();
  absl::Status status = writer.Begin(BlobName(digest), blob->size_bytes);
  DigestHasher hasher(digest.algorithm());
  std::vector<char> buffer(size_t{256} << 10);
  while (status.ok()) {
    const ssize_t count = read(blob->file.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return StoreFailed("read blob " + digest.ToString(), errno);
    if (count == 0) break;
    const std::string_view bytes(buffer.data(), static_cast<size_t>(count));
    hasher.Update(bytes);
    status = writer.Write(bytes);
  }
  if (status.ok() && std::move(hasher).Finish() != digest) {
    return MakeError(absl::StatusCode::kDataLoss, "RECORD_CORRUPT",
                     "blob " + digest.ToString() + ": changed on disk");
  }
  return status.ok() ? writer.End() : status;
}

Descriptor DescribeBlob(std::string media_type, const Digest& digest, uint64_t size_bytes) {
  return {.media_type = std::move(media_type),
          .digest = digest,
          .size_bytes = size_bytes,
          .platform = std::nullopt,
          .annotations = {}};
}

struct SavedManifest {
  std::string media_type;
  Digest digest;
  std::string text;
};

absl::StatusOr<SavedManifest> ManifestFor(const ContentStore& content, const ImageRecord& image) {
  absl::StatusOr<std::string> own = content.Read(image.manifest, kMaxManifestBytes);
  if (!own.ok()) return own.status();
  if (image.manifest_type != kDockerSchema1Type && image.manifest_type != kDockerSchema1SignedType) {
    return SavedManifest{image.manifest_type, image.manifest, *std::move(own)};
  }
  absl::StatusOr<ContentStore::Blob> config = content.Open(image.config);
  if (!config.ok()) return config.status();
  std::vector<Descriptor> layers;
  for (const StoredLayer& layer : image.layers) {
    layers.push_back(DescribeBlob(layer.media_type, layer.digest, layer.size_bytes));
  }
  std::string text = MakeSchema2Manifest(
      DescribeBlob(image.config_type, image.config, config->size_bytes), layers);
  const Digest digest = Digest::Sha256Of(text);
  return SavedManifest{std::string(kDockerSchema2Type), digest, std::move(text)};
}

std::string IndexOf(const SavedManifest& manifest, const ImageRecord& image,
                    const std::string& asked) {
  json entry = {{"mediaType", manifest.media_type},
                {"digest", manifest.digest.ToString()},
                {"size", manifest.text.size()},
                {"platform",
                 {{"os", image.platform.os}, {"architecture", image.platform.architecture}}}};
  if (!image.platform.variant.empty()) entry["platform"]["variant"] = image.platform.variant;
  std::string name = image.names.empty() ? "" : image.names.front();
  if (!Digest::Parse(asked).ok()) name = asked;
  if (!name.empty()) entry["annotations"][kRefName] = name;
  const json index = {
      {"schemaVersion", 2}, {"mediaType", kOciIndexType}, {"manifests", {std::move(entry)}}};
  return index.dump();
}

absl::Status WriteLayout(const ContentStore& content, const ImageRecord& image,
                         const SavedManifest& manifest, const std::string& asked,
                         LayoutWriter& writer) {
  absl::Status status = AddText(writer, "oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
  if (status.ok()) status = AddText(writer, "index.json", IndexOf(manifest, image, asked));
  if (status.ok()) status = AddText(writer, BlobName(manifest.digest), manifest.text);
  std::set<Digest> blobs = {image.config};
  for (const StoredLayer& layer : image.layers) blobs.insert(layer.digest);
  for (const Digest& digest : blobs) {
    if (status.ok()) status = AddBlob(content, digest, writer);
  }
  return status.ok() ? writer.Finish() : status;
}

}  // namespace

absl::StatusOr<Digest> SaveImage(ImageStore& store, const SaveRequest& request) {
  absl::StatusOr<FreshOutput> output = FreshOutput::Begin(request.path, store.outputs());
  if (!output.ok()) return output.status();
  absl::StatusOr<std::unique_ptr<ImageHold>> hold = store.Hold(request.image, "");
  if (!hold.ok()) return hold.status();
  const ImageRecord& image = (*hold)->image();
  absl::StatusOr<SavedManifest> manifest = ManifestFor(store.content(), image);
  if (!manifest.ok()) return manifest.status();
  absl::StatusOr<std::unique_ptr<LayoutWriter>> writer =
      request.archive ? ArchiveWriter::Open(*output, request.owner)
                      : FolderWriter::Open(*output, request.owner);
  if (!writer.ok()) return writer.status();
  absl::Status written = WriteLayout(store.content(), image, *manifest, request.image, **writer);
  if (written.ok()) written = std::move(*output).Commit();
  if (!written.ok()) return written;
  return manifest->digest;
}

}  // namespace ocid
