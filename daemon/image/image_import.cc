#include "daemon/image/image_import.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <thread>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "daemon/image/image_config.h"
#include "daemon/image/image_errors.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

constexpr int kMaxIndexDepth = 4;

// A size of 0 is that of schema 1, which does not tell.
std::optional<uint64_t> KnownSize(const Descriptor& descriptor) {
  if (descriptor.size_bytes == 0) return std::nullopt;
  return descriptor.size_bytes;
}

absl::Status CheckBytes(const Descriptor& descriptor, std::string_view bytes) {
  if (KnownSize(descriptor).has_value() && bytes.size() != descriptor.size_bytes) {
    return ImageInvalid(descriptor.digest.ToString() + " has " + std::to_string(bytes.size()) +
                        " bytes, not " + std::to_string(descriptor.size_bytes));
  }
  DigestHasher hasher(descriptor.digest.algorithm());
  hasher.Update(bytes);
  const Digest actual = std::move(hasher).Finish();
  if (actual == descriptor.digest) return absl::OkStatus();
  return ImageInvalid("content has digest " + actual.ToString() + ", not " +
                      descriptor.digest.ToString());
}

}  // namespace

ImageImport::~ImageImport() { store_.Unpin(pinned_); }

void ImageImport::Pin(const Digest& digest) {
  store_.Pin(digest);
  pinned_.push_back(digest);
}

absl::StatusOr<ImageRecord> ImageImport::Run(const Descriptor& root) {
  absl::StatusOr<Resolved> resolved = Resolve(root);
  if (!resolved.ok()) return resolved.status();
  absl::StatusOr<ImageRecord> record =
      std::holds_alternative<Schema1Manifest>(resolved->manifest)
          ? ImportSchema1(*resolved, root.digest)
          : ImportImage(*resolved, root.digest);
  if (!record.ok()) return record.status();
  record->names = request_.names;
  record->load_time_unix_ns = absl::ToUnixNanos(store_.options_.clock());
  absl::Status recorded = store_.Record(*record);
  if (!recorded.ok()) return recorded;
  return store_.Get(record->manifest.ToString());
}

absl::StatusOr<ImageImport::Resolved> ImageImport::Resolve(const Descriptor& root) {
  Descriptor descriptor = root;
  for (int depth = 0; depth < kMaxIndexDepth; ++depth) {
    absl::StatusOr<std::string> bytes = source_.Read(descriptor, store_.limits().manifest_bytes);
    if (!bytes.ok()) return bytes.status();
    absl::StatusOr<Manifest> manifest = ParseManifest(*bytes, descriptor.media_type);
    if (!manifest.ok()) return manifest.status();
    if (std::holds_alternative<Schema1Manifest>(*manifest)) {
      absl::StatusOr<std::string> payload = Schema1Payload(*bytes);
      if (!payload.ok()) return payload.status();
      // The payload is what the digest is over; the descriptor's size is of the signed document.
      *bytes = *std::move(payload);
      descriptor.size_bytes = bytes->size();
      if (descriptor.media_type.empty()) descriptor.media_type = kDockerSchema1Type;
    }
    absl::Status checked = CheckBytes(descriptor, *bytes);
    if (!checked.ok()) return checked;
    Pin(descriptor.digest);
    absl::StatusOr<std::unique_ptr<BlobWriter>> writer =
        store_.content().Write(descriptor.digest, bytes->size());
    if (!writer.ok()) return writer.status();
    if (*writer != nullptr) {
      absl::Status written = (*writer)->Restart();
      if (written.ok()) written = (*writer)->Write(*bytes);
      if (written.ok()) written = std::move(**writer).Commit();
      if (!written.ok()) return written;
    }
    if (const auto* index = std::get_if<ImageIndex>(&*manifest); index != nullptr) {
      absl::StatusOr<Descriptor> chosen = SelectPlatform(*index, request_.platform);
      if (!chosen.ok()) return chosen.status();
      descriptor = *std::move(chosen);
      continue;
    }
    return Resolved{std::move(descriptor), *std::move(bytes), *std::move(manifest)};
  }
  return ImageInvalid("an index within an index within an index: too deep");
}

absl::Status ImageImport::CheckPlatform(const ImageConfig& config) const {
  if (Matches(config.platform, request_.platform)) return absl::OkStatus();
  return ImageInvalid("the image is for " + config.platform.ToString() + ", not for " +
                      request_.platform.ToString());
}

absl::StatusOr<ImageRecord> ImageImport::ImportImage(const Resolved& resolved,
                                                     const Digest& root) {
  const auto& manifest = std::get<ImageManifest>(resolved.manifest);
  if (manifest.config.size_bytes > kMaxConfigBytes) {
    return ImageInvalid("configuration of " + std::to_string(manifest.config.size_bytes) +
                        " bytes");
  }
  absl::StatusOr<std::string> config_bytes = source_.Read(manifest.config, kMaxConfigBytes);
  if (!config_bytes.ok()) return config_bytes.status();
  absl::Status checked = CheckBytes(manifest.config, *config_bytes);
  if (!checked.ok()) return checked;
  absl::StatusOr<ImageForms> forms = ReadConfig(*config_bytes, manifest.config.media_type);
  if (!forms.ok()) return forms.status();
  absl::Status fits = CheckPlatform(forms->config);
  if (!fits.ok()) return fits;
  if (forms->config.diff_ids.size() != manifest.layers.size()) {
    return ImageInvalid("the manifest has " + std::to_string(manifest.layers.size()) +
                        " layers and the configuration " +
                        std::to_string(forms->config.diff_ids.size()));
  }

  ImageRecord record{.names = {},
                     .manifest = resolved.descriptor.digest,
                     .manifest_type = manifest.media_type,
                     .root = root,
                     .config = manifest.config.digest,
                     .config_type = manifest.config.media_type,
                     .size_bytes = resolved.bytes.size() + config_bytes->size(),
                     .platform = forms->config.platform,
                     .created = forms->config.created,
                     .load_time_unix_ns = 0,
                     .layers = {}};
  for (size_t i = 0; i < manifest.layers.size(); ++i) {
    const Descriptor& blob = manifest.layers[i];
    absl::StatusOr<Compression> compression = LayerCompression(blob.media_type);
    if (!compression.ok()) return compression.status();
    if (blob.size_bytes > store_.limits().blob_bytes) {
      return ImageInvalid("layer " + blob.digest.ToString() + ": " +
                          std::to_string(blob.size_bytes) + " bytes, more than the limit of " +
                          std::to_string(store_.limits().blob_bytes));
    }
    record.layers.push_back({.media_type = blob.media_type,
                             .digest = blob.digest,
                             .diff_id = forms->config.diff_ids[i],
                             .size_bytes = blob.size_bytes});
    record.size_bytes += blob.size_bytes;
  }
  Pin(manifest.config.digest);
  for (const Digest& chain_id : ChainOf(record)) Pin(chain_id);
  absl::StatusOr<std::unique_ptr<BlobWriter>> writer =
      store_.content().Write(manifest.config.digest, config_bytes->size());
  if (!writer.ok()) return writer.status();
  if (*writer != nullptr) {
    absl::Status written = (*writer)->Restart();
    if (written.ok()) written = (*writer)->Write(*config_bytes);
    if (written.ok()) written = std::move(**writer).Commit();
    if (!written.ok()) return written;
  }
  absl::Status fetched = FetchAll(
      manifest.layers, [&](size_t index) { return UnpackLayer(record.layers, index); });
  if (!fetched.ok()) return fetched;
  return record;
}

absl::StatusOr<ImageRecord> ImageImport::ImportSchema1(const Resolved& resolved,
                                                       const Digest& root) {
  absl::StatusOr<Schema1Image> image = ReadSchema1(std::get<Schema1Manifest>(resolved.manifest));
  if (!image.ok()) return image.status();
  const std::string layer_type = std::string(kDockerLayerType) + ".gzip";
  std::vector<Descriptor> blobs;
  for (const Digest& digest : image->blobs) {
    blobs.push_back({.media_type = layer_type,
                     .digest = digest,
                     .size_bytes = 0,
                     .platform = std::nullopt,
                     .annotations = {}});
  }
  // The manifest names compressed blobs alone: what they hold is known once they are there.
  std::vector<Digest> diff_ids;
  std::vector<StoredLayer> layers;
  absl::Status fetched = FetchAll(blobs, [&](size_t index) -> absl::Status {
    absl::StatusOr<ContentStore::Blob> blob = store_.content().Open(blobs[index].digest);
    if (!blob.ok()) return blob.status();
    absl::StatusOr<Digest> diff_id =
        ComputeDiffId(std::move(blob->file), Compression::kGzip, store_.limits().layer);
    if (!diff_id.ok()) return diff_id.status();
    diff_ids.push_back(*diff_id);
    layers.push_back({.media_type = layer_type,
                      .digest = blobs[index].digest,
                      .diff_id = *std::move(diff_id),
                      .size_bytes = blob->size_bytes});
    Pin(ChainIds(diff_ids).back());
    return UnpackLayer(layers, index);
  });
  if (!fetched.ok()) return fetched;

  absl::StatusOr<std::string> config = MakeSchema1Config(*image, diff_ids);
  if (!config.ok()) return config.status();
  absl::StatusOr<ImageForms> forms = ReadConfig(*config, kDockerConfigType);
  if (!forms.ok()) return forms.status();
  absl::Status fits = CheckPlatform(forms->config);
  if (!fits.ok()) return fits;
  Pin(Digest::Sha256Of(*config));
  absl::StatusOr<Digest> config_digest = store_.content().Put(*config);
  if (!config_digest.ok()) return config_digest.status();
  ImageRecord record{.names = {},
                     .manifest = resolved.descriptor.digest,
                     .manifest_type = resolved.descriptor.media_type,
                     .root = root,
                     .config = *std::move(config_digest),
                     .config_type = std::string(kDockerConfigType),
                     .size_bytes = resolved.bytes.size(),
                     .platform = forms->config.platform,
                     .created = forms->config.created,
                     .load_time_unix_ns = 0,
                     .layers = std::move(layers)};
  for (const StoredLayer& layer : record.layers) record.size_bytes += layer.size_bytes;
  return record;
}

absl::Status ImageImport::FetchAll(const std::vector<Descriptor>& blobs,
                                   const std::function<absl::Status(size_t index)>& ready) {
  {
    MutexLock lock(mutex_);
    for (const Descriptor& blob : blobs) {
      progress_.push_back({.digest = blob.digest, .total_bytes = blob.size_bytes});
    }
    fetched_.assign(blobs.size(), false);
  }
  for (const Descriptor& blob : blobs) Pin(blob.digest);
  std::vector<std::thread> workers;
  const size_t count =
      std::min(blobs.size(), static_cast<size_t>(std::max(1, store_.options_.parallel_fetches)));
  for (size_t i = 0; i < count; ++i) {
    workers.emplace_back([this, &blobs] { FetchWorker(blobs); });
  }
  absl::Cleanup join = [&] {
    for (std::thread& worker : workers) worker.join();
  };
  for (size_t index = 0; index < blobs.size(); ++index) {
    {
      MutexLock lock(mutex_);
      while (!fetched_[index] && failure_.ok()) changed_.Wait(mutex_);
      if (!failure_.ok()) return failure_;
    }
    absl::Status status = ready(index);
    if (!status.ok()) {
      MutexLock lock(mutex_);
      if (failure_.ok()) failure_ = status;
      return status;
    }
  }
  return absl::OkStatus();
}

void ImageImport::FetchWorker(const std::vector<Descriptor>& blobs) {
  for (;;) {
    size_t index = 0;
    {
      MutexLock lock(mutex_);
      if (next_ == blobs.size() || !failure_.ok()) return;
      index = next_++;
    }
    absl::Status status = FetchOne(blobs[index], index);
    {
      MutexLock lock(mutex_);
      fetched_[index] = status.ok();
      if (!status.ok() && failure_.ok()) failure_ = std::move(status);
    }
    changed_.SignalAll();
  }
}

absl::Status ImageImport::FetchOne(const Descriptor& blob, size_t index) {
  absl::StatusOr<std::unique_ptr<BlobWriter>> writer =
      store_.content().Write(blob.digest, KnownSize(blob));
  if (!writer.ok()) return writer.status();
  if (*writer == nullptr) {
    absl::StatusOr<ContentStore::Blob> present = store_.content().Open(blob.digest);
    if (!present.ok()) return present.status();
    if (KnownSize(blob).value_or(present->size_bytes) != present->size_bytes) {
      return ImageInvalid("blob " + blob.digest.ToString() + " has " +
                          std::to_string(present->size_bytes) + " bytes, not " +
                          std::to_string(blob.size_bytes));
    }
    return Report(index, LayerState::kPresent, present->size_bytes);
  }
  absl::Status status = Report(index, LayerState::kFetching, (*writer)->offset());
  if (!status.ok()) return status;
  status = source_.Fetch(blob, **writer, [&](uint64_t done_bytes) {
    return Report(index, LayerState::kFetching, done_bytes);
  });
  if (!status.ok()) return Annotate(status, blob.digest.ToString());
  status = Report(index, LayerState::kVerifying, (*writer)->offset());
  if (!status.ok()) return status;
  return std::move(**writer).Commit();
}

absl::Status ImageImport::UnpackLayer(const std::vector<StoredLayer>& layers, size_t index) {
  const StoredLayer& layer = layers[index];
  std::vector<Digest> diff_ids;
  for (size_t i = 0; i <= index; ++i) diff_ids.push_back(layers[i].diff_id);
  absl::StatusOr<Compression> compression = LayerCompression(layer.media_type);
  if (!compression.ok()) return compression.status();
  absl::Status status = Report(index, LayerState::kUnpacking, layer.size_bytes);
  if (!status.ok()) return status;
  const LayerStore::OpenBlob open_blob = [&]() -> absl::StatusOr<UniqueFd> {
    absl::StatusOr<ContentStore::Blob> blob = store_.content().Open(layer.digest);
    if (!blob.ok()) return blob.status();
    return std::move(blob->file);
  };
  status = store_.layers_->Unpack(ChainIds(diff_ids), open_blob,
                                  {.compression = *compression,
                                   .limits = store_.limits().layer,
                                   .owner = std::nullopt,
                                   .diff_id = layer.diff_id});
  if (!status.ok()) return Annotate(status, "layer " + layer.digest.ToString());
  return Report(index, LayerState::kDone, layer.size_bytes);
}

absl::Status ImageImport::Report(size_t index, LayerState state, uint64_t done_bytes) {
  MutexLock lock(mutex_);
  if (!failure_.ok()) return failure_;
  progress_[index].state = state;
  progress_[index].done_bytes = done_bytes;
  progress_[index].total_bytes = std::max(progress_[index].total_bytes, done_bytes);
  if (!request_.progress) return absl::OkStatus();
  return request_.progress(progress_);
}

}  // namespace ocid
