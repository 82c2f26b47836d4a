// Plans and failures in words.
//
// Pure, thread-safe. The words are for people and golden tests; nothing parses them.
#ifndef OCID_RUNTIME_PLAN_PLAN_TEXT_H_
#define OCID_RUNTIME_PLAN_PLAN_TEXT_H_

#include <string>

#include "runtime/plan/plan_format.h"

namespace ocid {

std::string PlanText(const PlanView& plan);

// "mount proc on /proc": also the subject of an error.
std::string DescribeStep(const PlanView& plan, const PlanStep& step);

}  // namespace ocid

#endif  // OCID_RUNTIME_PLAN_PLAN_TEXT_H_
