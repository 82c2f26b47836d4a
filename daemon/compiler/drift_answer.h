// A look for drift, asked and answered as the container manager and the API have it.
//
// Thread-safe. Blocks on /proc, cgroup files, files of the container and CDI's.
// FAILED_PRECONDITION, INVALID_STATE if the process has ended meanwhile; DATA_LOSS, RECORD_CORRUPT
// for a record that is not what it says.
#ifndef OCID_DAEMON_COMPILER_DRIFT_ANSWER_H_
#define OCID_DAEMON_COMPILER_DRIFT_ANSWER_H_

#include "absl/status/statusor.h"
#include "daemon/container/spec_compiler.h"
#include "runtime/plan/plan_compile.h"

namespace ocid {

class CdiRegistry;

// `devices` may be null: CDI files are not looked at.
absl::StatusOr<v1::DetectDriftResponse> AnswerDrift(const DriftQuestion& question,
                                                    CdiRegistry* devices, const HostFacts& host);

}  // namespace ocid

#endif  // OCID_DAEMON_COMPILER_DRIFT_ANSWER_H_
