#include "daemon/image/layer_stream.h"

#include <archive.h>
#include <archive_entry.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "daemon/image/image_errors.h"

namespace ocid {
namespace {

struct FreeArchive {
  void operator()(archive* handle) const { archive_read_free(handle); }
};

absl::Status DecompressionFailed(archive* handle) {
  const char* text = archive_error_string(handle);
  return ImageInvalid("layer: does not decompress: " + std::string(text != nullptr ? text : "?"));
}

}  // namespace

LayerStream::LayerStream(UniqueFd blob, Compression compression, uint64_t limit_bytes)
    : blob_(std::move(blob)), compression_(compression), limit_bytes_(limit_bytes) {
  filling_.reserve(kChunkBytes);
  producer_ = std::thread([this] { Produce(); });
}

LayerStream::~LayerStream() {
  {
    MutexLock lock(mutex_);
    abandoned_ = true;
  }
  changed_.SignalAll();
  producer_.join();
}

void LayerStream::Produce() {
  absl::Status status =
      compression_ == Compression::kNone ? ProducePlain() : ProduceDecompressed();
  if (status.ok() && !filling_.empty()) PushChunk();
  {
    MutexLock lock(mutex_);
    status_ = std::move(status);
    ended_ = true;
  }
  changed_.SignalAll();
}

absl::Status LayerStream::ProducePlain() {
  std::array<char, size_t{64} << 10> buffer;
  for (;;) {
    const ssize_t count = read(blob_.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return StoreFailed("read a layer", errno);
    if (count == 0) return absl::OkStatus();
    absl::StatusOr<bool> wanted = Emit({buffer.data(), static_cast<size_t>(count)});
    if (!wanted.ok() || !*wanted) return wanted.status();
  }
}

absl::Status LayerStream::ProduceDecompressed() {
  const std::unique_ptr<archive, FreeArchive> handle(archive_read_new());
  if (handle == nullptr) return ImageInvalid("layer: no memory to decompress it");
  // The one filter that the media type names: otherwise libarchive would take off any number of any
  // kind, and the content would depend on who reads it.
  if (compression_ == Compression::kGzip) {
    archive_read_support_filter_gzip(handle.get());
  } else {
    archive_read_support_filter_zstd(handle.get());
  }
  archive_read_support_format_raw(handle.get());
  if (archive_read_open_fd(handle.get(), blob_.get(), size_t{256} << 10) != ARCHIVE_OK) {
    return DecompressionFailed(handle.get());
  }
  if (archive_filter_count(handle.get()) != 2) {
    return ImageInvalid("layer: is not compressed as its media type says");
  }
  archive_entry* entry = nullptr;
  const int header = archive_read_next_header(handle.get(), &entry);
  if (header == ARCHIVE_EOF) return absl::OkStatus();
  if (header != ARCHIVE_OK) return DecompressionFailed(handle.get());
  for (;;) {
    const void* block = nullptr;
    size_t size = 0;
    la_int64_t offset = 0;
    const int result = archive_read_data_block(handle.get(), &block, &size, &offset);
    if (result == ARCHIVE_EOF) return absl::OkStatus();
    if (result != ARCHIVE_OK) return DecompressionFailed(handle.get());
    absl::StatusOr<bool> wanted = Emit({static_cast<const char*>(block), size});
    if (!wanted.ok() || !*wanted) return wanted.status();
  }
}

absl::StatusOr<bool> LayerStream::Emit(std::string_view bytes) {
  if (bytes.size() > limit_bytes_ - produced_bytes_) {
    return ImageInvalid("layer: larger than " + std::to_string(limit_bytes_) +
                        " bytes when decompressed");
  }
  produced_bytes_ += bytes.size();
  hasher_.Update(bytes);
  while (!bytes.empty()) {
    const size_t part = std::min(bytes.size(), kChunkBytes - filling_.size());
    filling_.append(bytes.substr(0, part));
    bytes.remove_prefix(part);
    if (filling_.size() == kChunkBytes && !PushChunk()) return false;
  }
  return true;
}

bool LayerStream::PushChunk() {
  {
    MutexLock lock(mutex_);
    while (count_ == kChunks && !abandoned_) changed_.Wait(mutex_);
    if (abandoned_) return false;
    // Swapped, so that buffers go round and none is allocated anew.
    std::swap(chunks_[(first_ + count_) % kChunks], filling_);
    ++count_;
  }
  changed_.SignalAll();
  filling_.clear();
  filling_.reserve(kChunkBytes);
  return true;
}

absl::StatusOr<std::string_view> LayerStream::Next() {
  {
    MutexLock lock(mutex_);
    while (count_ == 0 && !ended_) changed_.Wait(mutex_);
    if (count_ == 0) {
      if (!status_.ok()) return status_;
      return std::string_view();
    }
    std::swap(chunks_[first_], current_);
    first_ = (first_ + 1) % kChunks;
    --count_;
  }
  changed_.SignalAll();
  consumed_bytes_ += current_.size();
  return std::string_view(current_);
}

absl::StatusOr<Digest> LayerStream::Finish() {
  for (;;) {
    absl::StatusOr<std::string_view> piece = Next();
    if (!piece.ok()) return piece.status();
    // Empty only once the producer has ended: the hasher is ours from there on.
    if (piece->empty()) return std::move(hasher_).Finish();
  }
}

}  // namespace ocid
