#include "runtime/launch/host_files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "runtime/base/raw_syscall.h"

namespace ocid {

Decimal::Decimal(unsigned number) : begin_(digits_ + sizeof(digits_) - 1) {
  *begin_ = '\0';
  do {
    *--begin_ = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
}

ProcPath::ProcPath(pid_t pid, const char* name) {
  char* out = text_;
  const auto append = [&](const char* part) {
    const size_t size = strnlen(part, static_cast<size_t>(text_ + sizeof(text_) - 1 - out));
    memcpy(out, part, size);
    out += size;
  };
  append("/proc/");
  append(Decimal(static_cast<unsigned>(pid)).text());
  append("/");
  append(name);
  *out = '\0';
}

long WriteFileAt(int directory, const char* name, const char* text, size_t size) {
  const raw::Fd file(raw::Call(SYS_openat, directory, name, O_WRONLY | O_CLOEXEC));
  if (!file.ok()) return -file.error();
  const long written = raw::Retry(SYS_write, file.get(), text, size);
  if (written < 0) return written;
  return static_cast<size_t>(written) == size ? 0 : -EIO;
}

long WriteFile(const char* path, const char* text, size_t size) {
  return WriteFileAt(AT_FDCWD, path, text, size);
}

}  // namespace ocid
