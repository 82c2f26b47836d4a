// The smallest plans that run a program: for tests that need processes but no containers.
#ifndef OCID_RUNTIME_HOST_TEST_PLAN_H_
#define OCID_RUNTIME_HOST_TEST_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

namespace ocid {

struct TestPlan {
  std::vector<std::string> arguments;
  uint64_t clone_flags = 0;  // CLONE_NEW*
  // Joins the init in no namespace, as an exec; otherwise it stops at a gate, as an init.
  bool join = false;
  std::string poststart_hook = {};  // path of a program
};

std::string MakeTestPlan(const TestPlan& plan);

}  // namespace ocid

#endif  // OCID_RUNTIME_HOST_TEST_PLAN_H_
