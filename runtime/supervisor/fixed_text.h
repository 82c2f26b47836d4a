// FixedText: text put together in a buffer of the caller's, without allocation and without stdio,
// which would cost the supervisor more memory than all of its own code.
//
// Too long a text is cut and remembered: check ok() once at the end. Thread-compatible.
#ifndef OCID_RUNTIME_SUPERVISOR_FIXED_TEXT_H_
#define OCID_RUNTIME_SUPERVISOR_FIXED_TEXT_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace ocid {

class FixedText {
 public:
  FixedText(char* out, size_t size) : out_(out), size_(size) {}

  FixedText& Bytes(const char* data, size_t length) {
    if (length > size_ - length_) {
      ok_ = false;
      length = size_ - length_;
    }
    if (length != 0) memcpy(out_ + length_, data, length);
    length_ += length;
    return *this;
  }

  FixedText& Text(const char* text) { return Bytes(text, strlen(text)); }

  // At least `width` digits, with leading zeros.
  FixedText& Unsigned(uint64_t value, int width = 1) { return Number(value, 10, width); }
  FixedText& Hex(uint64_t value, int width = 1) { return Number(value, 16, width); }

  FixedText& Signed(int64_t value) {
    if (value >= 0) return Unsigned(static_cast<uint64_t>(value));
    return Bytes("-", 1).Unsigned(0 - static_cast<uint64_t>(value));
  }

  const char* data() const { return out_; }
  size_t length() const { return length_; }
  bool ok() const { return ok_; }

 private:
  FixedText& Number(uint64_t value, unsigned base, int width) {
    char digits[24];
    size_t at = sizeof(digits);
    do {
      digits[--at] = "0123456789abcdef"[value % base];
      value /= base;
      --width;
    } while ((value != 0 || width > 0) && at > 0);
    return Bytes(digits + at, sizeof(digits) - at);
  }

  char* out_;
  size_t size_;
  size_t length_ = 0;
  bool ok_ = true;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_SUPERVISOR_FIXED_TEXT_H_
