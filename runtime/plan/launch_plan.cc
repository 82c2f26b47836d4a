#include "runtime/plan/launch_plan.h"

#include <cstring>
#include <utility>

namespace ocid {

absl::StatusOr<LaunchPlan> LaunchPlan::Parse(std::string_view bytes,
                                             std::vector<std::string> warnings) {
  LaunchPlan plan;
  plan.words_.resize((bytes.size() + sizeof(uint64_t) - 1) / sizeof(uint64_t));
  plan.size_ = bytes.size();
  if (!bytes.empty()) std::memcpy(plan.words_.data(), bytes.data(), bytes.size());
  if (!PlanView::Open(plan.words_.data(), plan.size_, &plan.view_)) {
    return absl::DataLossError("launch plan: the bytes are no plan of this version");
  }
  plan.warnings_ = std::move(warnings);
  return plan;
}

}  // namespace ocid
