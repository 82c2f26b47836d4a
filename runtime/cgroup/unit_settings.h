// What a systemd unit is told of a container's resources, and what systemd has no property for.
//
// Pure. What systemd knows it keeps over a daemon-reload, so everything that has a property goes
// into the unit; the rest is written to the delegated cgroup. On v1 hierarchies systemd translates
// the properties itself, but has none for cpusets, swap and soft limits there. Sources:
// systemd.resource-control(5), org.freedesktop.systemd1(5); runc docs/systemd.md.
#ifndef OCID_RUNTIME_CGROUP_UNIT_SETTINGS_H_
#define OCID_RUNTIME_CGROUP_UNIT_SETTINGS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/cgroup/cgroup_resources.h"
#include "runtime/cgroup/unit_property.h"

namespace ocid {

struct UnitSettings {
  std::vector<UnitProperty> properties;
  Resources rest;  // to be written to cgroup files
};

UnitSettings CompileUnitSettings(const Resources& resources, const CgroupLayout& layout);

struct UnitAnnotations {
  std::vector<UnitProperty> properties;
  // Annotations that would have set a property that is not on the list: to be recorded.
  std::vector<std::string> stripped;
};

// The annotations org.systemd.property.NAME whose NAME is on the list of those that cannot run a
// command, change a limit or reach another unit (CVE-2024-3154): CollectMode, DefaultDependencies,
// Description, KillSignal, SendSIGHUP, TimeoutStopSec, TimeoutStopUSec. Values are GVariant text,
// as runc and crun read them. Only annotations of the request may be passed in here.
// INVALID_ARGUMENT, ANNOTATION_INVALID if a listed one has a value of the wrong type.
absl::StatusOr<UnitAnnotations> ParseUnitAnnotations(
    const std::map<std::string, std::string>& annotations);

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_UNIT_SETTINGS_H_
