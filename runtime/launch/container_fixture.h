// A real container for tests: busybox in a temporary root, the default spec, the launcher.
//
// Needs root and /bin/busybox (busybox-static); UnavailableBecause says what is missing. Everything
// that it makes is gone when it goes.
#ifndef OCID_RUNTIME_LAUNCH_CONTAINER_FIXTURE_H_
#define OCID_RUNTIME_LAUNCH_CONTAINER_FIXTURE_H_

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/launch/launcher.h"
#include "runtime/plan/launch_plan.h"
#include "runtime/plan/plan_compile.h"

namespace ocid {

// Empty if containers can be launched here.
std::string UnavailableBecause();

// What `runc spec` writes, without a terminal, running `arguments`.
nlohmann::json DefaultSpec(const std::vector<std::string>& arguments);

// A bundle in a temporary directory whose rootfs holds busybox and its usual names.
class TestBundle {
 public:
  TestBundle();
  TestBundle(const TestBundle&) = delete;
  TestBundle& operator=(const TestBundle&) = delete;
  ~TestBundle();

  const std::string& path() const { return path_; }
  std::string rootfs() const { return path_ + "/rootfs"; }

 private:
  std::string path_;
};

struct RunResult {
  FailureRecord failure;
  std::string failure_text;
  int status = -1;  // as of waitpid(2)
  std::string output;

  bool Exited(int code) const { return failure.ok() && status == code << 8; }
};

// One launched container; kills and reaps it when it goes.
class TestContainer {
 public:
  // Compiles and launches up to the gate. What it writes is collected from a pipe.
  static absl::StatusOr<std::unique_ptr<TestContainer>> Create(const CreatePlanRequest& request,
                                                               LaunchFds fds = {});
  TestContainer(const TestContainer&) = delete;
  TestContainer& operator=(const TestContainer&) = delete;
  ~TestContainer();

  const FailureRecord& failure() const { return failure_; }
  Launched& launched() { return launched_; }
  const LaunchPlan& plan() const { return plan_; }

  void Start();
  // Opens the gate if that was not done, reads to the end, reaps.
  RunResult Finish();

 private:
  explicit TestContainer(LaunchPlan plan) : plan_(std::move(plan)) {}

  LaunchPlan plan_;
  Launched launched_;
  UniqueFd output_;
  FailureRecord failure_;
  bool started_ = false;
};

// To its end.
RunResult RunContainer(const CreatePlanRequest& request);

// Runs a process in a container that runs.
RunResult RunExec(TestContainer& container, const ExecPlanRequest& request);

}  // namespace ocid

#endif  // OCID_RUNTIME_LAUNCH_CONTAINER_FIXTURE_H_
