// Names of CDI devices: "vendor.com/class=device".
//
// Pure functions: thread-safe, nothing blocks. Source: CDI SPEC.md 1.1, pkg/parser of the
// reference.
#ifndef OCID_DAEMON_CDI_CDI_NAME_H_
#define OCID_DAEMON_CDI_CDI_NAME_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ocid {

struct CdiName {
  std::string vendor;
  std::string device_class;
  std::string device;

  std::string Kind() const { return vendor + "/" + device_class; }
  std::string Qualified() const { return Kind() + "=" + device; }

  friend bool operator==(const CdiName&, const CdiName&) = default;
};

// INVALID_ARGUMENT says which part is wrong.
absl::StatusOr<CdiName> ParseCdiName(std::string_view text);

// A letter, then letters, digits, "_", "-" and ".", a letter or digit at the end.
absl::Status CheckCdiVendor(std::string_view vendor);
absl::Status CheckCdiClass(std::string_view device_class);
// A letter or digit, then also ":".
absl::Status CheckCdiDeviceName(std::string_view name);

inline constexpr std::string_view kCdiAnnotationPrefix = "cdi.k8s.io/";

// The devices that annotations ask for: the values of all keys with the prefix, in the order of the
// keys, each a list separated by commas. INVALID_ARGUMENT if one is no qualified name.
absl::StatusOr<std::vector<std::string>> CdiDevicesOfAnnotations(
    const std::map<std::string, std::string>& annotations);

}  // namespace ocid

#endif  // OCID_DAEMON_CDI_CDI_NAME_H_
