// Compiles a seccomp profile to a BPF program, and keeps what was compiled. libseccomp does so for
// all but several rules about the arguments of one system call: argument_rules.h.
//
// A profile of 350 rules takes milliseconds to compile, and most containers of a machine have the
// same one: SeccompCache keeps the programs of the profiles that were used last.
//
// CompileSeccomp is thread-safe (one libseccomp context a call); SeccompCache is thread-safe, and
// compiles outside its lock. Nothing blocks.
//
// Source: libseccomp, seccomp_rule_add(3), seccomp_export_bpf(3).
#ifndef OCID_RUNTIME_SECCOMP_BPF_COMPILE_H_
#define OCID_RUNTIME_SECCOMP_BPF_COMPILE_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/base/mutex.h"
#include "runtime/seccomp/seccomp_profile.h"

namespace ocid {

struct SeccompProgram {
  std::string bpf;        // struct sock_filter[]; empty: nothing to load (all is allowed)
  uint32_t flags = 0;     // SECCOMP_FILTER_FLAG_*
  bool notifies = false;  // it needs a listener
  // Names that libseccomp does not know on this machine. Their rules are left out, as the
  // specification's own profile for many kernels and machines needs.
  std::vector<std::string> unknown_syscalls;
};

// INVALID_ARGUMENT for rules that contradict each other (the same conditions, different actions),
// and for more instructions than the kernel takes. A rule without conditions wins over those with;
// of several rules with conditions the first that matches counts.
absl::StatusOr<SeccompProgram> CompileSeccomp(const SeccompProfile& profile);

class SeccompProgramStore;

class SeccompCache {
 public:
  // `store`, if any, is asked where nothing is in memory, and must outlive the cache.
  explicit SeccompCache(size_t capacity = 64, const SeccompProgramStore* store = nullptr)
      : capacity_(capacity), store_(store) {}

  // The program of an OCI `seccomp` object. Errors as of ParseSeccompProfile and CompileSeccomp;
  // they are not kept.
  absl::StatusOr<std::shared_ptr<const SeccompProgram>> Get(
      const nlohmann::json& seccomp, std::string_view pointer = "/linux/seccomp");

  size_t hits() const;

 private:
  using Entry = std::pair<std::string, std::shared_ptr<const SeccompProgram>>;

  std::shared_ptr<const SeccompProgram> Find(const std::string& key);

  const size_t capacity_;
  const SeccompProgramStore* const store_;
  mutable Mutex mutex_;
  std::list<Entry> entries_ ABSL_GUARDED_BY(mutex_);  // used last comes first
  std::unordered_map<std::string, std::list<Entry>::iterator> index_ ABSL_GUARDED_BY(mutex_);
  size_t hits_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_SECCOMP_BPF_COMPILE_H_
