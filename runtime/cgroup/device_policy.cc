#include "runtime/cgroup/device_policy.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/base/mutex.h"

namespace ocid {
namespace {

bool Matches(const DeviceRule& rule, char type, uint32_t major, uint32_t minor) {
  if (rule.type == 'a') return true;
  return rule.type == type && (!rule.major || *rule.major == major) &&
         (!rule.minor || *rule.minor == minor);
}

bool Covers(const DeviceRule& wide, const DeviceRule& narrow) {
  if (wide.type == 'a') return true;
  return wide.type == narrow.type && (!wide.major || wide.major == narrow.major) &&
         (!wide.minor || wide.minor == narrow.minor);
}

bool Overlap(const DeviceRule& a, const DeviceRule& b) {
  if (a.type == 'a' || b.type == 'a') return true;
  return a.type == b.type && (!a.major || !b.major || a.major == b.major) &&
         (!a.minor || !b.minor || a.minor == b.minor);
}

bool SameDevices(const DeviceRule& a, const DeviceRule& b) { return Covers(a, b) && Covers(b, a); }

constexpr bpf_insn Instruction(uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm) {
  bpf_insn instruction{};
  instruction.code = code;
  instruction.dst_reg = dst & 0xf;
  instruction.src_reg = src & 0xf;
  instruction.off = off;
  instruction.imm = imm;
  return instruction;
}

// Registers of the program.
constexpr uint8_t kResult = BPF_REG_0;
constexpr uint8_t kContext = BPF_REG_1;
constexpr uint8_t kType = BPF_REG_2;
constexpr uint8_t kUndecided = BPF_REG_3;  // kinds of access that no rule has decided yet
constexpr uint8_t kMajor = BPF_REG_4;
constexpr uint8_t kMinor = BPF_REG_5;
constexpr uint8_t kScratch = BPF_REG_6;

constexpr uint8_t kMoveImmediate = BPF_ALU64 | BPF_MOV | BPF_K;
constexpr uint8_t kMoveRegister = BPF_ALU64 | BPF_MOV | BPF_X;
constexpr uint8_t kAndImmediate = BPF_ALU64 | BPF_AND | BPF_K;
constexpr uint8_t kShiftRight = BPF_ALU64 | BPF_RSH | BPF_K;
constexpr uint8_t kLoadWord = BPF_LDX | BPF_MEM | BPF_W;
// Compares the lower 32 bits: a device number above 2^31 must not be sign-extended.
constexpr uint8_t kJumpIfNot = BPF_JMP32 | BPF_JNE | BPF_K;
constexpr uint8_t kJumpIf = BPF_JMP32 | BPF_JEQ | BPF_K;
constexpr uint8_t kExit = BPF_JMP | BPF_EXIT;

void AppendVerdict(std::vector<bpf_insn>& program, bool allow) {
  program.push_back(Instruction(kMoveImmediate, kResult, 0, 0, allow ? 1 : 0));
  program.push_back(Instruction(kExit, 0, 0, 0, 0));
}

void AppendRule(std::vector<bpf_insn>& program, const DeviceRule& rule) {
  // What to do with a device that matches.
  std::vector<bpf_insn> action;
  if (rule.allow) {
    action.push_back(Instruction(kAndImmediate, kUndecided, 0, 0,
                                 static_cast<int32_t>(kDeviceAll & ~rule.access)));
    action.push_back(Instruction(kJumpIfNot, kUndecided, 0, 2, 0));
    AppendVerdict(action, /*allow=*/true);
  } else {
    action.push_back(Instruction(kMoveRegister, kScratch, kUndecided, 0, 0));
    action.push_back(Instruction(kAndImmediate, kScratch, 0, 0, static_cast<int32_t>(rule.access)));
    action.push_back(Instruction(kJumpIf, kScratch, 0, 2, 0));
    AppendVerdict(action, /*allow=*/false);
  }
  struct Test {
    uint8_t reg;
    uint32_t value;
  };
  std::vector<Test> tests;
  if (rule.type != 'a') {
    tests.push_back({kType, rule.type == 'b' ? static_cast<uint32_t>(BPF_DEVCG_DEV_BLOCK)
                                             : static_cast<uint32_t>(BPF_DEVCG_DEV_CHAR)});
    if (rule.major) tests.push_back({kMajor, *rule.major});
    if (rule.minor) tests.push_back({kMinor, *rule.minor});
  }
  for (size_t i = 0; i < tests.size(); ++i) {
    const size_t to_skip = (tests.size() - i - 1) + action.size();
    program.push_back(Instruction(kJumpIfNot, tests[i].reg, 0, static_cast<int16_t>(to_skip),
                                  static_cast<int32_t>(tests[i].value)));
  }
  program.insert(program.end(), action.begin(), action.end());
}

int Bpf(bpf_cmd command, bpf_attr& attr) {
  return static_cast<int>(::syscall(SYS_bpf, command, &attr, sizeof(attr)));
}

uint64_t Address(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

absl::Status BpfError(std::string_view what) {
  const int error = errno;
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "CGROUP_IO",
      absl::StrCat(absl::string_view(what.data(), what.size()), ": ", strerrorname_np(error)),
      {{"file", "bpf"}});
}

// At most 15 characters: BPF_OBJ_NAME_LEN less the NUL.
constexpr char kProgramName[] = "ocid_devices";

absl::StatusOr<UniqueFd> LoadProgram(const std::vector<bpf_insn>& program) {
  bpf_attr attr{};
  attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attr.insns = Address(program.data());
  attr.insn_cnt = static_cast<uint32_t>(program.size());
  attr.license = Address("Apache-2.0");
  memcpy(attr.prog_name, kProgramName, sizeof(kProgramName));
  UniqueFd loaded(Bpf(BPF_PROG_LOAD, attr));
  if (!loaded.valid()) return BpfError("load the device program");
  return loaded;
}

bool SameProgram(const std::vector<bpf_insn>& a, const std::vector<bpf_insn>& b) {
  return a.size() == b.size() && memcmp(a.data(), b.data(), a.size() * sizeof(bpf_insn)) == 0;
}

// The program that was loaded last, for the next cgroup: most containers have the same rules, and
// the kernel verifies and compiles a program each time that it is loaded.
class LastProgram {
 public:
  absl::StatusOr<std::shared_ptr<const UniqueFd>> Get(const std::vector<bpf_insn>& program) {
    {
      const MutexLock lock(mutex_);
      if (loaded_ != nullptr && SameProgram(program, program_)) return loaded_;
    }
    absl::StatusOr<UniqueFd> loaded = LoadProgram(program);
    if (!loaded.ok()) return loaded.status();
    const MutexLock lock(mutex_);
    program_ = program;
    loaded_ = std::make_shared<const UniqueFd>(*std::move(loaded));
    return loaded_;
  }

 private:
  Mutex mutex_;
  std::vector<bpf_insn> program_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const UniqueFd> loaded_ ABSL_GUARDED_BY(mutex_);
};

LastProgram& TheLastProgram() {
  static auto& last = *new LastProgram;
  return last;
}

struct AttachedProgram {
  UniqueFd fd;
  bpf_prog_info info{};
};

absl::StatusOr<bpf_prog_info> DescribeProgram(BorrowedFd program) {
  bpf_prog_info info{};
  bpf_attr about{};
  about.info.bpf_fd = static_cast<uint32_t>(program.get());
  about.info.info_len = sizeof(info);
  about.info.info = Address(&info);
  if (Bpf(BPF_OBJ_GET_INFO_BY_FD, about) < 0) return BpfError("describe a device program");
  return info;
}

// The programs that are attached to this cgroup itself, anybody's.
absl::StatusOr<std::vector<AttachedProgram>> ListPrograms(BorrowedFd cgroup) {
  std::array<uint32_t, 64> ids{};  // BPF_CGROUP_MAX_PROGS
  bpf_attr attr{};
  attr.query.target_fd = static_cast<uint32_t>(cgroup.get());
  attr.query.attach_type = BPF_CGROUP_DEVICE;
  attr.query.prog_ids = Address(ids.data());
  attr.query.prog_cnt = ids.size();
  if (Bpf(BPF_PROG_QUERY, attr) < 0) return BpfError("list the device programs");
  std::vector<AttachedProgram> programs;
  for (uint32_t i = 0; i < attr.query.prog_cnt; ++i) {
    bpf_attr by_id{};
    by_id.prog_id = ids[i];
    UniqueFd program(Bpf(BPF_PROG_GET_FD_BY_ID, by_id));
    if (!program.valid()) continue;  // it went away meanwhile
    const absl::StatusOr<bpf_prog_info> info = DescribeProgram(program);
    if (!info.ok()) return info.status();
    programs.push_back({std::move(program), *info});
  }
  return programs;
}

// Those that an earlier AttachDeviceProgram attached.
absl::StatusOr<std::vector<UniqueFd>> FindOurPrograms(BorrowedFd cgroup) {
  absl::StatusOr<std::vector<AttachedProgram>> programs = ListPrograms(cgroup);
  if (!programs.ok()) return programs.status();
  std::vector<UniqueFd> ours;
  for (AttachedProgram& program : *programs) {
    if (strcmp(program.info.name, kProgramName) == 0) ours.push_back(std::move(program.fd));
  }
  return ours;
}

}  // namespace

absl::StatusOr<AttachedDevicePrograms> DescribeDevicePrograms(
    BorrowedFd cgroup, const std::vector<bpf_insn>& program) {
  const absl::StatusOr<std::vector<AttachedProgram>> attached = ListPrograms(cgroup);
  if (!attached.ok()) return attached.status();
  const absl::StatusOr<std::shared_ptr<const UniqueFd>> expected = TheLastProgram().Get(program);
  if (!expected.ok()) return expected.status();
  const absl::StatusOr<bpf_prog_info> about = DescribeProgram(**expected);
  if (!about.ok()) return about.status();
  AttachedDevicePrograms result;
  for (const AttachedProgram& found : *attached) {
    // The tag is the kernel's digest of the instructions.
    if (memcmp(found.info.tag, about->tag, sizeof(about->tag)) == 0) {
      result.ours = true;
    } else {
      const std::string name(found.info.name, strnlen(found.info.name, sizeof(found.info.name)));
      result.others.push_back(name.empty() ? absl::StrCat("id ", found.info.id) : name);
    }
  }
  return result;
}

std::string DescribeDeviceRule(const DeviceRule& rule) {
  const auto number = [](const std::optional<uint32_t>& value) {
    return value ? absl::StrCat(*value) : std::string("*");
  };
  std::string access;
  if (rule.access & kDeviceRead) access += 'r';
  if (rule.access & kDeviceWrite) access += 'w';
  if (rule.access & kDeviceMknod) access += 'm';
  const bool all = rule.type == 'a';
  return absl::StrCat(std::string(1, rule.type), " ", all ? "*" : number(rule.major), ":",
                      all ? "*" : number(rule.minor), " ", access);
}

bool DecideDeviceAccess(const DevicePolicy& policy, char type, uint32_t major, uint32_t minor,
                        uint32_t access) {
  for (auto rule = policy.rbegin(); rule != policy.rend(); ++rule) {
    if (!Matches(*rule, type, major, minor)) continue;
    if (!rule->allow) {
      if ((access & rule->access) != 0) return false;
      continue;
    }
    access &= ~rule->access;
    if (access == 0) return true;
  }
  return false;
}

std::optional<std::vector<DeviceRule>> ReduceToAllowList(const DevicePolicy& policy) {
  std::vector<DeviceRule> list;
  for (const DeviceRule& rule : policy) {
    if (rule.allow) {
      bool merged = false;
      for (DeviceRule& entry : list) {
        if (!SameDevices(entry, rule)) continue;
        entry.access |= rule.access;
        merged = true;
      }
      if (!merged) list.push_back(rule);
      continue;
    }
    for (DeviceRule& entry : list) {
      if (!Overlap(entry, rule) || (entry.access & rule.access) == 0) continue;
      if (!Covers(rule, entry)) return std::nullopt;
      entry.access &= ~rule.access;
    }
    std::erase_if(list, [](const DeviceRule& entry) { return entry.access == 0; });
  }
  for (const DeviceRule& entry : list) {
    if (entry.type != 'a' && !entry.major && entry.minor) return std::nullopt;
  }
  return list;
}

std::vector<bpf_insn> CompileDeviceProgram(const DevicePolicy& policy) {
  std::vector<bpf_insn> program = {
      Instruction(kLoadWord, kType, kContext, offsetof(bpf_cgroup_dev_ctx, access_type), 0),
      Instruction(kMoveRegister, kUndecided, kType, 0, 0),
      Instruction(kAndImmediate, kType, 0, 0, 0xffff),
      Instruction(kShiftRight, kUndecided, 0, 0, 16),
      Instruction(kLoadWord, kMajor, kContext, offsetof(bpf_cgroup_dev_ctx, major), 0),
      Instruction(kLoadWord, kMinor, kContext, offsetof(bpf_cgroup_dev_ctx, minor), 0),
  };
  for (auto rule = policy.rbegin(); rule != policy.rend(); ++rule) {
    if (rule->type == 'a' && rule->access == kDeviceAll) {  // rules before it are out of reach
      AppendVerdict(program, rule->allow);
      return program;
    }
    AppendRule(program, *rule);
  }
  AppendVerdict(program, /*allow=*/false);
  return program;
}

absl::StatusOr<bool> EvaluateDeviceProgram(const std::vector<bpf_insn>& program, char type,
                                           uint32_t major, uint32_t minor, uint32_t access) {
  const uint32_t context[] = {
      (access << 16) |
          static_cast<uint32_t>(type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR),
      major, minor};
  std::array<uint64_t, 11> reg{};
  for (size_t pc = 0; pc < program.size(); ++pc) {  // jumps go forward only
    const bpf_insn& insn = program[pc];
    if (insn.dst_reg > 10 || insn.src_reg > 10 || insn.off < 0) break;
    const uint64_t immediate = static_cast<uint64_t>(static_cast<int64_t>(insn.imm));
    const uint32_t low = static_cast<uint32_t>(reg[insn.dst_reg]);
    switch (insn.code) {
      case kMoveImmediate:
        reg[insn.dst_reg] = immediate;
        break;
      case kMoveRegister:
        reg[insn.dst_reg] = reg[insn.src_reg];
        break;
      case kAndImmediate:
        reg[insn.dst_reg] &= immediate;
        break;
      case kShiftRight:
        reg[insn.dst_reg] >>= immediate;
        break;
      case kLoadWord:
        if (insn.src_reg != kContext || insn.off > 8 || insn.off % 4 != 0) {
          return absl::InternalError("load from outside the context");
        }
        reg[insn.dst_reg] = context[insn.off / 4];
        break;
      case kJumpIfNot:
        if (low != static_cast<uint32_t>(insn.imm)) pc += static_cast<size_t>(insn.off);
        break;
      case kJumpIf:
        if (low == static_cast<uint32_t>(insn.imm)) pc += static_cast<size_t>(insn.off);
        break;
      case kExit:
        return reg[kResult] != 0;
      default:
        return absl::InternalError(absl::StrCat("instruction ", pc, " has code ", insn.code));
    }
  }
  return absl::InternalError("the program does not end");
}

absl::Status AttachDeviceProgram(BorrowedFd cgroup, const std::vector<bpf_insn>& program) {
  absl::StatusOr<std::vector<UniqueFd>> old = FindOurPrograms(cgroup);
  if (!old.ok()) return old.status();
  // A copy of its own where there is one already: the kernel refuses the same program twice.
  std::shared_ptr<const UniqueFd> loaded;
  if (old->empty()) {
    absl::StatusOr<std::shared_ptr<const UniqueFd>> shared = TheLastProgram().Get(program);
    if (!shared.ok()) return shared.status();
    loaded = *std::move(shared);
  } else {
    absl::StatusOr<UniqueFd> fresh = LoadProgram(program);
    if (!fresh.ok()) return fresh.status();
    loaded = std::make_shared<const UniqueFd>(*std::move(fresh));
  }
  bpf_attr attach{};
  attach.target_fd = static_cast<uint32_t>(cgroup.get());
  attach.attach_bpf_fd = static_cast<uint32_t>(loaded->get());
  attach.attach_type = BPF_CGROUP_DEVICE;
  attach.attach_flags = BPF_F_ALLOW_MULTI;
  if (Bpf(BPF_PROG_ATTACH, attach) < 0) return BpfError("attach the device program");
  for (const UniqueFd& earlier : *old) {
    bpf_attr detach{};
    detach.target_fd = static_cast<uint32_t>(cgroup.get());
    detach.attach_bpf_fd = static_cast<uint32_t>(earlier.get());
    detach.attach_type = BPF_CGROUP_DEVICE;
    if (Bpf(BPF_PROG_DETACH, detach) < 0) return BpfError("detach an earlier device program");
  }
  return absl::OkStatus();
}

}  // namespace ocid
