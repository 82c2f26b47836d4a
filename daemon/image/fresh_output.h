// FreshOutput: a file or folder on the host that is there whole or not at all: it is made beside its
// place under another name, then renamed. What exists is never touched.
//
//   absl::StatusOr<FreshOutput> output = FreshOutput::Begin("/srv/web", notes);
//   mkdirat(output->parent().get(), output->partial_name().c_str(), 0700); ...
//   return std::move(*output).Commit();
//
// Owns what has the partial name: dropped without Commit, it is removed. What a daemon that was killed has
// left is removed by the next one: before anything is made a note says where, in `notes`, a directory of
// the image store.
//
// Thread-compatible; calls block on the disk. Errors: IMAGE_INVALID for a path that cannot be used,
// StoreFailed.
#ifndef OCID_DAEMON_IMAGE_FRESH_OUTPUT_H_
#define OCID_DAEMON_IMAGE_FRESH_OUTPUT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

class FreshOutput {
 public:
  // `path` is absolute and does not exist; its parent does. `notes` is lent for as long as the object lives.
  static absl::StatusOr<FreshOutput> Begin(const std::string& path, BorrowedFd notes);
  // What the notes of daemons before this one say, before this one begins anything. What cannot be
  // removed keeps its note, for the next time.
  static absl::Status RemoveUnfinished(BorrowedFd notes);

  FreshOutput(FreshOutput&&) noexcept = default;
  FreshOutput& operator=(FreshOutput&&) = delete;
  ~FreshOutput();

  BorrowedFd parent() const { return parent_; }
  const std::string& partial_name() const { return partial_name_; }

  // Gives it its name, durably. What it holds has been synced by the caller.
  absl::Status Commit() &&;

 private:
  FreshOutput(UniqueFd parent, BorrowedFd notes, std::string path, std::string name,
              std::string partial_name)
      : parent_(std::move(parent)), notes_(notes), path_(std::move(path)), name_(std::move(name)),
        partial_name_(std::move(partial_name)) {}

  UniqueFd parent_;  // not valid: committed, or moved from
  BorrowedFd notes_;
  std::string path_;
  std::string name_;
  std::string partial_name_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_FRESH_OUTPUT_H_
