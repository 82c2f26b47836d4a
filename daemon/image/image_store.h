// ImageStore: the images of this daemon: what they are called, their content, their unpacked layers.
//
//   DIR/lock           held by the daemon that works here
//   DIR/index.json     names and records (image_record.h), replaced durably
//   DIR/blobs, ingest  content_store.h
//   DIR/layers         layer_store.h
//   DIR/staging        archives being read; emptied at Open
//   DIR/outputs        notes of bundles and archives that are being written elsewhere (fresh_output.h)
//
// An image is recorded when all of its content is there, verified and unpacked, and synced to disk: a
// crash before leaves content without a record, which the next import uses and the next prune removes.
//
// Content goes with the last name and the last hold that use it. A hold is a container's claim on an
// image: it keeps record, blobs and layers whatever is deleted. Holds are not stored: who holds takes
// them again after a restart, before it lets anybody delete.
//
// Thread-safe. Reads look at snapshots. Everything else blocks on disk and network: not for threads that
// must not wait. Errors: IMAGE_NOT_FOUND, IMAGE_INVALID, STORE_FAILED, STORE_FULL.
#ifndef OCID_DAEMON_IMAGE_IMAGE_STORE_H_
#define OCID_DAEMON_IMAGE_IMAGE_STORE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/image/content_store.h"
#include "daemon/image/image_config.h"
#include "daemon/image/image_record.h"
#include "daemon/image/image_source.h"
#include "daemon/image/layer_store.h"
#include "daemon/image/manifest.h"
#include "daemon/image/user_lookup.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

class ImageStore;

// Of content from outside.
struct ImageLimits {
  uint64_t manifest_bytes = kDefaultManifestBytes;  // at most kMaxManifestBytes
  uint64_t blob_bytes = ContentStore::kDefaultMaxBlobBytes;
  LayerLimits layer;
};

enum class LayerState { kWaiting, kFetching, kVerifying, kUnpacking, kDone, kPresent };
std::string_view LayerStateName(LayerState state);  // "waiting", ...

struct LayerProgress {
  Digest digest;
  uint64_t done_bytes = 0;
  uint64_t total_bytes = 0;
  LayerState state = LayerState::kWaiting;
};

// Called as an import goes on, by one thread at a time. An error ends the import with it.
using ImportProgress = std::function<absl::Status(const std::vector<LayerProgress>&)>;

struct ImportRequest {
  std::vector<std::string> names;  // that the image gets
  Platform platform = Platform::Host();
  ImportProgress progress;  // may be empty
};

// A claim on an image. Dropped, it no longer counts; content goes with the next CollectGarbage.
class ImageHold {
 public:
  ~ImageHold();
  ImageHold(const ImageHold&) = delete;
  ImageHold& operator=(const ImageHold&) = delete;
  const ImageRecord& image() const { return image_; }

 private:
  friend class ImageStore;
  ImageHold(ImageStore& store, ImageRecord image, std::string holder)
      : store_(store), image_(std::move(image)), holder_(std::move(holder)) {}

  ImageStore& store_;
  const ImageRecord image_;
  const std::string holder_;
};

struct ImageDetails {
  ImageRecord record;
  ImageForms forms;
  std::string manifest_json;
  std::map<std::string, std::string> annotations;  // of the manifest
};

// What a runtime spec is made from: the configuration, and who its user is.
struct ImageRunConfig {
  std::string name;  // as it was asked for
  ImageRecord record;
  ImageConfig config;
  ResolvedUser user;
};

class ImageStore {
 public:
  struct Options {
    std::string directory;  // absolute; made where it is missing
    ImageLimits limits = {};
    int parallel_fetches = 4;
    std::function<absl::Time()> clock = absl::Now;
  };

  // FAILED_PRECONDITION where another process has it open.
  static absl::StatusOr<std::unique_ptr<ImageStore>> Open(Options options);

  // Takes an image from a source: resolves an index to the platform, fetches what is missing, verifies,
  // unpacks, records.
  absl::StatusOr<ImageRecord> Import(ImageSource& source, const Descriptor& root,
                                     const ImportRequest& request);

  // From a folder or an archive on the host. Returned with the names that it got now, whatever others it
  // has. An empty name: as the source names it. Where the source
  // has several images, the name says which.
  absl::StatusOr<ImageRecord> Load(const std::string& path, const std::string& name,
                                   const Platform& platform, const ImportProgress& progress = {});

  // By name, or by the digest of the manifest.
  absl::StatusOr<ImageRecord> Get(std::string_view name) const;
  std::shared_ptr<const ImageRecords> Snapshot() const;
  absl::StatusOr<ImageDetails> Inspect(std::string_view name) const;
  // The user's name is looked up in what the image's layers hold.
  absl::StatusOr<ImageRunConfig> RunConfig(std::string_view name) const;
  // The holders of an image, sorted.
  std::vector<std::string> Holders(const Digest& manifest) const;

  // Forgets the name, and removes what nothing uses any more. Bytes freed.
  absl::StatusOr<uint64_t> Delete(std::string_view name);

  struct PruneResult {
    std::vector<std::string> names;
    uint64_t freed_bytes = 0;
  };
  // Deletes every image without a hold, and content that no record uses, partial downloads too.
  absl::StatusOr<PruneResult> Prune();

  // Removes content that neither a name, a hold nor an import uses. Bytes freed.
  absl::StatusOr<uint64_t> CollectGarbage();

  // Keeps an image for `holder`, a container's id. By name or by the digest of the manifest.
  absl::StatusOr<std::unique_ptr<ImageHold>> Hold(std::string_view name, std::string holder);

  ContentStore& content() { return *content_; }
  const LayerStore& layers() const { return *layers_; }
  const ImageLimits& limits() const { return options_.limits; }
  // Where FreshOutput keeps its notes.
  BorrowedFd outputs() const { return outputs_; }
  // What went wrong at Open and no error told: an index that could not be read was set aside, half of a
  // bundle could not be removed.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  friend class ImageHold;
  friend class ImageImport;

  explicit ImageStore(Options options) : options_(std::move(options)) {}
  absl::Status ReadIndex();
  // Runs `change` on a copy of the records, stores it, and makes it the snapshot.
  absl::Status Change(const std::function<absl::Status(ImageRecords&)>& change);
  absl::Status Record(ImageRecord record);
  const ImageRecord* Find(const ImageRecords& records, std::string_view name) const;

  // Digests of blobs and chain ids that an import works with: no garbage while they are pinned.
  // Waits where the digest is being removed: after that it is not there, and not half there.
  void Pin(const Digest& digest);
  // Waits until no garbage is collected: what an import has just recorded, the collection under way
  // may not know of, so it must find it pinned.
  void Unpin(const std::vector<Digest>& digests);
  absl::Status ForgetUnused();
  absl::Status RemoveUnused(uint64_t& freed);
  // Removes one blob or layer unless it is pinned.
  template <class Remover>
  absl::Status RemoveUnlessPinned(const Digest& digest, const Remover& remove, uint64_t& freed);

  const Options options_;
  UniqueFd directory_;
  UniqueFd lock_;
  UniqueFd outputs_;
  std::unique_ptr<ContentStore> content_;
  std::unique_ptr<LayerStore> layers_;
  std::vector<std::string> warnings_;

  Mutex commit_mutex_;  // one change of the index at a time; held over its I/O, never taken to read
  mutable Mutex mutex_;
  std::shared_ptr<const ImageRecords> records_ ABSL_GUARDED_BY(mutex_);
  CondVar collected_;
  bool collecting_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<Digest> removing_ ABSL_GUARDED_BY(mutex_);
  std::set<Digest> doomed_ ABSL_GUARDED_BY(mutex_);  // records about to be forgotten: not to be held
  std::multiset<Digest> pinned_ ABSL_GUARDED_BY(mutex_);
  std::multimap<Digest, std::string> holders_ ABSL_GUARDED_BY(mutex_);  // by manifest
};

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_IMAGE_STORE_H_
