// Rules about the arguments of a system call, as a program of our own.
//
// libseccomp is right about one such rule for a system call. Of several it makes one tree, and
// release 2.5.4 compares the wrong half of an argument in it, drops rules, or never ends: four
// ordinary rules are enough (seccomp_test.cc). Here they are tried one after the other;
// the first whose conditions all hold decides.
//
// Pure, thread-safe. Source: seccomp(2); Documentation/userspace-api/seccomp_filter.rst.
#ifndef OCID_RUNTIME_SECCOMP_ARGUMENT_RULES_H_
#define OCID_RUNTIME_SECCOMP_ARGUMENT_RULES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/seccomp/seccomp_profile.h"

namespace ocid {

struct ArgumentRule {
  SeccompAction action = 0;
  std::vector<SeccompCondition> conditions;  // all must hold

  friend bool operator==(const ArgumentRule&, const ArgumentRule&) = default;
};

// One system call and the rules about it.
struct ArgumentRules {
  std::string name;
  std::vector<ArgumentRule> rules;
};

// struct sock_filter[] to stand before another program: it answers these system calls, with
// `otherwise` where no rule matches, and goes on behind its end for all others. A 32-bit
// architecture has 32-bit arguments. Where an architecture has no number for a name (i386 has some
// calls within socketcall(2) and ipc(2) only, whose arguments a filter cannot see), the name is
// left to what follows.
std::string CompileArgumentRules(const std::vector<ArgumentRules>& calls,
                                 const std::vector<uint32_t>& architectures,  // SCMP_ARCH_*
                                 SeccompAction otherwise);

}  // namespace ocid

#endif  // OCID_RUNTIME_SECCOMP_ARGUMENT_RULES_H_
