// LaunchPlan owns the bytes of a plan (plan_format.h) on the side that compiles it.
//
// Immutable and thread-safe after construction; nothing blocks. The child never sees this type: it
// gets the bytes.
#ifndef OCID_RUNTIME_PLAN_LAUNCH_PLAN_H_
#define OCID_RUNTIME_PLAN_LAUNCH_PLAN_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/plan/plan_format.h"

namespace ocid {

class LaunchPlan {
 public:
  // Takes a copy of `bytes`. DATA_LOSS if they are no plan of this version.
  static absl::StatusOr<LaunchPlan> Parse(std::string_view bytes,
                                          std::vector<std::string> warnings = {});

  std::string_view bytes() const { return {reinterpret_cast<const char*>(words_.data()), size_}; }
  const PlanView& view() const { return view_; }

  // What the plan does in place of exactly what the spec asks, for people: capabilities that this
  // host cannot grant, system calls that libseccomp does not know. Not part of the bytes.
  const std::vector<std::string>& warnings() const { return warnings_; }

  // One line a step, for people and golden tests.
  std::string Text() const;

 private:
  LaunchPlan() = default;

  std::vector<uint64_t> words_;  // aligned for PlanHeader
  size_t size_ = 0;
  PlanView view_;
  std::vector<std::string> warnings_;
};

// "step 14: mount proc on /proc: EPERM (Operation not permitted)". For `kExecute`:
// "exec /bin/nosuch: ENOENT (...)". Empty if the record is ok.
std::string DescribeFailure(const PlanView& plan, const FailureRecord& failure);

// The JSON pointer of the spec that asked for the step that failed; empty where there is none.
std::string FailureSource(const PlanView& plan, const FailureRecord& failure);

// Whether the program was not found. Its interpreter may be what is missing: the text of the failure
// says so.
bool IsMissingExecutable(const PlanView& plan, const FailureRecord& failure);

}  // namespace ocid

#endif  // OCID_RUNTIME_PLAN_LAUNCH_PLAN_H_
