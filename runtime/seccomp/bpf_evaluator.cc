#include "runtime/seccomp/bpf_evaluator.h"

#include <linux/bpf_common.h>
#include <linux/filter.h>

#include <cstring>

#include "absl/strings/str_cat.h"

namespace ocid {
namespace {

absl::Status Refused(size_t position, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("bpf: instruction ", position, ": ", what));
}

uint32_t Compute(uint16_t code, uint32_t left, uint32_t right) {
  switch (BPF_OP(code)) {
    case BPF_ADD:
      return left + right;
    case BPF_SUB:
      return left - right;
    case BPF_MUL:
      return left * right;
    case BPF_DIV:
      return right == 0 ? 0 : left / right;
    case BPF_OR:
      return left | right;
    case BPF_AND:
      return left & right;
    case BPF_XOR:
      return left ^ right;
    case BPF_LSH:
      return right >= 32 ? 0 : left << right;
    case BPF_RSH:
      return right >= 32 ? 0 : left >> right;
    default:
      return 0u - left;  // BPF_NEG
  }
}

bool Compare(uint16_t code, uint32_t left, uint32_t right) {
  switch (BPF_OP(code)) {
    case BPF_JEQ:
      return left == right;
    case BPF_JGT:
      return left > right;
    case BPF_JGE:
      return left >= right;
    default:
      return (left & right) != 0;  // BPF_JSET
  }
}

}  // namespace

absl::StatusOr<uint32_t> EvaluateSeccomp(std::string_view bpf, const seccomp_data& data) {
  const size_t count = bpf.size() / sizeof(sock_filter);
  uint32_t accumulator = 0;
  uint32_t index = 0;
  uint32_t memory[BPF_MEMWORDS] = {};
  for (size_t at = 0; at < count; ++at) {
    sock_filter instruction;
    std::memcpy(&instruction, bpf.data() + at * sizeof(instruction), sizeof(instruction));
    const uint16_t code = instruction.code;
    const uint32_t constant = instruction.k;
    const uint32_t operand = BPF_SRC(code) == BPF_X ? index : constant;
    switch (BPF_CLASS(code)) {
      case BPF_LD:
        if (code == (BPF_LD | BPF_W | BPF_ABS)) {
          if (constant % 4 != 0 || constant > sizeof(data) - 4) {
            return Refused(at, "load outside of seccomp_data");
          }
          std::memcpy(&accumulator, reinterpret_cast<const char*>(&data) + constant, 4);
        } else if (BPF_MODE(code) == BPF_IMM) {
          accumulator = constant;
        } else if (BPF_MODE(code) == BPF_MEM && constant < BPF_MEMWORDS) {
          accumulator = memory[constant];
        } else {
          return Refused(at, "load");
        }
        break;
      case BPF_LDX:
        if (BPF_MODE(code) == BPF_IMM) {
          index = constant;
        } else if (BPF_MODE(code) == BPF_MEM && constant < BPF_MEMWORDS) {
          index = memory[constant];
        } else {
          return Refused(at, "load");
        }
        break;
      case BPF_ST:
      case BPF_STX:
        if (constant >= BPF_MEMWORDS) return Refused(at, "store");
        memory[constant] = BPF_CLASS(code) == BPF_ST ? accumulator : index;
        break;
      case BPF_ALU:
        accumulator = Compute(code, accumulator, operand);
        break;
      case BPF_JMP: {
        size_t skip = constant;
        if (BPF_OP(code) != BPF_JA) {
          skip = Compare(code, accumulator, operand) ? instruction.jt : instruction.jf;
        }
        if (skip >= count - at - 1) return Refused(at, "jump out of the program");
        at += skip;
        break;
      }
      case BPF_RET:
        return BPF_RVAL(code) == BPF_A ? accumulator : constant;
      default:  // BPF_MISC
        if (BPF_MISCOP(code) == BPF_TAX) {
          index = accumulator;
        } else {
          accumulator = index;
        }
        break;
    }
  }
  return absl::InvalidArgumentError("bpf: the program ends without a return");
}

}  // namespace ocid
