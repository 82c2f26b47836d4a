#include "runtime/supervisor/oom_kills.h"

#include <string.h>
#include <unistd.h>

namespace ocid {

uint32_t ParseOomKills(const char* text, size_t size) {
  constexpr char kKey[] = "oom_kill ";
  constexpr size_t kKeySize = sizeof(kKey) - 1;
  const char* const end = text + size;
  for (const char* line = text; line < end;) {
    const auto* const newline =
        static_cast<const char*>(memchr(line, '\n', static_cast<size_t>(end - line)));
    if (newline == nullptr) return 0;
    if (static_cast<size_t>(newline - line) > kKeySize && memcmp(line, kKey, kKeySize) == 0) {
      uint64_t value = 0;
      for (const char* at = line + kKeySize; at < newline && *at >= '0' && *at <= '9'; ++at) {
        value = value * 10 + static_cast<uint64_t>(*at - '0');
        if (value > UINT32_MAX) return UINT32_MAX;
      }
      return static_cast<uint32_t>(value);
    }
    line = newline + 1;
  }
  return 0;
}

uint32_t ReadOomKills(BorrowedFd file) {
  char text[1024];
  const ssize_t size = pread(file.get(), text, sizeof(text), 0);
  return size > 0 ? ParseOomKills(text, static_cast<size_t>(size)) : 0;
}

}  // namespace ocid
