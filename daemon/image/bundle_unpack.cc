#include "daemon/image/bundle_unpack.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "daemon/image/fresh_output.h"
#include "daemon/image/image_errors.h"
#include "daemon/image/layer_apply.h"
#include "daemon/image/store_files.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

constexpr uint64_t kMaxTreeManifestBytes = uint64_t{4} << 30;
constexpr char kManifestName[] = "unpacked.json";

absl::Status WriteFile(BorrowedFd directory, const std::string& name, std::string_view bytes,
                       const std::optional<RootlessOwner>& owner) {
  const UniqueFd file(openat(directory.get(), name.c_str(),
                             O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) return StoreFailed("create " + name, errno);
  if (owner.has_value() && fchown(file.get(), owner->uid, owner->gid) != 0) {
    return StoreFailed("chown " + name, errno);
  }
  return WriteAll(file, bytes);
}

absl::Status FillRootfs(ImageStore& store, const ImageRecord& record, BorrowedFd rootfs,
                        const std::optional<RootlessOwner>& owner) {
  for (const StoredLayer& layer : record.layers) {
    absl::StatusOr<Compression> compression = LayerCompression(layer.media_type);
    if (!compression.ok()) return compression.status();
    absl::StatusOr<ContentStore::Blob> blob = store.content().Open(layer.digest);
    if (!blob.ok()) return blob.status();
    absl::StatusOr<LayerResult> applied = ApplyLayer(std::move(blob->file), rootfs,
                                                     {.compression = *compression,
                                                      .limits = store.limits().layer,
                                                      .owner = owner,
                                                      .diff_id = layer.diff_id});
    if (!applied.ok()) return Annotate(applied.status(), "layer " + layer.digest.ToString());
  }
  return absl::OkStatus();
}

absl::StatusOr<Digest> FillBundle(ImageStore& store, const ImageRecord& record, BorrowedFd bundle,
                                  const UnpackBundleRequest& request) {
  absl::StatusOr<UniqueFd> rootfs = OpenOrMakeDirectoryAt(bundle, "rootfs");
  if (!rootfs.ok()) return rootfs.status();
  if (fchmod(rootfs->get(), 0755) != 0) return StoreFailed("chmod rootfs", errno);
  if (request.owner.has_value()) {
    for (const int fd : {bundle.get(), rootfs->get()}) {
      if (fchown(fd, request.owner->uid, request.owner->gid) != 0) {
        return StoreFailed("chown a bundle", errno);
      }
    }
  }
  absl::Status status = FillRootfs(store, record, *rootfs, request.owner);
  if (status.ok()) status = WriteFile(bundle, "config.json", request.config_json, request.owner);
  if (!status.ok()) return status;
  absl::StatusOr<TreeManifest> manifest = ReadTree(*rootfs);
  if (!manifest.ok()) return manifest.status();
  status = WriteFile(bundle, kManifestName, SerializeTree(*manifest), request.owner);
  if (!status.ok()) return status;
  if (syncfs(bundle.get()) != 0) return StoreFailed("syncfs", errno);
  return TreeDigest(*manifest);
}

absl::StatusOr<UniqueFd> OpenBundle(const std::string& directory) {
  UniqueFd bundle(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!bundle.valid()) return ImageInvalid(directory + ": " + strerrorname_np(errno));
  return bundle;
}

absl::StatusOr<TreeManifest> ReadRootfs(BorrowedFd bundle, const std::string& directory) {
  const UniqueFd rootfs(
      openat(bundle.get(), "rootfs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!rootfs.valid()) return ImageInvalid(directory + "/rootfs: " + strerrorname_np(errno));
  return ReadTree(rootfs);
}

}  // namespace

absl::StatusOr<Digest> UnpackBundle(ImageStore& store, const UnpackBundleRequest& request) {
  absl::StatusOr<FreshOutput> output = FreshOutput::Begin(request.directory, store.outputs());
  if (!output.ok()) return output.status();
  absl::StatusOr<std::unique_ptr<ImageHold>> hold = store.Hold(request.image, "");
  if (!hold.ok()) return hold.status();
  const absl::StatusOr<UniqueFd> bundle =
      OpenOrMakeDirectoryAt(output->parent(), output->partial_name());
  if (!bundle.ok()) return bundle.status();
  absl::StatusOr<Digest> digest = FillBundle(store, (*hold)->image(), *bundle, request);
  if (!digest.ok()) return digest;
  absl::Status committed = std::move(*output).Commit();
  if (!committed.ok()) return committed;
  return digest;
}

absl::StatusOr<BundleCheck> VerifyBundle(const std::string& directory) {
  absl::StatusOr<UniqueFd> bundle = OpenBundle(directory);
  if (!bundle.ok()) return bundle.status();
  const UniqueFd file(
      openat(bundle->get(), kManifestName, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid() && errno == ENOENT) {
    return ImageInvalid(directory + ": no " + kManifestName +
                        ": it was not unpacked by ocid, so there is nothing to compare it with");
  }
  if (!file.valid()) {
    return ImageInvalid(directory + "/" + kManifestName + ": " + strerrorname_np(errno));
  }
  absl::StatusOr<std::string> text = ReadAll(file, kMaxTreeManifestBytes, kManifestName);
  if (!text.ok()) return text.status();
  absl::StatusOr<TreeManifest> expected = ParseTree(*text);
  if (!expected.ok()) return expected.status();
  absl::StatusOr<TreeManifest> actual = ReadRootfs(*bundle, directory);
  if (!actual.ok()) return actual.status();
  return BundleCheck{CompareTrees(*expected, *actual), TreeDigest(*actual)};
}

absl::StatusOr<Digest> BundleDigest(const std::string& directory) {
  absl::StatusOr<UniqueFd> bundle = OpenBundle(directory);
  if (!bundle.ok()) return bundle.status();
  absl::StatusOr<TreeManifest> manifest = ReadRootfs(*bundle, directory);
  if (!manifest.ok()) return manifest.status();
  return TreeDigest(*manifest);
}

}  // namespace ocid
