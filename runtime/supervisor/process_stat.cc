#include "runtime/supervisor/process_stat.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/unique_fd.h"
#include "runtime/supervisor/fixed_text.h"

namespace ocid {

uint64_t ParseStartTime(const char* stat, size_t size) {
  // The command in field 2 may hold anything, parentheses and spaces too; the last ')' ends it.
  const char* at = static_cast<const char*>(memrchr(stat, ')', size));
  if (at == nullptr) return 0;
  const char* const end = stat + size;
  for (int field = 2; field < 22; ++field) {
    at = static_cast<const char*>(memchr(at, ' ', static_cast<size_t>(end - at)));
    if (at == nullptr) return 0;
    ++at;
  }
  uint64_t value = 0;
  for (; at < end && *at >= '0' && *at <= '9'; ++at) {
    value = value * 10 + static_cast<uint64_t>(*at - '0');
  }
  return value;
}

uint64_t ReadStartTime(pid_t pid) {
  char path[32];
  FixedText text(path, sizeof(path));
  text.Text("/proc/").Unsigned(static_cast<uint64_t>(pid)).Text("/stat").Bytes("", 1);
  const UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return 0;
  char stat[1024];
  const ssize_t size = read(fd.get(), stat, sizeof(stat));
  return size > 0 ? ParseStartTime(stat, static_cast<size_t>(size)) : 0;
}

}  // namespace ocid
