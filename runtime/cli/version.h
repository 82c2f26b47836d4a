// What `ocirun --version` says.
#ifndef OCID_RUNTIME_CLI_VERSION_H_
#define OCID_RUNTIME_CLI_VERSION_H_

namespace ocid {

inline constexpr char kOcirunVersion[] = "0.1.0";
inline constexpr char kOcirunCommit[] = "unknown";

}  // namespace ocid

#endif  // OCID_RUNTIME_CLI_VERSION_H_
