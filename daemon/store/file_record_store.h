// FileRecordStore: a RecordStore in the two directories of store_layout.h.
#ifndef OCID_DAEMON_STORE_FILE_RECORD_STORE_H_
#define OCID_DAEMON_STORE_FILE_RECORD_STORE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "daemon/store/record_store.h"

namespace ocid {

struct FileRecordStoreOptions {
  std::string root_dir;   // absolute; made where missing, with its parents
  std::string state_dir;  // likewise
  // What tells this boot from another. Empty: /proc/sys/kernel/random/boot_id.
  std::string boot_id = {};
};

// Takes the locks of both directories: FAILED_PRECONDITION while another daemon has one. Blocks.
absl::StatusOr<std::unique_ptr<RecordStore>> OpenFileRecordStore(
    const FileRecordStoreOptions& options);

}  // namespace ocid

#endif  // OCID_DAEMON_STORE_FILE_RECORD_STORE_H_
