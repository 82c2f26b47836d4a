// RecordStore: what the daemon keeps about its containers, behind one interface.
//
// For each container: a record, which survives a loss of power and whose presence is the container's
// existence; a state, and execs, which last as long as the boot; and two directories, which the
// supervisor shares (store_layout.h). Replacing any of them is atomic.
//
// Writers of one container take turns (its lane sees to it, and another for its execs); different
// containers do not disturb each other. Thread-safe under that rule. Calls block on the disk, and
// PutRecord until it is durable. Ids have passed IsValidId.
//
// Errors: as files.h has them; DATA_LOSS, RECORD_CORRUPT for what does not parse.
#ifndef OCID_DAEMON_STORE_RECORD_STORE_H_
#define OCID_DAEMON_STORE_RECORD_STORE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/internal/record.pb.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

struct ContainerDirectories {
  UniqueFd root;
  UniqueFd state;
};

class RecordStore {
 public:
  virtual ~RecordStore() = default;

  virtual std::string RootPath(const std::string& id) const = 0;
  virtual std::string StatePath(const std::string& id) const = 0;

  // Makes both where they are missing, and opens them.
  virtual absl::StatusOr<ContainerDirectories> MakeDirectories(const std::string& id) = 0;
  virtual absl::StatusOr<ContainerDirectories> OpenDirectories(const std::string& id) = 0;

  virtual absl::Status PutRecord(const internal::ContainerRecord& record) = 0;
  virtual absl::StatusOr<internal::ContainerRecord> GetRecord(const std::string& id) const = 0;

  // Stores it with this boot's id. Not synced.
  virtual absl::Status PutState(const std::string& id, internal::RuntimeState state) = 0;
  // NOT_FOUND also for a state of another boot.
  virtual absl::StatusOr<internal::RuntimeState> GetState(const std::string& id) const = 0;

  virtual absl::Status PutExec(const std::string& id, const v1::Exec& exec) = 0;
  virtual absl::Status RemoveExec(const std::string& id, const std::string& exec_id) = 0;
  // In the order of their ids. Those that do not parse are left out.
  virtual absl::StatusOr<std::vector<v1::Exec>> GetExecs(const std::string& id) const = 0;

  // Forgets the exit record of an earlier generation.
  virtual absl::Status RemoveExitRecord(const std::string& id) = 0;

  // The commit point of a delete: from here on the container does not exist.
  virtual absl::Status RemoveRecord(const std::string& id) = 0;
  // What is left of it, the record too. Idempotent.
  virtual absl::Status RemoveDirectories(const std::string& id) = 0;
  // Makes removals that were done before durable.
  virtual absl::Status SyncRemovals() = 0;

  // Every id that has a directory in either place, in order.
  virtual absl::StatusOr<std::vector<std::string>> List() const = 0;

  // Sets a container's durable directory aside and forgets its state. Returns where it went.
  virtual absl::StatusOr<std::string> Quarantine(const std::string& id) = 0;
};

}  // namespace ocid

#endif  // OCID_DAEMON_STORE_RECORD_STORE_H_
