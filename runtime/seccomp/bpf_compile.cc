#include "runtime/seccomp/bpf_compile.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/unique_fd.h"
#include "runtime/seccomp/program_store.h"

namespace ocid {
namespace {

struct ContextDeleter {
  void operator()(void* context) const { seccomp_release(context); }
};
using Context = std::unique_ptr<void, ContextDeleter>;

absl::Status Failed(std::string_view what, int result) {
  return absl::InternalError(absl::StrCat("seccomp: ", absl::string_view(what.data(), what.size()),
                                          ": ", std::strerror(-result)));
}

scmp_compare ToLibseccomp(SeccompOperator op) {
  switch (op) {
    case SeccompOperator::kNe:
      return SCMP_CMP_NE;
    case SeccompOperator::kLt:
      return SCMP_CMP_LT;
    case SeccompOperator::kLe:
      return SCMP_CMP_LE;
    case SeccompOperator::kEq:
      return SCMP_CMP_EQ;
    case SeccompOperator::kGe:
      return SCMP_CMP_GE;
    case SeccompOperator::kGt:
      return SCMP_CMP_GT;
    case SeccompOperator::kMaskedEq:
      return SCMP_CMP_MASKED_EQ;
  }
  return SCMP_CMP_EQ;
}

scmp_arg_cmp ToLibseccomp(const SeccompCondition& condition) {
  return {condition.index, ToLibseccomp(condition.op), condition.value, condition.value_two};
}

// libseccomp takes one condition for each argument; several for one argument become rules of their
// own.
bool HasRepeatedArgument(const std::vector<SeccompCondition>& conditions) {
  uint32_t seen = 0;
  for (const SeccompCondition& condition : conditions) {
    const uint32_t bit = 1u << condition.index;
    if ((seen & bit) != 0) return true;
    seen |= bit;
  }
  return false;
}

int AddRule(void* context, const SeccompRule& rule, int number) {
  std::vector<scmp_arg_cmp> arguments;
  for (const SeccompCondition& condition : rule.conditions) {
    arguments.push_back(ToLibseccomp(condition));
  }
  if (!HasRepeatedArgument(rule.conditions)) {
    return seccomp_rule_add_array(context, rule.action, number,
                                  static_cast<unsigned>(arguments.size()), arguments.data());
  }
  for (const scmp_arg_cmp& argument : arguments) {
    const int result = seccomp_rule_add_array(context, rule.action, number, 1, &argument);
    if (result < 0) return result;
  }
  return 0;
}

absl::Status AddArchitectures(void* context, const std::vector<uint32_t>& architectures) {
  for (const uint32_t architecture : architectures) {
    const int result = seccomp_arch_add(context, architecture);
    if (result < 0 && result != -EEXIST) return Failed("add an architecture", result);
  }
  return absl::OkStatus();
}

absl::Status AddRules(void* context, const SeccompProfile& profile, SeccompProgram& program) {
  for (const SeccompRule& rule : profile.rules) {
    // libseccomp refuses rules that say what the default says.
    if (rule.action == profile.default_action) continue;
    for (const std::string& name : rule.names) {
      const int number = seccomp_syscall_resolve_name(name.c_str());
      if (number == __NR_SCMP_ERROR) {
        program.unknown_syscalls.push_back(name);
        continue;
      }
      const int result = AddRule(context, rule, number);
      if (result == -EEXIST) {
        return absl::InvalidArgumentError(absl::StrCat(
            "seccomp: two rules for ", name, " have the same conditions and different actions"));
      }
      if (result < 0) return Failed(absl::StrCat("rule for ", name), result);
    }
  }
  return absl::OkStatus();
}

// What a program depends on besides its profile.
std::string CompilerName() {
  const scmp_version* const version = seccomp_version();
  if (version == nullptr) return "";
  return absl::StrCat("libseccomp ", version->major, ".", version->minor, ".", version->micro, " ",
                      seccomp_arch_native(), " ", seccomp_api_get());
}

absl::StatusOr<std::string> ExportBpf(void* context) {
  const UniqueFd file(memfd_create("seccomp", MFD_CLOEXEC));
  if (!file.valid()) return Failed("memfd_create", -errno);
  const int exported = seccomp_export_bpf(context, file.get());
  if (exported < 0) return Failed("export", exported);
  struct stat info = {};
  const int known = fstat(file.get(), &info);
  if (known < 0) return Failed("fstat", -errno);
  std::string bytes(static_cast<size_t>(info.st_size), '\0');
  const ssize_t size = pread(file.get(), bytes.data(), bytes.size(), 0);
  if (size != info.st_size) return Failed("read the program", size < 0 ? -errno : -EIO);
  return bytes;
}

}  // namespace

absl::StatusOr<SeccompProgram> CompileSeccomp(const SeccompProfile& profile) {
  SeccompProgram program;
  program.flags = profile.flags;
  program.notifies = profile.notifies;
  if (profile.rules.empty() && profile.default_action == SCMP_ACT_ALLOW) return program;
  const Context context(seccomp_init(profile.default_action));
  if (context == nullptr) return Failed("this default action", -EINVAL);
  absl::Status added = AddArchitectures(context.get(), profile.architectures);
  if (added.ok()) added = AddRules(context.get(), profile, program);
  if (!added.ok()) return added;
  std::sort(program.unknown_syscalls.begin(), program.unknown_syscalls.end());
  program.unknown_syscalls.erase(
      std::unique(program.unknown_syscalls.begin(), program.unknown_syscalls.end()),
      program.unknown_syscalls.end());
  absl::StatusOr<std::string> bpf = ExportBpf(context.get());
  if (!bpf.ok()) return bpf.status();
  program.bpf = *std::move(bpf);
  return program;
}

absl::StatusOr<std::shared_ptr<const SeccompProgram>> SeccompCache::Get(
    const nlohmann::json& seccomp, std::string_view pointer) {
  std::string key = seccomp.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::shared_ptr<const SeccompProgram> program = Find(key);
  if (program != nullptr) return program;
  const std::string stored_key = store_ == nullptr ? "" : absl::StrCat(CompilerName(), "\n", key);
  std::optional<SeccompProgram> stored;
  if (store_ != nullptr) stored = store_->Find(stored_key);
  if (!stored.has_value()) {
    const absl::StatusOr<SeccompProfile> profile = ParseSeccompProfile(seccomp, pointer);
    if (!profile.ok()) return profile.status();
    absl::StatusOr<SeccompProgram> compiled = CompileSeccomp(*profile);
    if (!compiled.ok()) return compiled.status();
    stored = *std::move(compiled);
    if (store_ != nullptr) store_->Put(stored_key, *stored);
  }
  program = std::make_shared<const SeccompProgram>(*std::move(stored));

  MutexLock lock(mutex_);
  if (index_.count(key) != 0) return program;  // another thread was faster with the same
  entries_.emplace_front(key, program);
  index_[std::move(key)] = entries_.begin();
  if (entries_.size() > capacity_) {
    index_.erase(entries_.back().first);
    entries_.pop_back();
  }
  return program;
}

std::shared_ptr<const SeccompProgram> SeccompCache::Find(const std::string& key) {
  MutexLock lock(mutex_);
  const auto found = index_.find(key);
  if (found == index_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  ++hits_;
  return found->second->second;
}

size_t SeccompCache::hits() const {
  MutexLock lock(mutex_);
  return hits_;
}

}  // namespace ocid
