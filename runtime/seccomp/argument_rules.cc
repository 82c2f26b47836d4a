#include "runtime/seccomp/argument_rules.h"

#include <endian.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>

#include <cstddef>
#include <cstdlib>
#include <memory>

namespace ocid {
namespace {

// Numbers of system calls that libseccomp knows by another name are searched below this.
constexpr int kNumberBound = 1024;

// Of seccomp_data: the halves of an argument.
constexpr uint32_t kLowOffset = BYTE_ORDER == LITTLE_ENDIAN ? 0 : 4;
constexpr uint32_t kHighOffset = 4 - kLowOffset;

uint32_t OffsetOf(uint32_t argument) {
  return static_cast<uint32_t>(offsetof(seccomp_data, args) + argument * sizeof(uint64_t));
}

// -1 where the architecture has no number for the name. For what i386 had in socketcall(2) and
// ipc(2) before it got numbers of its own, libseccomp gives the name a negative number, and the
// number the name.
int NumberOf(uint32_t architecture, const std::string& name) {
  const int number = seccomp_syscall_resolve_name_arch(architecture, name.c_str());
  if (number >= 0 || number == __NR_SCMP_ERROR) return number;
  for (int candidate = 0; candidate < kNumberBound; ++candidate) {
    const std::unique_ptr<char, decltype(&std::free)> found(
        seccomp_syscall_resolve_num_arch(architecture, candidate), &std::free);
    if (found != nullptr && name == found.get()) return candidate;
  }
  return -1;
}

// What the kernel calls the architecture: x32 is a kind of system call of x86-64.
uint32_t AuditArchitecture(uint32_t architecture) {
  return architecture == SCMP_ARCH_X32 ? AUDIT_ARCH_X86_64 : architecture;
}

bool HasWideArguments(uint32_t architecture) {
  return architecture != SCMP_ARCH_X32 && (architecture & __AUDIT_ARCH_64BIT) != 0;
}

// Appends instructions. Jumps go forward to places that are not known yet: Skip makes the gap, Land
// says where it ends.
class Assembler {
 public:
  void Load(uint32_t offset) { Add(BPF_LD | BPF_W | BPF_ABS, offset); }
  void And(uint32_t mask) { Add(BPF_ALU | BPF_AND | BPF_K, mask); }
  void Return(uint32_t value) { Add(BPF_RET | BPF_K, value); }

  // Goes on with the next instruction where the loaded word compares so, else beyond Land.
  // `operation`: BPF_JEQ, BPF_JGT or BPF_JGE. The way is a jump of its own: it may be longer than a
  // comparison reaches.
  size_t SkipUnless(uint16_t operation, uint32_t value) {
    Jump(operation, value, /*if_true=*/1, /*if_false=*/0);
    return Skip();
  }
  size_t SkipIf(uint16_t operation, uint32_t value) {
    Jump(operation, value, /*if_true=*/0, /*if_false=*/1);
    return Skip();
  }
  size_t Skip() {
    Add(BPF_JMP | BPF_JA, 0);
    return program_.size();
  }
  void Land(size_t gap) { program_[gap - 1].k = static_cast<uint32_t>(program_.size() - gap); }

  std::string Bytes() const {
    return std::string(reinterpret_cast<const char*>(program_.data()),
                       program_.size() * sizeof(sock_filter));
  }

 private:
  void Add(uint16_t code, uint32_t k) { program_.push_back({code, 0, 0, k}); }
  void Jump(uint16_t operation, uint32_t value, uint8_t if_true, uint8_t if_false) {
    program_.push_back(
        {static_cast<uint16_t>(BPF_JMP | operation | BPF_K), if_true, if_false, value});
  }

  std::vector<sock_filter> program_;
};

// The condition as one of the comparisons that BPF has, or the contrary of one.
struct Comparison {
  uint16_t operation = BPF_JEQ;
  bool negated = false;
};

Comparison ComparisonOf(SeccompOperator op) {
  switch (op) {
    case SeccompOperator::kEq:
    case SeccompOperator::kMaskedEq:
      return {BPF_JEQ, false};
    case SeccompOperator::kNe:
      return {BPF_JEQ, true};
    case SeccompOperator::kGt:
      return {BPF_JGT, false};
    case SeccompOperator::kGe:
      return {BPF_JGE, false};
    case SeccompOperator::kLt:
      return {BPF_JGE, true};
    case SeccompOperator::kLe:
      return {BPF_JGT, true};
  }
  return {};
}

// Goes on where the condition holds; else beyond each of `failed`, to be landed by the caller.
void AddCondition(Assembler& code, const SeccompCondition& condition, bool wide,
                  std::vector<size_t>& failed) {
  const bool masked = condition.op == SeccompOperator::kMaskedEq;
  const uint64_t mask = masked ? condition.value : ~uint64_t{0};
  const uint64_t value = masked ? condition.value_two & mask : condition.value;
  const auto [operation, negated] = ComparisonOf(condition.op);
  const uint32_t offset = OffsetOf(condition.index);
  const auto load_half = [&](uint32_t at, uint64_t mask_half) {
    code.Load(offset + at);
    if (masked) code.And(static_cast<uint32_t>(mask_half));
  };

  std::vector<size_t> decided_true;
  std::vector<size_t> decided_false;
  if (wide) {
    const auto high = static_cast<uint32_t>(value >> 32);
    load_half(kHighOffset, mask >> 32);
    // Unequal upper halves decide.
    if (operation != BPF_JEQ) decided_true.push_back(code.SkipIf(BPF_JGT, high));
    decided_false.push_back(code.SkipUnless(BPF_JEQ, high));
  }
  load_half(kLowOffset, mask);
  decided_false.push_back(code.SkipUnless(operation, static_cast<uint32_t>(value)));

  // Here the comparison is true.
  std::vector<size_t>& holds = negated ? decided_false : decided_true;
  std::vector<size_t>& fails = negated ? decided_true : decided_false;
  if (negated) fails.push_back(code.Skip());
  for (const size_t gap : holds) code.Land(gap);
  failed.insert(failed.end(), fails.begin(), fails.end());
}

}  // namespace

std::string CompileArgumentRules(const std::vector<ArgumentRules>& calls,
                                 const std::vector<uint32_t>& architectures,
                                 SeccompAction otherwise) {
  Assembler code;
  for (const uint32_t architecture : architectures) {
    code.Load(offsetof(seccomp_data, arch));
    const size_t other_architecture = code.SkipUnless(BPF_JEQ, AuditArchitecture(architecture));
    for (const ArgumentRules& call : calls) {
      const int number = NumberOf(architecture, call.name);
      if (number < 0) continue;
      code.Load(offsetof(seccomp_data, nr));
      const size_t other_call = code.SkipUnless(BPF_JEQ, static_cast<uint32_t>(number));
      for (const ArgumentRule& rule : call.rules) {
        std::vector<size_t> failed;
        for (const SeccompCondition& condition : rule.conditions) {
          AddCondition(code, condition, HasWideArguments(architecture), failed);
        }
        code.Return(rule.action);
        for (const size_t gap : failed) code.Land(gap);
      }
      code.Return(otherwise);
      code.Land(other_call);
    }
    code.Land(other_architecture);
  }
  return code.Bytes();
}

}  // namespace ocid
