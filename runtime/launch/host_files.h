// Paths and files of the host, for the launcher's half of a launch. Only for code of this folder.
//
// Raw system calls, no allocation: 0 or -errno. Thread-safe; blocks as the files do.
#ifndef OCID_RUNTIME_LAUNCH_HOST_FILES_H_
#define OCID_RUNTIME_LAUNCH_HOST_FILES_H_

#include <sys/types.h>

#include <cstddef>

namespace ocid {

// A number in decimal.
class Decimal {
 public:
  explicit Decimal(unsigned number);
  const char* text() const { return begin_; }
  size_t size() const { return static_cast<size_t>(digits_ + sizeof(digits_) - 1 - begin_); }

 private:
  char digits_[16];
  char* begin_;
};

// "/proc/" + pid + "/" + name.
class ProcPath {
 public:
  ProcPath(pid_t pid, const char* name);
  const char* text() const { return text_; }

 private:
  char text_[64];
};

// Opens a file that exists and writes all of it with one write(2), as files of the kernel want it.
long WriteFile(const char* path, const char* text, size_t size);
long WriteFileAt(int directory, const char* name, const char* text, size_t size);

}  // namespace ocid

#endif  // OCID_RUNTIME_LAUNCH_HOST_FILES_H_
