// PlanView and the text of plans: whatever bytes pass the check can be read in full. Half of the
// inputs are changes to a real plan, because random bytes hardly ever pass.
#include <cstring>
#include <nlohmann/json.hpp>
#include <vector>

#include "runtime/plan/launch_plan.h"
#include "runtime/plan/plan_compile.h"
#include "runtime/plan/plan_text.h"
#include "tests/fuzz/fuzz_input.h"

namespace ocid {
namespace {

const std::string& RealPlan() {
  static const std::string* const bytes = [] {
    const nlohmann::json spec = nlohmann::json::parse(R"({
      "ociVersion": "1.2.0", "hostname": "fuzz", "root": {"path": "/rootfs", "readonly": true},
      "process": {"args": ["/bin/sh", "-c", "true"], "env": ["PATH=/bin"], "cwd": "/",
                  "terminal": true, "user": {"uid": 1, "gid": 2, "additionalGids": [3]},
                  "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20}],
                  "capabilities": {"bounding": ["CAP_KILL"]}, "noNewPrivileges": true},
      "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                 {"destination": "/data", "type": "bind", "source": "/data", "options": ["rbind", "ro"]}],
      "hooks": {"createRuntime": [{"path": "/hook", "args": ["hook"], "env": ["A=b"], "timeout": 3}]},
      "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "uts"},
                               {"type": "network", "path": "/proc/1/ns/net"}],
                "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}],
                "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"],
                "sysctl": {"kernel.domainname": "x"},
                "seccomp": {"defaultAction": "SCMP_ACT_ALLOW",
                            "syscalls": [{"names": ["reboot"], "action": "SCMP_ACT_ERRNO"}]}}})");
    const absl::StatusOr<LaunchPlan> plan =
        CompileCreate({.spec = spec, .id = "fuzz", .bundle = "/bundle"});
    FUZZ_CHECK(plan.ok(), plan.status().ToString());
    return new std::string(plan->bytes());
  }();
  return *bytes;
}

std::string PlanBytes(FuzzInput input) {
  const bool raw = input.Below(2) == 0;
  if (raw) return std::string(input.Rest());
  std::string bytes = RealPlan();
  while (!input.empty()) {
    const size_t at = input.Take<uint16_t>() % bytes.size();
    bytes[at] = input.Take<char>();
  }
  return bytes;
}

// Touches every byte that the executor would.
size_t ReadAll(const PlanView& view) {
  size_t sum = 0;
  for (uint32_t i = 0; i < view.step_count(); ++i) {
    const PlanStep& step = view.step(i);
    sum += std::strlen(view.text_at(step.source));
    for (const PlanRef& ref : step.ref) {
      const char* bytes = view.text(ref);
      FUZZ_CHECK(bytes[ref.size] == '\0', "an unterminated reference");
      sum += std::strlen(bytes) + DescribeStep(view, step).size();
    }
  }
  for (const PlanRef& ref : {view.header().state_prefix, view.header().state_middle,
                             view.header().state_suffix, view.header().bundle}) {
    sum += std::strlen(view.text(ref));
  }
  return sum + PlanText(view).size();
}

}  // namespace
}  // namespace ocid

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes = ocid::PlanBytes(ocid::FuzzInput(data, size));
  // A copy of exactly that size, aligned: reading past the end is reading past an allocation.
  char* const copy = static_cast<char*>(std::malloc(bytes.size() + 1));
  std::memcpy(copy, bytes.data(), bytes.size());
  ocid::PlanView view;
  if (ocid::PlanView::Open(copy, bytes.size(), &view)) {
    ocid::ReadAll(view);
    const absl::StatusOr<ocid::LaunchPlan> plan = ocid::LaunchPlan::Parse(bytes);
    FUZZ_CHECK(plan.ok(), "PlanView takes what LaunchPlan refuses");
    for (uint32_t step = 0; step <= view.step_count(); ++step) {
      const ocid::FailureRecord failure =
          ocid::MakeFailure(step, 1, static_cast<ocid::FailureDetail>(step % 32), 1);
      ocid::DescribeFailure(plan->view(), failure);
      ocid::FailureSource(plan->view(), failure);
    }
  }
  std::free(copy);
  return 0;
}
