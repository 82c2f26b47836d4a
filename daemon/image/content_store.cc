#include "daemon/image/content_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "daemon/image/image_errors.h"
#include "daemon/image/store_files.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

std::string PartialName(const Digest& digest) {
  return std::string(digest.algorithm_name()) + "-" + digest.hex();
}

absl::Status Corrupt(const Digest& digest) {
  return MakeError(absl::StatusCode::kDataLoss, "RECORD_CORRUPT",
                   "blob " + digest.ToString() + " has changed on disk");
}

// Hashes an open file from where it stands to its end.
absl::StatusOr<uint64_t> HashRest(BorrowedFd file, DigestHasher& hasher) {
  std::array<char, 1 << 16> buffer;
  uint64_t total = 0;
  for (;;) {
    const ssize_t count = read(file.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return StoreFailed("read a blob", errno);
    if (count == 0) return total;
    hasher.Update({buffer.data(), static_cast<size_t>(count)});
    total += static_cast<uint64_t>(count);
  }
}

}  // namespace

BlobWriter::~BlobWriter() { store_.Release(digest_); }

absl::Status BlobWriter::Write(std::string_view bytes) {
  const uint64_t limit = size_.value_or(store_.max_blob_bytes_);
  if (bytes.size() > limit - offset_) {
    absl::Status discarded = Discard();
    if (!discarded.ok()) return discarded;
    return ImageInvalid("blob " + digest_.ToString() + " is larger than the " +
                        std::to_string(limit) + " bytes " +
                        (size_.has_value() ? "it is said to have" : "a blob may have"));
  }
  absl::Status written = WriteAll(file_, bytes);
  if (!written.ok()) return written;
  hasher_.Update(bytes);
  offset_ += bytes.size();
  return absl::OkStatus();
}

absl::Status BlobWriter::Restart() {
  if (ftruncate(file_.get(), 0) != 0 || lseek(file_.get(), 0, SEEK_SET) != 0) {
    return StoreFailed("truncate a partial blob", errno);
  }
  hasher_ = DigestHasher(digest_.algorithm());
  offset_ = 0;
  return absl::OkStatus();
}

absl::Status BlobWriter::Discard() {
  if (unlinkat(store_.ingest_.get(), PartialName(digest_).c_str(), 0) != 0 && errno != ENOENT) {
    return StoreFailed("unlink a partial blob", errno);
  }
  return absl::OkStatus();
}

absl::Status BlobWriter::Commit() && {
  if (size_.has_value() && offset_ < *size_) {
    // Kept: the next writer goes on from here.
    return ImageInvalid("blob " + digest_.ToString() + " ends after " + std::to_string(offset_) +
                        " of " + std::to_string(*size_) + " bytes");
  }
  const Digest actual = std::move(hasher_).Finish();
  if (actual != digest_) {
    absl::Status discarded = Discard();
    if (!discarded.ok()) return discarded;
    return ImageInvalid("content has digest " + actual.ToString() + ", not " +
                        digest_.ToString());
  }
  if (fsync(file_.get()) != 0) return StoreFailed("fsync a blob", errno);
  const BorrowedFd directory = store_.BlobDirectory(digest_);
  if (renameat(store_.ingest_.get(), PartialName(digest_).c_str(), directory.get(),
               digest_.hex().c_str()) != 0) {
    return StoreFailed("rename a blob", errno);
  }
  return SyncDirectory(directory);
}

absl::StatusOr<std::unique_ptr<ContentStore>> ContentStore::Open(const std::string& directory,
                                                                 uint64_t max_blob_bytes) {
  std::unique_ptr<ContentStore> store(new ContentStore(max_blob_bytes));
  absl::StatusOr<UniqueFd> sha256 = OpenOrMakeDirectory(directory + "/blobs/sha256");
  if (!sha256.ok()) return sha256.status();
  absl::StatusOr<UniqueFd> sha512 = OpenOrMakeDirectory(directory + "/blobs/sha512");
  if (!sha512.ok()) return sha512.status();
  absl::StatusOr<UniqueFd> ingest = OpenOrMakeDirectory(directory + "/ingest");
  if (!ingest.ok()) return ingest.status();
  store->sha256_ = *std::move(sha256);
  store->sha512_ = *std::move(sha512);
  store->ingest_ = *std::move(ingest);
  return store;
}

BorrowedFd ContentStore::BlobDirectory(const Digest& digest) const {
  return digest.algorithm() == Digest::Algorithm::kSha256 ? sha256_ : sha512_;
}

bool ContentStore::Contains(const Digest& digest) const {
  return faccessat(BlobDirectory(digest).get(), digest.hex().c_str(), F_OK,
                   AT_SYMLINK_NOFOLLOW) == 0;
}

absl::StatusOr<ContentStore::Blob> ContentStore::Open(const Digest& digest) const {
  Blob blob;
  blob.file.reset(openat(BlobDirectory(digest).get(), digest.hex().c_str(),
                         O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!blob.file.valid() && errno == ENOENT) {
    return MakeError(absl::StatusCode::kNotFound, "IMAGE_NOT_FOUND",
                     "no blob " + digest.ToString());
  }
  struct stat info;
  if (!blob.file.valid() || fstat(blob.file.get(), &info) != 0) {
    return StoreFailed("open blob " + digest.ToString(), errno);
  }
  blob.size_bytes = static_cast<uint64_t>(info.st_size);
  return blob;
}

absl::StatusOr<std::string> ContentStore::Read(const Digest& digest, uint64_t limit_bytes) const {
  absl::StatusOr<Blob> blob = Open(digest);
  if (!blob.ok()) return blob.status();
  absl::StatusOr<std::string> bytes = ReadAll(blob->file, limit_bytes, digest.ToString());
  if (!bytes.ok()) return bytes.status();
  DigestHasher hasher(digest.algorithm());
  hasher.Update(*bytes);
  if (std::move(hasher).Finish() != digest) return Corrupt(digest);
  return bytes;
}

absl::Status ContentStore::Verify(const Digest& digest) const {
  absl::StatusOr<Blob> blob = Open(digest);
  if (!blob.ok()) return blob.status();
  DigestHasher hasher(digest.algorithm());
  absl::StatusOr<uint64_t> size = HashRest(blob->file, hasher);
  if (!size.ok()) return size.status();
  if (std::move(hasher).Finish() != digest) return Corrupt(digest);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<BlobWriter>> ContentStore::Write(const Digest& digest,
                                                                std::optional<uint64_t> size) {
  if (size.has_value() && *size > max_blob_bytes_) {
    return ImageInvalid("blob " + digest.ToString() + ": " + std::to_string(*size) +
                        " bytes, more than the limit of " + std::to_string(max_blob_bytes_));
  }
  {
    MutexLock lock(mutex_);
    while (writing_.contains(digest)) released_.Wait(mutex_);
    if (Contains(digest)) return nullptr;
    writing_.insert(digest);
  }
  UniqueFd file(openat(ingest_.get(), PartialName(digest).c_str(),
                       O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) {
    const int error_number = errno;
    Release(digest);
    return StoreFailed("create a partial blob", error_number);
  }
  // From here on the writer's destructor releases the digest.
  std::unique_ptr<BlobWriter> writer(new BlobWriter(*this, digest, size, std::move(file)));
  absl::StatusOr<uint64_t> present = HashRest(writer->file_, writer->hasher_);
  if (!present.ok()) return present.status();
  writer->offset_ = *present;
  if (*present > size.value_or(max_blob_bytes_)) {
    absl::Status restarted = writer->Restart();
    if (!restarted.ok()) return restarted;
  }
  return writer;
}

absl::StatusOr<Digest> ContentStore::Put(std::string_view bytes) {
  const Digest digest = Digest::Sha256Of(bytes);
  absl::StatusOr<std::unique_ptr<BlobWriter>> writer = Write(digest, bytes.size());
  if (!writer.ok()) return writer.status();
  if (*writer == nullptr) return digest;
  absl::Status status = (*writer)->Restart();
  if (status.ok()) status = (*writer)->Write(bytes);
  if (status.ok()) status = std::move(**writer).Commit();
  if (!status.ok()) return status;
  return digest;
}

absl::StatusOr<std::vector<Digest>> ContentStore::List() const {
  std::vector<Digest> digests;
  for (const auto& [prefix, directory] :
       {std::pair("sha256:", &sha256_), std::pair("sha512:", &sha512_)}) {
    absl::StatusOr<std::vector<std::string>> names = ListDirectory(*directory);
    if (!names.ok()) return names.status();
    for (const std::string& name : *names) {
      absl::StatusOr<Digest> digest = Digest::Parse(prefix + name);
      if (digest.ok()) digests.push_back(*std::move(digest));
    }
  }
  return digests;
}

absl::StatusOr<uint64_t> ContentStore::Remove(const Digest& digest) {
  const BorrowedFd directory = BlobDirectory(digest);
  struct stat info;
  if (fstatat(directory.get(), digest.hex().c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return 0;
    return StoreFailed("stat blob " + digest.ToString(), errno);
  }
  if (unlinkat(directory.get(), digest.hex().c_str(), 0) != 0) {
    if (errno == ENOENT) return 0;
    return StoreFailed("unlink blob " + digest.ToString(), errno);
  }
  return static_cast<uint64_t>(info.st_size);
}

absl::StatusOr<std::vector<uint64_t>> ContentStore::PartialSizes() const {
  absl::StatusOr<std::vector<std::string>> names = ListDirectory(ingest_);
  if (!names.ok()) return names.status();
  std::vector<uint64_t> sizes;
  for (const std::string& name : *names) {
    struct stat info;
    // Finished or removed since: no download in the middle any more.
    if (fstatat(ingest_.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    sizes.push_back(static_cast<uint64_t>(info.st_size));
  }
  return sizes;
}

absl::Status ContentStore::RemovePartial() {
  absl::StatusOr<std::vector<std::string>> names = ListDirectory(ingest_);
  if (!names.ok()) return names.status();
  MutexLock lock(mutex_);
  std::set<std::string> under_way;
  for (const Digest& digest : writing_) under_way.insert(PartialName(digest));
  for (const std::string& name : *names) {
    if (under_way.contains(name)) continue;
    // Under the lock, so that no writer opens the file in between; one unlink is short.
    if (unlinkat(ingest_.get(), name.c_str(), 0) != 0 && errno != ENOENT) {
      return StoreFailed("unlink a partial blob", errno);
    }
  }
  return absl::OkStatus();
}

void ContentStore::Release(const Digest& digest) {
  {
    MutexLock lock(mutex_);
    writing_.erase(digest);
  }
  released_.SignalAll();
}

}  // namespace ocid
