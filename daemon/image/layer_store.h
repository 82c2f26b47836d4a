// LayerStore: unpacked layers, each once, as overlayfs wants them for lower directories.
//
//   DIR/<algorithm>-<hex of chain id>/fs         what the layer adds to those below it
//   DIR/<algorithm>-<hex of chain id>/passwd     /etc/passwd and /etc/group as a container of this
//   DIR/<algorithm>-<hex of chain id>/group      stack sees them; absent where there is no such file
//   DIR/.staging/<name>/                         layers in the making; emptied at Open
//
// A layer is unpacked onto an overlay mount of the layers below it, so that the kernel makes whiteouts,
// copies up directories and resolves links through the whole stack. The mount lives in a mount
// namespace of the unpacking thread alone: when the thread ends, or the daemon is killed, it is gone.
// The layer is synced to disk, then renamed: a directory of its name is whole.
//
// Thread-safe. Unpacking one chain twice at the same time does it once. Calls block on the disk.
// Needs CAP_SYS_ADMIN. Errors: those of layer_apply.h and StoreFailed.
#ifndef OCID_DAEMON_IMAGE_LAYER_STORE_H_
#define OCID_DAEMON_IMAGE_LAYER_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/image/digest.h"
#include "daemon/image/layer_apply.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

class LayerStore {
 public:
  static absl::StatusOr<std::unique_ptr<LayerStore>> Open(const std::string& directory);

  bool Contains(const Digest& chain_id) const;

  // Unpacks the topmost layer of `chain`, whose other layers must be there. The blob is opened only
  // where it is needed. OK where the layer is there already.
  using OpenBlob = std::function<absl::StatusOr<UniqueFd>()>;
  absl::Status Unpack(const std::vector<Digest>& chain, const OpenBlob& open_blob,
                      const LayerOptions& options);

  // Absolute path of a layer's directory for lowerdir=.
  std::string Path(const Digest& chain_id) const;

  // Of the file system that this stack of layers makes; nothing where it has no such regular file of
  // at most kMaxAccountFileBytes.
  absl::StatusOr<std::optional<std::string>> Passwd(const Digest& chain_id) const;
  absl::StatusOr<std::optional<std::string>> Group(const Digest& chain_id) const;

  absl::StatusOr<std::vector<Digest>> List() const;
  // Bytes freed; 0 where there was none. The caller knows that nobody uses it.
  absl::StatusOr<uint64_t> Remove(const Digest& chain_id);
  absl::StatusOr<uint64_t> UsedBytes(const Digest& chain_id) const;

 private:
  explicit LayerStore(std::string directory) : directory_(std::move(directory)) {}
  absl::Status UnpackStaged(const std::vector<Digest>& chain, const OpenBlob& open_blob,
                            const LayerOptions& options);
  absl::Status Fill(const std::string& staging, const std::vector<Digest>& chain,
                    const OpenBlob& open_blob, const LayerOptions& options) const;
  absl::StatusOr<std::optional<std::string>> ReadCopy(const Digest& chain_id,
                                                      const std::string& name) const;

  const std::string directory_;
  UniqueFd directory_fd_;
  UniqueFd staging_fd_;
  Mutex mutex_;
  CondVar released_;
  std::set<Digest> unpacking_ ABSL_GUARDED_BY(mutex_);
  uint64_t counter_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_LAYER_STORE_H_
