// Names that the Node Resource Interface and the OCI specification write differently.
//
// Pure functions: thread-safe, nothing blocks.
#ifndef OCID_DAEMON_NRI_NRI_NAMES_H_
#define OCID_DAEMON_NRI_NRI_NAMES_H_

#include <string>
#include <string_view>

namespace ocid {

// Enum values of our .proto carry a prefix, because system headers have the bare names as macros;
// the OCI specification has the bare ones: "SCHED_FIFO", "IOPRIO_CLASS_BE", "MPOL_BIND".
inline std::string NriEnumName(std::string_view oci_name) {
  return std::string("NRI_").append(oci_name);
}
inline std::string OciEnumName(std::string_view nri_name) {
  constexpr std::string_view kPrefix = "NRI_";
  if (nri_name.starts_with(kPrefix)) nri_name.remove_prefix(kPrefix.size());
  return std::string(nri_name);
}

// What is marked with a leading "-" is to be removed.
inline bool IsRemoval(std::string_view name) { return name.starts_with('-'); }
// The name without the mark.
inline std::string UnmarkedName(std::string_view name) {
  return std::string(IsRemoval(name) ? name.substr(1) : name);
}

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_NRI_NAMES_H_
