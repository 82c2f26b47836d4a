// The file below /proc/sys that a sysctl's name stands for.
//
// Pure, thread-safe. Source: sysctl(8), sysctl.d(5).
#ifndef OCID_RUNTIME_PLAN_SYSCTL_PATH_H_
#define OCID_RUNTIME_PLAN_SYSCTL_PATH_H_

#include <string>

namespace ocid {

// "net.ipv4.conf.eth0/100.x" and "net/ipv4/conf/eth0.100/x" name one file: the first separator
// decides which of the two characters separates, and the other stands for itself.
std::string SysctlPath(std::string name);

}  // namespace ocid

#endif  // OCID_RUNTIME_PLAN_SYSCTL_PATH_H_
