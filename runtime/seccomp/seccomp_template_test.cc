#include "runtime/seccomp/seccomp_template.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <initializer_list>
#include <nlohmann/json.hpp>

#include "gtest/gtest.h"
#include "runtime/seccomp/bpf_compile.h"
#include "runtime/seccomp/bpf_evaluator.h"
#include "runtime/seccomp/seccomp_profile.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

const SeccompTarget kPlain = {.capabilities = {}, .architecture = "amd64", .kernel = {6, 1}};

Json NamesOf(const Json& rules, const SeccompTarget& target) {
  const auto resolved = ResolveSeccompTemplate(
      {{"defaultAction", "SCMP_ACT_ERRNO"}, {"syscalls", rules}}, target);
  EXPECT_TRUE(resolved.ok()) << resolved.status();
  Json names = Json::array();
  if (!resolved.ok()) return names;
  for (const Json& rule : (*resolved)["syscalls"]) names.push_back(rule["names"][0]);
  return names;
}

Json Rule(const char* name, Json includes, Json excludes = Json::object()) {
  return {{"names", {name}},
          {"action", "SCMP_ACT_ALLOW"},
          {"includes", std::move(includes)},
          {"excludes", std::move(excludes)}};
}

TEST(SeccompTemplate, ARuleIsKeptOnlyWhereItsCapabilitiesAreThere) {
  const Json rules = {Rule("mount", {{"caps", {"CAP_SYS_ADMIN"}}}),
                      Rule("clone", Json::object(), {{"caps", {"CAP_SYS_ADMIN"}}})};
  EXPECT_EQ(NamesOf(rules, kPlain), Json({"clone"}));
  SeccompTarget admin = kPlain;
  admin.capabilities = {"CAP_CHOWN", "CAP_SYS_ADMIN"};
  EXPECT_EQ(NamesOf(rules, admin), Json({"mount"}));
}

TEST(SeccompTemplate, ARuleIsKeptOnlyOnItsArchitectures) {
  const Json rules = {Rule("arch_prctl", {{"arches", {"amd64", "x32"}}}),
                      Rule("set_tls", {{"arches", {"arm"}}}),
                      Rule("clone", Json::object(), {{"arches", {"amd64"}}})};
  EXPECT_EQ(NamesOf(rules, kPlain), Json({"arch_prctl"}));
}

TEST(SeccompTemplate, ARuleIsKeptOnlyFromItsKernelOn) {
  const Json rules = {Rule("ptrace", {{"minKernel", "4.8"}}), Rule("later", {{"minKernel", "6.2"}}),
                      Rule("old", Json::object(), {{"minKernel", "4.8"}})};
  EXPECT_EQ(NamesOf(rules, kPlain), Json({"ptrace"}));
}

TEST(SeccompTemplate, TheResultIsAProfileWithoutConditions) {
  const auto resolved = ResolveSeccompTemplate(
      Json::parse(R"({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
        "archMap": [{"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
                    {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [{"name": "read", "action": "SCMP_ACT_ALLOW", "args": [], "comment": "all may",
                      "includes": {}, "excludes": {}}]})"),
      kPlain);
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_EQ(*resolved, Json::parse(R"({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]})"));
}

TEST(SeccompTemplate, MistakesAreNamedByPointer) {
  const auto resolved = ResolveSeccompTemplate(
      {{"syscalls", {Rule("read", {{"minKernel", "soon"}})}}}, kPlain);
  EXPECT_EQ(resolved.status().message(),
            "/syscalls/0/includes/minKernel: must be a version such as 4.8");
  EXPECT_EQ(ResolveSeccompTemplate({{"syscalls", {Rule("read", {{"host", "a"}})}}}, kPlain)
                .status()
                .message(),
            "/syscalls/0/includes/host: is no condition that this program knows");
  EXPECT_FALSE(ResolveSeccompTemplate(Json::array(), kPlain).ok());
}

// ---- The default profile, as this machine's kernel would run it.

class DefaultProfile : public testing::Test {
 protected:
  // The action for a call, of a process that can have `capabilities`.
  static uint32_t Ask(std::vector<std::string> capabilities, int number,
                      std::initializer_list<uint64_t> arguments = {}) {
    const auto resolved = ResolveSeccompTemplate(Json::parse(DefaultSeccompTemplate()),
                                                 SeccompTargetHere(std::move(capabilities)));
    if (!resolved.ok()) return ADD_FAILURE() << resolved.status(), 0;
    const auto profile = ParseSeccompProfile(*resolved);
    if (!profile.ok()) return ADD_FAILURE() << profile.status(), 0;
    const auto program = CompileSeccomp(*profile);
    if (!program.ok()) return ADD_FAILURE() << program.status(), 0;
    seccomp_data data = {};
    data.nr = number;
    data.arch = seccomp_arch();
    size_t i = 0;
    for (const uint64_t argument : arguments) data.args[i++] = argument;
    const auto action = EvaluateSeccomp(program->bpf, data);
    if (!action.ok()) return ADD_FAILURE() << action.status(), 0;
    return *action;
  }

  static uint32_t seccomp_arch();
  static constexpr uint32_t kAllow = SECCOMP_RET_ALLOW;
  static constexpr uint32_t kDenied = SECCOMP_RET_ERRNO | EPERM;
  static constexpr uint32_t kUnknown = SECCOMP_RET_ERRNO | ENOSYS;
};

uint32_t DefaultProfile::seccomp_arch() {
#if defined(__x86_64__)
  return 0xc000003e;  // AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
  return 0xc00000b7;  // AUDIT_ARCH_AARCH64
#endif
}

TEST_F(DefaultProfile, WhatOrdinaryProgramsCallIsAllowed) {
  for (const int number : {SYS_read, SYS_openat, SYS_execve, SYS_futex, SYS_statx, SYS_ptrace}) {
    EXPECT_EQ(Ask({}, number), kAllow) << number;
  }
}

TEST_F(DefaultProfile, WhatReachesTheHostIsDenied) {
  for (const int number : {SYS_kexec_load, SYS_keyctl, SYS_io_uring_setup, SYS_userfaultfd,
                           SYS_mount, SYS_bpf, SYS_unshare, SYS_open_by_handle_at}) {
    EXPECT_EQ(Ask({}, number), kDenied) << number;
  }
}

TEST_F(DefaultProfile, ACallOfALaterKernelSeemsNotToExist) { EXPECT_EQ(Ask({}, 999), kUnknown); }

TEST_F(DefaultProfile, CapabilitiesOpenWhatTheyAreFor) {
  EXPECT_EQ(Ask({"CAP_SYS_ADMIN"}, SYS_mount), kAllow);
  EXPECT_EQ(Ask({"CAP_SYS_ADMIN", "CAP_BPF"}, SYS_bpf), kAllow);
  EXPECT_EQ(Ask({"CAP_BPF"}, SYS_bpf), kAllow);
  EXPECT_EQ(Ask({"CAP_SYS_CHROOT"}, SYS_chroot), kAllow);
  EXPECT_EQ(Ask({"CAP_SYS_CHROOT"}, SYS_mount), kDenied);
}

TEST_F(DefaultProfile, ACloneMayNotMakeNamespacesUnlessItsCallerIsPrivileged) {
  EXPECT_EQ(Ask({}, SYS_clone, {CLONE_VM | CLONE_THREAD | CLONE_SIGHAND}), kAllow);
  EXPECT_EQ(Ask({}, SYS_clone, {CLONE_NEWUSER}), kDenied);
  EXPECT_EQ(Ask({}, SYS_clone, {CLONE_NEWUSER | CLONE_NEWNS | CLONE_VM}), kDenied);
  EXPECT_EQ(Ask({}, SYS_clone3), kUnknown);
  EXPECT_EQ(Ask({"CAP_SYS_ADMIN"}, SYS_clone, {CLONE_NEWNS}), kAllow);
}

TEST_F(DefaultProfile, NoArgumentTricksOpenAVsock) {
  EXPECT_EQ(Ask({}, SYS_socket, {AF_UNIX}), kAllow);
  EXPECT_EQ(Ask({}, SYS_socket, {AF_NETLINK}), kAllow);
  EXPECT_EQ(Ask({}, SYS_socket, {AF_ALG}), kUnknown);
  EXPECT_EQ(Ask({}, SYS_socket, {AF_VSOCK}), kUnknown);
  // The kernel takes the low half of the register: a filter that compares all of it must not be fooled.
  EXPECT_EQ(Ask({}, SYS_socket, {(1ULL << 32) | AF_VSOCK}), kUnknown);
}

}  // namespace
}  // namespace ocid
