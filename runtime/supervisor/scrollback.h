// Scrollback: the last 256 KiB of a stream, addressed by the offset of each byte in the stream.
//
// Memory is mapped when the first byte is kept and belongs to this object alone, so that a finished
// exec gives all of it back. Where none is to be had, bytes are counted and skipped.
// Thread-hostile; nothing blocks.
#ifndef OCID_RUNTIME_SUPERVISOR_SCROLLBACK_H_
#define OCID_RUNTIME_SUPERVISOR_SCROLLBACK_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

namespace ocid {

class Scrollback {
 public:
  static constexpr size_t kCapacity = 262144;

  Scrollback() = default;
  Scrollback(const Scrollback&) = delete;
  Scrollback& operator=(const Scrollback&) = delete;
  ~Scrollback() {
    if (bytes_ != nullptr) munmap(bytes_, kCapacity);
  }

  // From now on bytes are kept; before, they are only counted.
  void Keep() { keep_ = true; }

  // Offset of the next byte to come.
  uint64_t end() const { return end_; }
  // Offset of the oldest byte that is still here; end() if there is none.
  uint64_t begin() const { return begin_; }

  void Append(const char* bytes, size_t size) {
    if (keep_ && bytes_ == nullptr) Map();
    if (bytes_ == nullptr) {
      end_ += size;
      begin_ = end_;
      return;
    }
    if (size > kCapacity) {
      end_ += size - kCapacity;
      bytes += size - kCapacity;
      size = kCapacity;
    }
    const size_t at = end_ % kCapacity;
    const size_t first = size < kCapacity - at ? size : kCapacity - at;
    memcpy(bytes_ + at, bytes, first);
    memcpy(bytes_, bytes + first, size - first);
    end_ += size;
    if (end_ - begin_ > kCapacity) begin_ = end_ - kCapacity;
  }

  // The bytes from `offset` on that lie in one piece; *size is 0 at the end. `offset` must be in
  // begin()..end().
  const char* Piece(uint64_t offset, size_t* size) const {
    const size_t at = offset % kCapacity;
    const uint64_t left = end_ - offset;
    *size = left < kCapacity - at ? static_cast<size_t>(left) : kCapacity - at;
    return bytes_ + at;
  }

 private:
  void Map() {
    void* mapped =
        mmap(nullptr, kCapacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped != MAP_FAILED) bytes_ = static_cast<char*>(mapped);
  }

  char* bytes_ = nullptr;
  bool keep_ = false;
  uint64_t begin_ = 0;
  uint64_t end_ = 0;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_SUPERVISOR_SCROLLBACK_H_
