// A spec's journal as the API shows it.
//
// Pure; thread-safe. DATA_LOSS, RECORD_CORRUPT for a journal that is not what it says.
#ifndef OCID_DAEMON_COMPILER_SPEC_HISTORY_H_
#define OCID_DAEMON_COMPILER_SPEC_HISTORY_H_

#include "absl/status/statusor.h"
#include "daemon/container/spec_compiler.h"
#include "daemon/spec/spec_journal.h"
#include "proto/ocid/v1/spec.pb.h"

namespace ocid {

// All of the history but container_id, generation and executor_sha256.
absl::StatusOr<v1::OciSpecHistory> DescribeHistory(const SpecJournal& journal,
                                                   const HistoryOptions& options);

}  // namespace ocid

#endif  // OCID_DAEMON_COMPILER_SPEC_HISTORY_H_
