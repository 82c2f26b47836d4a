// Files in memory that nobody can change any more: programs that run from there, and bytes for a reader
// that maps them.
//
// A process that runs from such a program has no file of the host as its /proc/PID/exe, which a container
// that gets hold of it could overwrite (CVE-2019-5736), and an upgrade of a package does not touch it.
//
// Thread-safe; nothing blocks but the reading of a file. Source: memfd_create(2), F_ADD_SEALS of fcntl(2).
#ifndef OCID_RUNTIME_BASE_SEALED_MEMFD_H_
#define OCID_RUNTIME_BASE_SEALED_MEMFD_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

// `name` is what /proc shows, for whoever looks.
absl::StatusOr<UniqueFd> SealBytes(const char* name, std::string_view bytes);

// A descriptor to execute; with the bytes, or what the file at `path` holds now.
absl::StatusOr<UniqueFd> SealProgram(const char* name, std::string_view bytes);
absl::StatusOr<UniqueFd> SealProgramFile(const char* name, const std::string& path);

}  // namespace ocid

#endif  // OCID_RUNTIME_BASE_SEALED_MEMFD_H_
