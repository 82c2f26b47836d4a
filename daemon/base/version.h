// What the daemon says about itself.
#ifndef OCID_DAEMON_BASE_VERSION_H_
#define OCID_DAEMON_BASE_VERSION_H_

#include <string_view>

namespace ocid {

inline constexpr std::string_view kVersion = "0.1.0";  // semver.org; CHANGELOG.md
inline constexpr std::string_view kApiVersion = "ocid.v1";

}  // namespace ocid

#endif  // OCID_DAEMON_BASE_VERSION_H_
