#include "runtime/seccomp/bpf_compile.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/unique_fd.h"
#include "runtime/seccomp/argument_rules.h"
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

// All that a profile says of one system call.
struct CallRules {
  std::string name;
  int number = 0;  // libseccomp's
  std::vector<SeccompAction> actions =
      {};  // of rules without conditions: those count, in whatever order
  std::vector<ArgumentRule> rules = {};
};

bool HasRepeatedArgument(const std::vector<SeccompCondition>& conditions) {
  uint32_t seen = 0;
  for (const SeccompCondition& condition : conditions) {
    const uint32_t bit = 1u << condition.index;
    if ((seen & bit) != 0) return true;
    seen |= bit;
  }
  return false;
}

absl::Status AddArgumentRule(CallRules& call, ArgumentRule added) {
  for (const ArgumentRule& rule : call.rules) {
    if (rule.conditions != added.conditions) continue;
    if (rule.action == added.action) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        "seccomp: two rules for ", call.name, " have the same conditions and different actions"));
  }
  // Each takes an instruction at least.
  if (call.rules.size() >= BPF_MAXINSNS) {
    return absl::InvalidArgumentError(
        absl::StrCat("seccomp: more than ", BPF_MAXINSNS, " rules for ", call.name));
  }
  call.rules.push_back(std::move(added));
  return absl::OkStatus();
}

// The rules of a profile by system call, in the order of its names.
absl::StatusOr<std::vector<CallRules>> GroupRules(const SeccompProfile& profile,
                                                  std::vector<std::string>& unknown) {
  std::vector<CallRules> calls;
  std::unordered_map<std::string, size_t> index;
  for (const SeccompRule& rule : profile.rules) {
    // What the default says anyway: libseccomp refuses it, and other runtimes leave it out.
    if (rule.action == profile.default_action) continue;
    for (const std::string& name : rule.names) {
      const auto [found, is_new] = index.try_emplace(name, calls.size());
      if (is_new) {
        calls.push_back({.name = name, .number = seccomp_syscall_resolve_name(name.c_str())});
      }
      CallRules& call = calls[found->second];
      if (rule.conditions.empty()) {
        call.actions.push_back(rule.action);
        continue;
      }
      std::vector<std::vector<SeccompCondition>> alternatives = {rule.conditions};
      if (HasRepeatedArgument(rule.conditions)) {
        alternatives.clear();
        for (const SeccompCondition& condition : rule.conditions)
          alternatives.push_back({condition});
      }
      for (std::vector<SeccompCondition>& conditions : alternatives) {
        absl::Status added = AddArgumentRule(call, {rule.action, std::move(conditions)});
        if (!added.ok()) return added;
      }
    }
  }
  for (const CallRules& call : calls) {
    if (call.number == __NR_SCMP_ERROR) unknown.push_back(call.name);
  }
  std::erase_if(calls, [](const CallRules& call) { return call.number == __NR_SCMP_ERROR; });
  std::sort(unknown.begin(), unknown.end());
  return calls;
}

absl::Status AddArchitectures(void* context, const std::vector<uint32_t>& architectures) {
  for (const uint32_t architecture : architectures) {
    const int result = seccomp_arch_add(context, architecture);
    if (result < 0 && result != -EEXIST) return Failed("add an architecture", result);
  }
  return absl::OkStatus();
}

// The action that the kernel prefers where several filters answer: the smallest as a signed number.
SeccompAction StrictestAction(const std::vector<ArgumentRule>& rules) {
  const auto strictest = std::min_element(
      rules.begin(), rules.end(), [](const ArgumentRule& left, const ArgumentRule& right) {
        return static_cast<int32_t>(left.action) < static_cast<int32_t>(right.action);
      });
  return strictest->action;
}

// Gives libseccomp what it is right about: rules without conditions, or a single one. The rest is
// `ours`; of that libseccomp is told one rule, for architectures that have the call within another
// one only.
absl::Status AddRules(void* context, const std::vector<CallRules>& calls,
                      std::vector<ArgumentRules>& ours) {
  for (const CallRules& call : calls) {
    std::vector<ArgumentRule> added;
    for (const SeccompAction action : call.actions) added.push_back({action, {}});
    if (added.empty() && call.rules.size() == 1) added = call.rules;
    if (added.empty()) {
      added.push_back({StrictestAction(call.rules), {}});
      ours.push_back({call.name, call.rules});
    }
    for (const ArgumentRule& rule : added) {
      std::vector<scmp_arg_cmp> arguments;
      for (const SeccompCondition& condition : rule.conditions) {
        arguments.push_back(ToLibseccomp(condition));
      }
      const int result =
          seccomp_rule_add_array(context, rule.action, call.number,
                                 static_cast<unsigned>(arguments.size()), arguments.data());
      if (result < 0) return Failed(absl::StrCat("rule for ", call.name), result);
    }
  }
  return absl::OkStatus();
}

// What a program depends on besides its profile. The first number is that of what is done here: a
// program that was stored by a daemon of another number is not used.
std::string CompilerName() {
  const scmp_version* const version = seccomp_version();
  if (version == nullptr) return "";
  return absl::StrCat("2 libseccomp ", version->major, ".", version->minor, ".", version->micro,
                      " ", seccomp_arch_native(), " ", seccomp_api_get());
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
  const absl::StatusOr<std::vector<CallRules>> calls =
      GroupRules(profile, program.unknown_syscalls);
  if (!calls.ok()) return calls.status();
  const Context context(seccomp_init(profile.default_action));
  if (context == nullptr) return Failed("this default action", -EINVAL);
  std::vector<ArgumentRules> ours;
  absl::Status added = AddArchitectures(context.get(), profile.architectures);
  if (added.ok()) added = AddRules(context.get(), *calls, ours);
  if (!added.ok()) return added;
  absl::StatusOr<std::string> bpf = ExportBpf(context.get());
  if (!bpf.ok()) return bpf.status();
  if (!ours.empty()) {
    std::vector<uint32_t> architectures = profile.architectures;
    architectures.push_back(seccomp_arch_native());
    program.bpf = CompileArgumentRules(ours, architectures, profile.default_action);
  }
  program.bpf += *bpf;
  const size_t instructions = program.bpf.size() / sizeof(sock_filter);
  if (instructions > BPF_MAXINSNS) {
    return absl::InvalidArgumentError(absl::StrCat("seccomp: the profile takes ", instructions,
                                                   " instructions, and the kernel ", BPF_MAXINSNS));
  }
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
