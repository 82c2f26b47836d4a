#include <sys/utsname.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "daemon/api/system_service.h"
#include "daemon/base/version.h"
#include "google/protobuf/util/time_util.h"

namespace ocid {
namespace {

using ::google::protobuf::util::TimeUtil;

// Architectures by the names that OCI images use (runtime.GOARCH).
std::string OciArchitecture(const std::string& machine) {
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  return machine;
}

}  // namespace

SystemFacts ReadSystemFacts() {
  SystemFacts facts;
  v1::Info& info = facts.info;
  info.mutable_version()->set_version(std::string(kVersion));
  info.mutable_version()->set_api_version(std::string(kApiVersion));
  info.set_pid(getpid());
  *info.mutable_start_time() = TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(absl::Now()));
  utsname name = {};
  if (uname(&name) == 0) {
    info.set_kernel(name.release);
    info.set_hostname(name.nodename);
    info.set_architecture(OciArchitecture(name.machine));
  }
  info.set_cpus(static_cast<uint32_t>(sysconf(_SC_NPROCESSORS_ONLN)));
  info.set_memory_bytes(static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                        static_cast<uint64_t>(sysconf(_SC_PAGESIZE)));
  facts.capabilities.set_max_message_bytes(kMaxMessageBytes);
  return facts;
}

}  // namespace ocid
