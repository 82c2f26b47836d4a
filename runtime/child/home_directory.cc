#include "runtime/child/home_directory.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/raw_syscall.h"
#include "runtime/child/path_walk.h"

namespace ocid {
namespace {

constexpr size_t kMaxPasswdBytes = 1u << 20;
constexpr int kUidField = 2;
constexpr int kHomeField = 5;

// Takes a passwd(5) file byte by byte and stops at the first line of the user.
class PasswdReader {
 public:
  PasswdReader(uint64_t uid, char* home, size_t capacity)
      : wanted_(uid), home_(home), capacity_(capacity) {}

  // True when the line was found; home_ is terminated then.
  bool Take(char c) {
    if (c == '\n') return EndLine();
    if (c == ':') {
      ++field_;
      return false;
    }
    if (field_ == kUidField) {
      is_number_ = is_number_ && c >= '0' && c <= '9' && uid_ <= UINT32_MAX;
      uid_ = uid_ * 10 + static_cast<uint64_t>(c - '0');
      has_digits_ = true;
    } else if (field_ == kHomeField) {
      if (size_ + 1 < capacity_) home_[size_] = c;
      ++size_;
    }
    return false;
  }

  bool EndLine() {
    const bool found = field_ > kHomeField - 1 && is_number_ && has_digits_ && uid_ == wanted_ &&
                       size_ > 0 && size_ + 1 < capacity_ && home_[0] == '/';
    if (found) home_[size_] = '\0';
    field_ = 0;
    uid_ = 0;
    size_ = 0;
    is_number_ = true;
    has_digits_ = false;
    return found;
  }

 private:
  uint64_t wanted_;
  char* home_;
  size_t capacity_;
  int field_ = 0;
  uint64_t uid_ = 0;
  size_t size_ = 0;
  bool is_number_ = true;
  bool has_digits_ = false;
};

bool ReadHome(int file, PasswdReader& reader) {
  char buffer[4096];
  for (size_t total = 0; total < kMaxPasswdBytes;) {
    const long size = raw::Retry(SYS_read, file, buffer, sizeof(buffer));
    if (size <= 0) return reader.EndLine();  // the last line may lack its end
    for (long i = 0; i < size; ++i) {
      if (buffer[i] == '\0') return false;  // no text file
      if (reader.Take(buffer[i])) return true;
    }
    total += static_cast<size_t>(size);
  }
  return false;
}

}  // namespace

void FindHome(int root, uint64_t uid, char* text, size_t capacity) {
  constexpr size_t kPrefixSize = 5;
  memcpy(text, "HOME=", kPrefixSize);
  char* home = text + kPrefixSize;
  PasswdReader reader(uid, home, capacity - kPrefixSize);
  // O_NONBLOCK: a fifo in its place must not stop us.
  const raw::Fd file(OpenInRoot(root, "/etc/passwd", O_RDONLY | O_NONBLOCK | O_NOCTTY));
  struct stat info = {};
  const bool readable =
      file.ok() && raw::Call(SYS_fstat, file.get(), &info) >= 0 && S_ISREG(info.st_mode);
  if (readable && ReadHome(file.get(), reader)) return;
  memcpy(home, "/", 2);
}

}  // namespace ocid
