// The parts of DetectDrift, each for one kind of facts. Only for code of this folder.
#ifndef OCID_DAEMON_SPEC_DRIFT_DRIFT_PARTS_H_
#define OCID_DAEMON_SPEC_DRIFT_DRIFT_PARTS_H_

#include <string>
#include <string_view>
#include <vector>

#include "daemon/spec/drift/drift.h"
#include "daemon/spec/drift/process_directory.h"

namespace ocid {

// process_drift.cc: identity, capabilities, limits, labels, environment.
void CompareProcess(const DriftSubject& subject, const ProcessDirectory& init,
                    DriftReport& report);

// namespace_drift.cc: linux.namespaces, id maps, time offsets; then, from inside of them, hostname,
// domainname and sysctls.
void CompareNamespaces(const DriftSubject& subject, const ProcessDirectory& init,
                       const ProcessDirectory& parent, DriftReport& report);
void CompareKernelSettings(const DriftSubject& subject, const ProcessDirectory& init,
                           DriftReport& report);

// mount_drift.cc: root, mounts, masked and read-only paths, and mounts that nobody asked for.
void CompareMounts(const DriftSubject& subject, const ProcessDirectory& init,
                   const ProcessDirectory& parent, DriftReport& report);

// cgroup_drift.cc: linux.resources and linux.cgroupsPath.
void CompareCgroups(const DriftSubject& subject, const ProcessDirectory& init,
                    DriftReport& report);

// device_drift.cc: nodes inside of the container, and CDI files and host nodes they came from.
void CompareDevices(const DriftSubject& subject, const ProcessDirectory& init,
                    DriftReport& report);

// Whether a cgroup file that says `text` holds what `wanted` was written for: kernels round, list
// and add words. `observed` gets what is there in its place.
bool CgroupFileHolds(std::string_view file, std::string_view wanted, std::string_view text,
                     bool systemd, std::string& observed);

// The capability sets of a process that has executed a program without file capabilities.
struct CapabilitySets {
  uint64_t bounding = 0;
  uint64_t effective = 0;
  uint64_t permitted = 0;
  uint64_t inheritable = 0;
  uint64_t ambient = 0;
};
CapabilitySets AfterExecve(CapabilitySets sets, bool is_root, bool no_new_privileges);

}  // namespace ocid

#endif  // OCID_DAEMON_SPEC_DRIFT_DRIFT_PARTS_H_
