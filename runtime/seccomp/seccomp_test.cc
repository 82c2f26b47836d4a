#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <initializer_list>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "gtest/gtest.h"
#include "runtime/base/error_details.h"
#include "runtime/seccomp/bpf_compile.h"
#include "runtime/seccomp/bpf_evaluator.h"
#include "runtime/seccomp/program_store.h"
#include "runtime/seccomp/seccomp_profile.h"

namespace ocid {
namespace {

using nlohmann::json;

absl::StatusOr<SeccompProgram> Compile(const json& seccomp) {
  const absl::StatusOr<SeccompProfile> profile = ParseSeccompProfile(seccomp);
  if (!profile.ok()) return profile.status();
  return CompileSeccomp(*profile);
}

uint32_t Ask(const SeccompProgram& program, int number, std::initializer_list<uint64_t> arguments,
             uint32_t architecture = seccomp_arch_native()) {
  seccomp_data data = {};
  data.nr = number;
  data.arch = architecture;
  size_t i = 0;
  for (const uint64_t argument : arguments) data.args[i++] = argument;
  const absl::StatusOr<uint32_t> result = EvaluateSeccomp(program.bpf, data);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.value_or(0);
}

json Rule(const char* name, const char* action, json args = json::array()) {
  return {{"names", {name}}, {"action", action}, {"args", std::move(args)}};
}

TEST(Seccomp, ListedCallsAreAllowedAndOthersGetTheDefaultErrno) {
  const auto program = Compile({{"defaultAction", "SCMP_ACT_ERRNO"},
                                {"defaultErrnoRet", ENOSYS},
                                {"syscalls", {Rule("read", "SCMP_ACT_ALLOW")}}});
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_EQ(Ask(*program, SYS_read, {}), SCMP_ACT_ALLOW);
  EXPECT_EQ(Ask(*program, SYS_write, {}), SCMP_ACT_ERRNO(ENOSYS));
}

TEST(Seccomp, EveryActionReachesTheProgram) {
  json syscalls = {
      Rule("read", "SCMP_ACT_ERRNO"),         Rule("write", "SCMP_ACT_KILL"),
      Rule("close", "SCMP_ACT_KILL_PROCESS"), Rule("dup", "SCMP_ACT_LOG"),
      Rule("dup3", "SCMP_ACT_TRACE"),         Rule("chdir", "SCMP_ACT_TRAP"),
  };
  syscalls[0]["errnoRet"] = 7;
  syscalls[4]["errnoRet"] = 9;
  const auto program = Compile({{"defaultAction", "SCMP_ACT_ALLOW"}, {"syscalls", syscalls}});
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_EQ(Ask(*program, SYS_read, {}), SCMP_ACT_ERRNO(7));
  EXPECT_EQ(Ask(*program, SYS_write, {}), SCMP_ACT_KILL_THREAD);
  EXPECT_EQ(Ask(*program, SYS_close, {}), SCMP_ACT_KILL_PROCESS);
  EXPECT_EQ(Ask(*program, SYS_dup, {}), SCMP_ACT_LOG);
  EXPECT_EQ(Ask(*program, SYS_dup3, {}), SCMP_ACT_TRACE(9));
  EXPECT_EQ(Ask(*program, SYS_chdir, {}), SCMP_ACT_TRAP);
  EXPECT_EQ(Ask(*program, SYS_getpid, {}), SCMP_ACT_ALLOW);
}

struct OperatorCase {
  const char* op;
  uint64_t value;
  uint64_t value_two;
  uint64_t matches;
  uint64_t differs;
};

TEST(Seccomp, EveryOperatorComparesAllSixtyFourBits) {
  constexpr uint64_t kHigh = 0x100000000;
  const OperatorCase cases[] = {
      {"SCMP_CMP_NE", 5, 0, 5 + kHigh, 5},
      {"SCMP_CMP_LT", kHigh, 0, 7, kHigh},
      {"SCMP_CMP_LE", kHigh, 0, kHigh, kHigh + 1},
      {"SCMP_CMP_EQ", 5, 0, 5, 5 + kHigh},
      {"SCMP_CMP_GE", kHigh, 0, kHigh, 7},
      {"SCMP_CMP_GT", kHigh, 0, kHigh + 1, kHigh},
      {"SCMP_CMP_MASKED_EQ", 0xf0, 0x10, 0x1f, 0x2f},
  };
  for (const OperatorCase& item : cases) {
    const json args = {
        {{"index", 1}, {"op", item.op}, {"value", item.value}, {"valueTwo", item.value_two}}};
    const auto program = Compile({{"defaultAction", "SCMP_ACT_ERRNO"},
                                  {"syscalls", {Rule("personality", "SCMP_ACT_ALLOW", args)}}});
    ASSERT_TRUE(program.ok()) << item.op << program.status();
    EXPECT_EQ(Ask(*program, SYS_personality, {0, item.matches}), SCMP_ACT_ALLOW) << item.op;
    EXPECT_EQ(Ask(*program, SYS_personality, {0, item.differs}), SCMP_ACT_ERRNO(EPERM)) << item.op;
  }
}

TEST(Seccomp, RulesThatContradictEachOtherAreRefused) {
  const json args = {{{"index", 0}, {"op", "SCMP_CMP_NE"}, {"value", 1}}};
  const auto program = Compile(
      {{"defaultAction", "SCMP_ACT_ERRNO"},
       {"syscalls", {Rule("close", "SCMP_ACT_ALLOW", args), Rule("close", "SCMP_ACT_LOG", args)}}});
  EXPECT_EQ(program.status().code(), absl::StatusCode::kInvalidArgument) << program.status();
}

TEST(Seccomp, SeveralConditionsOnOneArgumentMeanAnyOfThem) {
  const json args = {{{"index", 0}, {"op", "SCMP_CMP_EQ"}, {"value", 1}},
                     {{"index", 0}, {"op", "SCMP_CMP_EQ"}, {"value", 2}}};
  const auto program = Compile({{"defaultAction", "SCMP_ACT_ERRNO"},
                                {"syscalls", {Rule("personality", "SCMP_ACT_ALLOW", args)}}});
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_EQ(Ask(*program, SYS_personality, {1}), SCMP_ACT_ALLOW);
  EXPECT_EQ(Ask(*program, SYS_personality, {2}), SCMP_ACT_ALLOW);
  EXPECT_EQ(Ask(*program, SYS_personality, {3}), SCMP_ACT_ERRNO(EPERM));
}

TEST(Seccomp, ConditionsOnDifferentArgumentsMustAllHold) {
  const json args = {{{"index", 0}, {"op", "SCMP_CMP_EQ"}, {"value", 1}},
                     {{"index", 1}, {"op", "SCMP_CMP_EQ"}, {"value", 2}}};
  const auto program = Compile({{"defaultAction", "SCMP_ACT_ERRNO"},
                                {"syscalls", {Rule("personality", "SCMP_ACT_ALLOW", args)}}});
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_EQ(Ask(*program, SYS_personality, {1, 2}), SCMP_ACT_ALLOW);
  EXPECT_EQ(Ask(*program, SYS_personality, {1, 3}), SCMP_ACT_ERRNO(EPERM));
}

json Condition(uint32_t index, const char* op, uint64_t value) {
  return {{"index", index}, {"op", op}, {"value", value}};
}

// libseccomp 2.5.4 does not come to an end with these.
TEST(Seccomp, SeveralRulesAboutTheArgumentsOfOneCallAreAlternatives) {
  const auto program =
      Compile({{"defaultAction", "SCMP_ACT_ERRNO"},
               {"syscalls",
                {Rule("socket", "SCMP_ACT_ALLOW",
                      {Condition(0, "SCMP_CMP_NE", 16), Condition(1, "SCMP_CMP_EQ", 12),
                       Condition(3, "SCMP_CMP_NE", 67)}),
                 Rule("socket", "SCMP_ACT_ALLOW",
                      {Condition(0, "SCMP_CMP_EQ", 57), Condition(1, "SCMP_CMP_EQ", 34),
                       Condition(3, "SCMP_CMP_NE", 22)}),
                 Rule("socket", "SCMP_ACT_ALLOW", {Condition(0, "SCMP_CMP_EQ", 16)}),
                 Rule("socket", "SCMP_ACT_ALLOW",
                      {Condition(0, "SCMP_CMP_NE", 16), Condition(2, "SCMP_CMP_NE", 80),
                       Condition(3, "SCMP_CMP_NE", 79)})}}});
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_EQ(Ask(*program, SYS_socket, {16, 0, 80, 79}), SCMP_ACT_ALLOW);
  EXPECT_EQ(Ask(*program, SYS_socket, {1, 12, 80, 79}), SCMP_ACT_ALLOW);
  EXPECT_EQ(Ask(*program, SYS_socket, {57, 34, 80, 79}), SCMP_ACT_ALLOW);
  EXPECT_EQ(Ask(*program, SYS_socket, {1, 1, 1, 1}), SCMP_ACT_ALLOW);
  EXPECT_EQ(Ask(*program, SYS_socket, {1, 1, 80, 1}), SCMP_ACT_ERRNO(EPERM));
  EXPECT_EQ(Ask(*program, SYS_read, {16}), SCMP_ACT_ERRNO(EPERM));
}

TEST(Seccomp, EveryOperatorIsRightBesideAnotherRule) {
  constexpr uint64_t kMiddle = 0x1'8000'0000;
  const uint64_t values[] = {0,
                             1,
                             0x8000'0000,
                             kMiddle - 1,
                             kMiddle,
                             kMiddle + 1,
                             0x2'0000'0000,
                             0x1'0000'0000,
                             0x1'ffff'ffff,
                             ~uint64_t{0}};
  const std::pair<const char*, bool (*)(uint64_t)> operators[] = {
      {"SCMP_CMP_NE", [](uint64_t value) { return value != kMiddle; }},
      {"SCMP_CMP_LT", [](uint64_t value) { return value < kMiddle; }},
      {"SCMP_CMP_LE", [](uint64_t value) { return value <= kMiddle; }},
      {"SCMP_CMP_EQ", [](uint64_t value) { return value == kMiddle; }},
      {"SCMP_CMP_GE", [](uint64_t value) { return value >= kMiddle; }},
      {"SCMP_CMP_GT", [](uint64_t value) { return value > kMiddle; }},
  };
  for (const auto& [name, holds] : operators) {
    const auto program =
        Compile({{"defaultAction", "SCMP_ACT_ERRNO"},
                 {"syscalls",
                  {Rule("personality", "SCMP_ACT_LOG", {Condition(1, "SCMP_CMP_EQ", 7)}),
                   Rule("personality", "SCMP_ACT_ALLOW", {Condition(0, name, kMiddle)})}}});
    ASSERT_TRUE(program.ok()) << program.status();
    EXPECT_EQ(Ask(*program, SYS_personality, {kMiddle, 7}), SCMP_ACT_LOG);
    for (const uint64_t value : values) {
      EXPECT_EQ(Ask(*program, SYS_personality, {value, 8}),
                holds(value) ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM))
          << name << " " << value;
    }
  }
}

// As the default profile of Podman has them, for machines that also run 32-bit programs.
TEST(Seccomp, SeveralRulesHoldOnEveryArchitecture) {
  const auto program =
      Compile({{"defaultAction", "SCMP_ACT_ERRNO"},
               {"defaultErrnoRet", ENOSYS},
               {"architectures", {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"}},
               {"syscalls",
                {Rule("socket", "SCMP_ACT_ERRNO",
                      {Condition(0, "SCMP_CMP_EQ", AF_NETLINK), Condition(2, "SCMP_CMP_EQ", 9)}),
                 Rule("socket", "SCMP_ACT_ALLOW", {Condition(2, "SCMP_CMP_NE", 9)}),
                 Rule("socket", "SCMP_ACT_ALLOW", {Condition(0, "SCMP_CMP_NE", AF_NETLINK)}),
                 Rule("socket", "SCMP_ACT_ALLOW", {Condition(2, "SCMP_CMP_NE", 9)})}}});
  ASSERT_TRUE(program.ok()) << program.status();
  constexpr int kX32Bit = 0x40000000;
  const std::pair<uint32_t, int> sockets[] = {{AUDIT_ARCH_X86_64, SYS_socket},
                                              {AUDIT_ARCH_X86_64, SYS_socket | kX32Bit},
                                              {AUDIT_ARCH_I386, 359}};
  for (const auto& [architecture, number] : sockets) {
    EXPECT_EQ(Ask(*program, number, {AF_NETLINK, 3, 9}, architecture), SCMP_ACT_ERRNO(EPERM));
    EXPECT_EQ(Ask(*program, number, {AF_NETLINK, 3, 0}, architecture), SCMP_ACT_ALLOW);
    EXPECT_EQ(Ask(*program, number, {AF_INET, 3, 9}, architecture), SCMP_ACT_ALLOW);
  }
  // socketcall(SYS_SOCKET, ...) of i386, whose arguments a filter cannot see: the strictest of
  // them.
  EXPECT_EQ(Ask(*program, 102, {1}, AUDIT_ARCH_I386), SCMP_ACT_ERRNO(EPERM));
  EXPECT_EQ(Ask(*program, SYS_getpid, {}, AUDIT_ARCH_X86_64), SCMP_ACT_ERRNO(ENOSYS));
}

TEST(Seccomp, ARuleWithoutConditionsWinsOverThoseWith) {
  for (const bool first : {true, false}) {
    json rules = {Rule("close", "SCMP_ACT_ALLOW"),
                  Rule("close", "SCMP_ACT_LOG", {Condition(0, "SCMP_CMP_EQ", 1)}),
                  Rule("close", "SCMP_ACT_TRAP", {Condition(0, "SCMP_CMP_EQ", 2)})};
    if (!first) std::swap(rules[0], rules[2]);
    const auto program = Compile({{"defaultAction", "SCMP_ACT_ERRNO"}, {"syscalls", rules}});
    ASSERT_TRUE(program.ok()) << program.status();
    EXPECT_EQ(Ask(*program, SYS_close, {1}), SCMP_ACT_ALLOW);
    EXPECT_EQ(Ask(*program, SYS_close, {3}), SCMP_ACT_ALLOW);
  }
}

TEST(Seccomp, MoreThanTheKernelTakesIsRefused) {
  json syscalls = json::array();
  for (int i = 0; i < 1000; ++i) {
    syscalls.push_back(Rule("close", "SCMP_ACT_ALLOW", {Condition(0, "SCMP_CMP_EQ", i)}));
  }
  EXPECT_EQ(Compile({{"defaultAction", "SCMP_ACT_ERRNO"}, {"syscalls", syscalls}}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Seccomp, ArchitecturesThatAreNotListedAreKilled) {
  const auto program = Compile(
      {{"defaultAction", "SCMP_ACT_ALLOW"}, {"syscalls", {Rule("reboot", "SCMP_ACT_ERRNO")}}});
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_EQ(Ask(*program, 1, {}, AUDIT_ARCH_S390X), SCMP_ACT_KILL_THREAD);
}

TEST(Seccomp, AListedArchitectureGetsItsOwnSystemCallNumbers) {
  const auto program = Compile({{"defaultAction", "SCMP_ACT_ERRNO"},
                                {"architectures", {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"}},
                                {"syscalls", {Rule("read", "SCMP_ACT_ALLOW")}}});
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_EQ(Ask(*program, 3, {}, AUDIT_ARCH_I386), SCMP_ACT_ALLOW);
  EXPECT_EQ(Ask(*program, 0, {}, AUDIT_ARCH_I386), SCMP_ACT_ERRNO(EPERM));
}

TEST(Seccomp, UnknownSystemCallsAreLeftOutAndReported) {
  const auto program = Compile(
      {{"defaultAction", "SCMP_ACT_ERRNO"},
       {"syscalls", {Rule("read", "SCMP_ACT_ALLOW"), Rule("no_such_call", "SCMP_ACT_ALLOW")}}});
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_EQ(program->unknown_syscalls, std::vector<std::string>{"no_such_call"});
}

TEST(Seccomp, AProfileThatAllowsAllNeedsNoProgram) {
  const auto program = Compile({{"defaultAction", "SCMP_ACT_ALLOW"}});
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_TRUE(program->bpf.empty());
}

TEST(Seccomp, ErrorsNameTheJsonPointer) {
  const struct {
    json seccomp;
    const char* field;
  } cases[] = {
      {{{"defaultAction", "SCMP_ACT_NOPE"}}, "/linux/seccomp/defaultAction"},
      {{{"defaultAction", "SCMP_ACT_NOTIFY"}}, "/linux/seccomp/defaultAction"},
      {{{"defaultAction", "SCMP_ACT_ALLOW"}, {"defaultErrnoRet", 1}},
       "/linux/seccomp/defaultErrnoRet"},
      {{{"defaultAction", "SCMP_ACT_ALLOW"}, {"architectures", {"SCMP_ARCH_Z80"}}},
       "/linux/seccomp/architectures/0"},
      {{{"defaultAction", "SCMP_ACT_ALLOW"}, {"flags", {"NOPE"}}}, "/linux/seccomp/flags/0"},
      {{{"defaultAction", "SCMP_ACT_ALLOW"},
        {"syscalls", {Rule("read", "SCMP_ACT_LOG", {{{"index", 6}, {"op", "SCMP_CMP_EQ"}}})}}},
       "/linux/seccomp/syscalls/0/args/0/index"},
      {{{"defaultAction", "SCMP_ACT_ALLOW"}, {"syscalls", {Rule("read", "SCMP_ACT_NOTIFY")}}},
       "/linux/seccomp/listenerPath"},
      {{{"defaultAction", "SCMP_ACT_ALLOW"}, {"listenerMetadata", "x"}},
       "/linux/seccomp/listenerMetadata"},
  };
  for (const auto& item : cases) {
    const auto profile = ParseSeccompProfile(item.seccomp);
    ASSERT_FALSE(profile.ok()) << item.seccomp;
    const auto violations = GetFieldViolations(profile.status());
    ASSERT_EQ(violations.size(), 1u) << item.seccomp;
    EXPECT_EQ(violations[0].field, item.field) << profile.status();
  }
}

TEST(SeccompCache, TheSameProfileIsCompiledOnce) {
  SeccompCache cache(2);
  const json profile = {{"defaultAction", "SCMP_ACT_ERRNO"},
                        {"syscalls", {Rule("read", "SCMP_ACT_ALLOW")}}};
  const auto first = cache.Get(profile);
  const auto second = cache.Get(profile);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(*first, *second);
  EXPECT_EQ(cache.hits(), 1u);
}

TEST(SeccompProgramStore, KeepsAProgramForExactlyItsProfile) {
  const std::string folder = testing::TempDir() + "/store" + std::to_string(getpid());
  const SeccompProgramStore store(folder);
  EXPECT_FALSE(store.Find("a").has_value());
  SeccompProgram program;
  program.bpf = std::string("\0\1bpf", 5);
  program.flags = 2;
  program.notifies = true;
  program.unknown_syscalls = {"x", "y"};
  store.Put("a", program);
  const auto found = store.Find("a");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->bpf, program.bpf);
  EXPECT_EQ(found->flags, 2u);
  EXPECT_TRUE(found->notifies);
  EXPECT_EQ(found->unknown_syscalls, program.unknown_syscalls);
  EXPECT_FALSE(store.Find("b").has_value());

  // Another profile's program under this profile's name, and half of a file.
  std::filesystem::path file;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) file = entry.path();
  store.Put("b", program);
  std::filesystem::path other;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path() != file) other = entry.path();
  }
  std::filesystem::copy_file(other, file, std::filesystem::copy_options::overwrite_existing);
  EXPECT_FALSE(store.Find("a").has_value());
  std::filesystem::resize_file(other, 60);
  EXPECT_FALSE(store.Find("b").has_value());

  // A folder that others may write to is not believed.
  store.Put("a", program);
  ASSERT_TRUE(store.Find("a").has_value());
  std::filesystem::permissions(folder, std::filesystem::perms(0777));
  EXPECT_FALSE(store.Find("a").has_value());
  std::filesystem::remove_all(folder);
}

TEST(SeccompProgramStore, DoesNotGrowWithoutEnd) {
  const std::string folder = testing::TempDir() + "/few" + std::to_string(getpid());
  const SeccompProgramStore store(folder);
  for (int i = 0; i < 200; ++i) store.Put(std::to_string(i), SeccompProgram());
  EXPECT_TRUE(store.Find("199").has_value());
  const std::filesystem::directory_iterator files(folder);
  EXPECT_LE(std::distance(begin(files), end(files)), 64);
  std::filesystem::remove_all(folder);
}

TEST(SeccompCache, ForgetsTheProfileThatWasNotUsedForLongest) {
  SeccompCache cache(2);
  const auto profile = [](const char* name) {
    return json{{"defaultAction", "SCMP_ACT_ERRNO"}, {"syscalls", {Rule(name, "SCMP_ACT_ALLOW")}}};
  };
  ASSERT_TRUE(cache.Get(profile("read")).ok());
  ASSERT_TRUE(cache.Get(profile("write")).ok());
  ASSERT_TRUE(cache.Get(profile("read")).ok());
  ASSERT_TRUE(cache.Get(profile("close")).ok());
  EXPECT_EQ(cache.hits(), 1u);
  ASSERT_TRUE(cache.Get(profile("read")).ok());
  EXPECT_EQ(cache.hits(), 2u);
  ASSERT_TRUE(cache.Get(profile("write")).ok());
  EXPECT_EQ(cache.hits(), 2u);
}

TEST(BpfEvaluator, RefusesAJumpOutOfTheProgram) {
  const sock_filter program[] = {{0x05, 0, 0, 9}, {0x06, 0, 0, 0}};
  const std::string_view bytes(reinterpret_cast<const char*>(program), sizeof(program));
  EXPECT_FALSE(EvaluateSeccomp(bytes, {}).ok());
}

TEST(BpfEvaluator, RefusesALoadOutsideOfTheCall) {
  for (const uint32_t offset : {uint32_t{1}, uint32_t{sizeof(seccomp_data)}, UINT32_MAX - 3}) {
    const sock_filter program[] = {{0x20, 0, 0, offset}, {0x06, 0, 0, 0}};
    const std::string_view bytes(reinterpret_cast<const char*>(program), sizeof(program));
    EXPECT_FALSE(EvaluateSeccomp(bytes, {}).ok()) << offset;
  }
}

}  // namespace
}  // namespace ocid
