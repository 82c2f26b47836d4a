// UnitProperty: one property of a systemd unit as it goes over D-Bus, as a value.
//
// Values of the types that the properties of a scope have. Comparable and printable, so that what
// would be sent can be tested without a bus. Source: org.freedesktop.systemd1(5).
#ifndef OCID_RUNTIME_CGROUP_UNIT_PROPERTY_H_
#define OCID_RUNTIME_CGROUP_UNIT_PROPERTY_H_

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace ocid {

struct UnitProperty {
  using Bytes = std::vector<uint8_t>;                                    // "ay": a CPU or node mask
  using Strings = std::vector<std::string>;                              // "as"
  using DeviceLimits = std::vector<std::pair<std::string, uint64_t>>;    // "a(st)"
  using DeviceRules = std::vector<std::pair<std::string, std::string>>;  // "a(ss)"
  using Value = std::variant<bool, int32_t, uint32_t, uint64_t, std::string, Bytes, Strings,
                             DeviceLimits, DeviceRules>;

  std::string name;
  Value value;

  friend bool operator==(const UnitProperty&, const UnitProperty&) = default;
};

// "MemoryMax=4096", "DeviceAllow=[/dev/null rwm, char-136:* rw]".
std::string DescribeUnitProperty(const UnitProperty& property);

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_UNIT_PROPERTY_H_
