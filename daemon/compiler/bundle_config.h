// A bundle's config.json, read from the host's file system.
//
// Blocks on it. Source: opencontainers/runtime-spec bundle.md.
#ifndef OCID_DAEMON_COMPILER_BUNDLE_CONFIG_H_
#define OCID_DAEMON_COMPILER_BUNDLE_CONFIG_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "daemon/spec/spec_request.h"

namespace ocid {

inline constexpr size_t kMaxSpecBytes = 16 << 20;

// INVALID_ARGUMENT with one of the reasons BUNDLE_INVALID (no such folder, no config.json in it,
// not a plain file), SPEC_TOO_LARGE (nothing of it was read), SPEC_MALFORMED.
absl::StatusOr<BundleConfig> ReadBundleConfig(const std::string& bundle);

}  // namespace ocid

#endif  // OCID_DAEMON_COMPILER_BUNDLE_CONFIG_H_
