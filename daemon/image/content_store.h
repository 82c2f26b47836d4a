// ContentStore: blobs by digest, on disk, each verified before it has its name.
//
//   DIR/blobs/sha256/<hex>   whole and verified: nothing gets here but by rename after fsync
//   DIR/ingest/sha256-<hex>  a download in the middle; a later one goes on where it ended
//
// A crash at any line leaves a blob whole or not there. Files in ingest/ are no one's content: what
// they hold is hashed again before anything is added.
//
// Writers of one digest take turns: the second one waits, and then finds the blob there.
//
// Thread-safe. Every call blocks on the disk. The store's user keeps out other processes.
#ifndef OCID_DAEMON_IMAGE_CONTENT_STORE_H_
#define OCID_DAEMON_IMAGE_CONTENT_STORE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/image/digest.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

class ContentStore;

// One blob on its way into the store. Dropped without Commit, what was written stays in ingest/ for
// the next writer, and the digest is free again.
class BlobWriter {
 public:
  ~BlobWriter();
  BlobWriter(const BlobWriter&) = delete;
  BlobWriter& operator=(const BlobWriter&) = delete;

  // How much is there already.
  uint64_t offset() const { return offset_; }

  // IMAGE_INVALID as soon as there is more than the expected size, or than a blob may have.
  absl::Status Write(std::string_view bytes);

  // Forgets what is there, because its origin cannot go on from offset().
  absl::Status Restart();

  // Checks size and digest, makes the blob durable and gives it its name. A blob that is not what it
  // should be: IMAGE_INVALID, and nothing of it is kept.
  absl::Status Commit() &&;

 private:
  friend class ContentStore;
  BlobWriter(ContentStore& store, Digest digest, std::optional<uint64_t> size, UniqueFd file)
      : store_(store), digest_(std::move(digest)), size_(size), file_(std::move(file)),
        hasher_(digest_.algorithm()) {}
  absl::Status Discard();

  ContentStore& store_;
  const Digest digest_;
  const std::optional<uint64_t> size_;
  UniqueFd file_;
  DigestHasher hasher_;
  uint64_t offset_ = 0;
};

class ContentStore {
 public:
  struct Blob {
    UniqueFd file;
    uint64_t size_bytes = 0;
  };

  static constexpr uint64_t kDefaultMaxBlobBytes = uint64_t{64} << 30;

  // Makes what is missing below the absolute path `directory`. No blob gets larger than
  // `max_blob_bytes`, whatever size its source names, or none.
  static absl::StatusOr<std::unique_ptr<ContentStore>> Open(
      const std::string& directory, uint64_t max_blob_bytes = kDefaultMaxBlobBytes);

  bool Contains(const Digest& digest) const;

  // For reading. NOT_FOUND, IMAGE_NOT_FOUND. The bytes are those that were verified when they came;
  // who depends on that for content of any size hashes while reading, as unpacking does.
  absl::StatusOr<Blob> Open(const Digest& digest) const;

  // The whole blob, hashed again now. DATA_LOSS, RECORD_CORRUPT where it has changed on disk.
  absl::StatusOr<std::string> Read(const Digest& digest, uint64_t limit_bytes) const;

  // Hashes the blob again. DATA_LOSS, RECORD_CORRUPT where it has changed on disk.
  absl::Status Verify(const Digest& digest) const;

  // IMAGE_INVALID where `size` is more than a blob may have.
  // A writer, or null where the blob is there (perhaps since this call waited for another writer).
  absl::StatusOr<std::unique_ptr<BlobWriter>> Write(const Digest& digest,
                                                    std::optional<uint64_t> size);
  // Bytes in memory, whose digest this returns.
  absl::StatusOr<Digest> Put(std::string_view bytes);

  absl::StatusOr<std::vector<Digest>> List() const;
  // Bytes freed; 0 where there was none.
  absl::StatusOr<uint64_t> Remove(const Digest& digest);
  // Of downloads in the middle.
  absl::StatusOr<std::vector<uint64_t>> PartialSizes() const;
  // Forgets downloads in the middle, but for those under way.
  absl::Status RemovePartial();

 private:
  friend class BlobWriter;
  explicit ContentStore(uint64_t max_blob_bytes) : max_blob_bytes_(max_blob_bytes) {}
  BorrowedFd BlobDirectory(const Digest& digest) const;
  void Release(const Digest& digest);

  const uint64_t max_blob_bytes_;
  UniqueFd sha256_;
  UniqueFd sha512_;
  UniqueFd ingest_;
  Mutex mutex_;
  CondVar released_;
  std::set<Digest> writing_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_CONTENT_STORE_H_
