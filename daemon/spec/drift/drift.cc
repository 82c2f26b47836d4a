#include "daemon/spec/drift/drift.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "daemon/spec/drift/drift_parts.h"
#include "daemon/spec/drift/process_directory.h"

namespace ocid {

absl::StatusOr<DriftReport> DetectDrift(const DriftSubject& subject) {
  const absl::StatusOr<ProcessDirectory> init =
      ProcessDirectory::Open(subject.init_pid, subject.init_start_time);
  if (!init.ok()) return absl::FailedPreconditionError(init.status().message());
  const absl::StatusOr<ProcessDirectory> parent = ProcessDirectory::Open(subject.parent_pid, 0);

  DriftReport report;
  if (parent.ok()) {
    CompareNamespaces(subject, *init, *parent, report);
    CompareMounts(subject, *init, *parent, report);
  } else {
    report.CannotTell("/linux/namespaces", "the container has no supervisor");
    report.CannotTell("/mounts", "the container has no supervisor");
  }
  CompareKernelSettings(subject, *init, report);
  CompareProcess(subject, *init, report);
  CompareCgroups(subject, *init, report);
  CompareDevices(subject, *init, report);
  // What was read of a process that ended meanwhile says nothing.
  if (init->ended()) {
    return absl::FailedPreconditionError(absl::StrCat("process ", subject.init_pid, " has ended"));
  }
  return report;
}

}  // namespace ocid
