// UniqueFd owns one file descriptor; BorrowedFd names one that somebody else owns.
//
// Thread-compatible. No other code of this project calls close(2).
#ifndef OCID_RUNTIME_BASE_UNIQUE_FD_H_
#define OCID_RUNTIME_BASE_UNIQUE_FD_H_

#include <unistd.h>

#include <utility>

namespace ocid {

// A descriptor that is lent for the duration of a call. Negative: none.
class BorrowedFd {
 public:
  constexpr BorrowedFd() = default;
  explicit constexpr BorrowedFd(int fd) : fd_(fd) {}

  constexpr int get() const { return fd_; }
  constexpr bool valid() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

class UniqueFd {
 public:
  constexpr UniqueFd() = default;
  explicit constexpr UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  operator BorrowedFd() const { return BorrowedFd(fd_); }  // NOLINT(google-explicit-constructor): lending is the point

  // Gives the descriptor up without closing it.
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }

  // Closes what is owned and takes `fd`. close(2)'s result is of no use here: Linux frees the
  // descriptor whatever it returns, and what must be durable was synced before.
  void reset(int fd = -1) {
    const int old = std::exchange(fd_, fd);
    if (old >= 0) ::close(old);
  }

 private:
  int fd_ = -1;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_BASE_UNIQUE_FD_H_
