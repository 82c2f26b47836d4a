#include "runtime/child/string_vector.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "runtime/base/raw_syscall.h"

namespace ocid {
namespace {

// Fills `items` and returns the place after its terminating null pointer.
char** Fill(const PlanView& plan, PlanRef list, uint64_t count, char** items) {
  const char* text = plan.data(list);
  const char* const end = text + list.size;
  for (uint64_t i = 0; i < count && list.offset != 0 && text < end; ++i) {
    // execve(2) takes char* const[] and does not write; the plan may be read-only memory.
    *items++ = const_cast<char*>(text);
    text += strlen(text) + 1;
  }
  *items = nullptr;
  return items + 1;
}

}  // namespace

long MakeStringVectors(const PlanView& plan, PlanRef first, uint64_t first_count, PlanRef second,
                       uint64_t second_count, char* extra, StringVectors* out) {
  if (first_count > kMaxPlanBytes || second_count > kMaxPlanBytes) return -E2BIG;
  const uint64_t size = (first_count + second_count + 3) * sizeof(char*);
  const long memory = raw::Call(SYS_mmap, nullptr, size, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory < 0 && memory > -4096) return memory;
  out->first = reinterpret_cast<char**>(memory);
  out->second = Fill(plan, first, first_count, out->first);
  char** const end = Fill(plan, second, second_count, out->second);
  if (extra != nullptr) {
    end[-1] = extra;
    end[0] = nullptr;
  }
  return 0;
}

}  // namespace ocid
