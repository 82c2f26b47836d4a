// Device policy: which device nodes a container may create, read and write.
//
// A policy is a list of rules in the order of linux.resources.devices. For each kind of access on
// its own, the last rule that matches the device and has that kind decides; what no rule decides is
// denied, as with runc and crun; a request is granted when every kind it asks for is. No list at
// all means no restriction.
//
// Enforced by the devices controller of cgroup v1, by DeviceAllow of a systemd unit where the
// policy is a plain list of what is allowed, or by a BPF program on the cgroup2 directory.
// Everything but AttachDeviceProgram and DescribeDevicePrograms is pure. Thread-compatible.
// Sources: cgroup-v1/devices.rst; linux/bpf.h BPF_PROG_TYPE_CGROUP_DEVICE;
// systemd.resource-control(5).
#ifndef OCID_RUNTIME_CGROUP_DEVICE_POLICY_H_
#define OCID_RUNTIME_CGROUP_DEVICE_POLICY_H_

#include <linux/bpf.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

// As BPF_DEVCG_ACC_*.
inline constexpr uint32_t kDeviceMknod = 1;
inline constexpr uint32_t kDeviceRead = 2;
inline constexpr uint32_t kDeviceWrite = 4;
inline constexpr uint32_t kDeviceAll = kDeviceMknod | kDeviceRead | kDeviceWrite;

struct DeviceRule {
  bool allow = false;
  char type = 'a';  // 'c', 'b', or 'a': every device, whatever its numbers
  std::optional<uint32_t> major = std::nullopt;  // absent: all
  std::optional<uint32_t> minor = std::nullopt;
  uint32_t access = kDeviceAll;

  friend bool operator==(const DeviceRule&, const DeviceRule&) = default;
};

using DevicePolicy = std::vector<DeviceRule>;

// As devices.allow takes it: "c 136:* rwm".
std::string DescribeDeviceRule(const DeviceRule& rule);

// What the policy says; the reference that the forms below are tested against. `type` is 'c' or
// 'b'.
bool DecideDeviceAccess(const DevicePolicy& policy, char type, uint32_t major, uint32_t minor,
                        uint32_t access);

// The policy as a list of what is allowed, all else denied; absent where it has none (a hole in a
// wildcard, or a minor for every major).
std::optional<std::vector<DeviceRule>> ReduceToAllowList(const DevicePolicy& policy);

// The kernel's verifier follows a program for a million steps: 4096 rules are too many for it.
inline constexpr size_t kMaxDeviceRules = 1024;
std::vector<bpf_insn> CompileDeviceProgram(const DevicePolicy& policy);

// Runs the few instructions that CompileDeviceProgram uses. INTERNAL on any other, or when the
// program does not end: for tests.
absl::StatusOr<bool> EvaluateDeviceProgram(const std::vector<bpf_insn>& program, char type,
                                           uint32_t major, uint32_t minor, uint32_t access);

// Loads the program and attaches it to the cgroup, then detaches those that an earlier call
// attached: at no moment is the cgroup without one. Programs of others stay, and each of them must
// agree. Needs CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN.
absl::Status AttachDeviceProgram(BorrowedFd cgroup, const std::vector<bpf_insn>& program);

// What is attached to a cgroup itself, beside what may be to its parents.
struct AttachedDevicePrograms {
  bool ours = false;                // one with the instructions of `program`
  std::vector<std::string> others;  // names of all others
};
// Changes nothing. Needs what AttachDeviceProgram needs.
absl::StatusOr<AttachedDevicePrograms> DescribeDevicePrograms(BorrowedFd cgroup,
                                                              const std::vector<bpf_insn>& program);

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_DEVICE_POLICY_H_
