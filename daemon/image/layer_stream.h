// LayerStream: the tar stream of a layer, decompressed and hashed on a thread of its own.
//
// Decompressing is most of the work of unpacking; writing files is the rest, and runs beside it. The
// digest of what comes out is the layer's diff id: comparing it with the configuration's proves the
// content, wherever the blob came from.
//
//   LayerStream stream(std::move(blob), Compression::kGzip, limit);
//   for (;;) { chunk = stream.Next(); if (chunk->empty()) break; ... }
//   absl::StatusOr<Digest> diff_id = stream.Finish();
//
// Owned and used by one thread. Next and Finish block on the decompression. Errors: IMAGE_INVALID for
// what does not decompress or is larger than the limit.
#ifndef OCID_DAEMON_IMAGE_LAYER_STREAM_H_
#define OCID_DAEMON_IMAGE_LAYER_STREAM_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/image/digest.h"
#include "daemon/image/manifest.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

class LayerStream {
 public:
  // Reads `blob` from where it stands. At most `limit_bytes` come out.
  LayerStream(UniqueFd blob, Compression compression, uint64_t limit_bytes);
  ~LayerStream();
  LayerStream(const LayerStream&) = delete;
  LayerStream& operator=(const LayerStream&) = delete;

  // The next piece, valid until the next call; empty at the end.
  absl::StatusOr<std::string_view> Next();

  // Reads what is left and returns the digest of everything.
  absl::StatusOr<Digest> Finish();

  uint64_t size_bytes() const { return consumed_bytes_; }

 private:
  static constexpr size_t kChunkBytes = size_t{256} << 10;
  static constexpr size_t kChunks = 8;

  void Produce();
  absl::Status ProducePlain();
  absl::Status ProduceDecompressed();
  // Hands bytes to the reader. False: nobody wants them any more.
  absl::StatusOr<bool> Emit(std::string_view bytes);
  bool PushChunk();

  const UniqueFd blob_;
  const Compression compression_;
  const uint64_t limit_bytes_;

  // Of the producer alone, until it has ended.
  DigestHasher hasher_;
  uint64_t produced_bytes_ = 0;
  std::string filling_;

  Mutex mutex_;
  CondVar changed_;
  std::array<std::string, kChunks> chunks_ ABSL_GUARDED_BY(mutex_);
  size_t first_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t count_ ABSL_GUARDED_BY(mutex_) = 0;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool abandoned_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);

  std::string current_;  // of the consumer
  uint64_t consumed_bytes_ = 0;
  std::thread producer_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_LAYER_STREAM_H_
