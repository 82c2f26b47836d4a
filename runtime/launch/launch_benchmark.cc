// How long a launch takes: /bin/true with the default spec, from Launch to its end, beside the same
// without compiling and waiting. Needs root.
//
//   launch_benchmark [ROUNDS]
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "runtime/launch/container_fixture.h"

namespace ocid {
namespace {

using Clock = std::chrono::steady_clock;

double Milliseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

void Print(const char* what, std::vector<double>& times) {
  std::sort(times.begin(), times.end());
  const auto at = [&times](double part) {
    return times[static_cast<size_t>(part * static_cast<double>(times.size() - 1))];
  };
  std::printf("%-28s p50 %7.3f ms  p90 %7.3f ms  p99 %7.3f ms\n", what, at(0.5), at(0.9), at(0.99));
}

bool RunOnce(const LaunchPlan& plan, const LaunchFds& fds, double* to_gate, double* to_end) {
  const Clock::time_point begin = Clock::now();
  Launched launched;
  FailureRecord failure = Launch(plan.view(), fds, {}, &launched);
  *to_gate = Milliseconds(Clock::now() - begin);
  if (failure.ok() && plan.view().has(kPlanHasGate)) failure = OpenGate(launched);
  if (failure.ok()) {
    pollfd item = {launched.status.get(), POLLIN, 0};
    poll(&item, 1, -1);
    if (ReadStatus(plan.view(), &launched, &failure) == LaunchStatus::kPending) return false;
  }
  if (!failure.ok()) {
    std::fprintf(stderr, "%s\n", DescribeFailure(plan.view(), failure).c_str());
    return false;
  }
  int status = 0;
  waitpid(launched.pid, &status, 0);
  *to_end = Milliseconds(Clock::now() - begin);
  return status == 0;
}

bool Measure(const char* what, const LaunchPlan& plan, const LaunchFds& fds, int rounds) {
  std::vector<double> to_gate;
  std::vector<double> to_end;
  for (int i = 0; i < rounds; ++i) {
    double gate = 0;
    double end = 0;
    if (!RunOnce(plan, fds, &gate, &end)) return false;
    to_gate.push_back(gate);
    to_end.push_back(end);
  }
  std::printf("%s\n", what);
  Print("  until Launch returns", to_gate);
  Print("  until the program ended", to_end);
  return true;
}

int Main(int rounds) {
  const std::string reason = UnavailableBecause();
  if (!reason.empty()) {
    std::fprintf(stderr, "launch_benchmark: %s\n", reason.c_str());
    return 1;
  }
  const TestBundle bundle;
  const nlohmann::json spec = DefaultSpec({"/bin/true"});
  std::vector<double> compile;
  for (int i = 0; i < rounds; ++i) {
    const Clock::time_point begin = Clock::now();
    const auto plan = CompileCreate({.spec = spec, .id = "b", .bundle = bundle.path()});
    compile.push_back(Milliseconds(Clock::now() - begin));
    if (!plan.ok()) return 1;
  }
  Print("compile", compile);
  const auto plan = CompileCreate({.spec = spec, .id = "b", .bundle = bundle.path()});
  if (!Measure("create, start, wait", *plan, {}, rounds)) return 1;

  const nlohmann::json sleeper = DefaultSpec({"/bin/sleep", "1000"});
  const auto container =
      TestContainer::Create({.spec = sleeper, .id = "b", .bundle = bundle.path()});
  if (!container.ok()) return 1;
  (*container)->Start();
  const auto exec =
      CompileExec({.spec = spec, .process = spec["process"], .id = "b", .bundle = bundle.path()});
  LaunchFds fds;
  fds.join = (*container)->launched().pidfd;
  return Measure("exec, wait", *exec, fds, rounds) ? 0 : 1;
}

}  // namespace
}  // namespace ocid

int main(int argc, char** argv) { return ocid::Main(argc > 1 ? std::atoi(argv[1]) : 500); }
