// Compiled seccomp programs in a folder, for callers that live for one container only.
//
// A file holds the profile that it was compiled from, byte for byte, and is used for exactly that
// profile: its name, a hash, is only where to look. The folder is the user's own and closed to others,
// or is not used; so what is in it was written by a program that could as well have loaded the filter
// itself. What cannot be read or written is compiled as if there were no store.
//
// Thread-safe, and safe with other processes (files are replaced as a whole). Reads and writes small
// files.
#ifndef OCID_RUNTIME_SECCOMP_PROGRAM_STORE_H_
#define OCID_RUNTIME_SECCOMP_PROGRAM_STORE_H_

#include <optional>
#include <string>
#include <utility>

#include "runtime/base/unique_fd.h"
#include "runtime/seccomp/bpf_compile.h"

namespace ocid {

class SeccompProgramStore {
 public:
  // `directory` is made if its parent is there.
  explicit SeccompProgramStore(std::string directory) : directory_(std::move(directory)) {}

  // `key` is all that the program depends on.
  std::optional<SeccompProgram> Find(const std::string& key) const;
  void Put(const std::string& key, const SeccompProgram& program) const;

 private:
  UniqueFd OpenDirectory(bool make) const;

  const std::string directory_;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_SECCOMP_PROGRAM_STORE_H_
