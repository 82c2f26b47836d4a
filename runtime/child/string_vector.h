// argv and envp from the lists of a plan, in memory straight from the kernel.
#ifndef OCID_RUNTIME_CHILD_STRING_VECTOR_H_
#define OCID_RUNTIME_CHILD_STRING_VECTOR_H_

#include <cstdint>

#include "runtime/plan/plan_format.h"

namespace ocid {

// Null-terminated arrays of pointers into the plan. Never freed: an execve(2) or an exit follows.
struct StringVectors {
  char** first = nullptr;
  char** second = nullptr;
};

// The counts are trusted no further than the bytes of the lists reach. `extra`, if any, goes after
// the second list and must live as long. 0, or -errno.
long MakeStringVectors(const PlanView& plan, PlanRef first, uint64_t first_count, PlanRef second,
                       uint64_t second_count, char* extra, StringVectors* out);

}  // namespace ocid

#endif  // OCID_RUNTIME_CHILD_STRING_VECTOR_H_
