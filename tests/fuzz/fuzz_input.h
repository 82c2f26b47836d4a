// What the fuzz targets share: taking values out of the fuzzer's bytes, and failing loudly.
//
// A target is the function LLVMFuzzerTestOneInput in NAME_fuzz.cc. It returns 0 for whatever bytes
// it gets; what must hold and does not is FUZZ_CHECK's to report.
//
// Plain values, thread-hostile. Source: https://llvm.org/docs/LibFuzzer.html
#ifndef OCID_TESTS_FUZZ_FUZZ_INPUT_H_
#define OCID_TESTS_FUZZ_FUZZ_INPUT_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

// Ends the program if `condition` is false; `explanation` is any expression that gives a string.
#define FUZZ_CHECK(condition, explanation)                                              \
  do {                                                                                  \
    if (!(condition)) ::ocid::FuzzFailure(__FILE__, __LINE__, #condition, explanation); \
  } while (false)

namespace ocid {

[[noreturn]] inline void FuzzFailure(const char* file, int line, const char* condition,
                                     const std::string& explanation) {
  std::fprintf(stderr, "%s:%d: does not hold: %s\n%s\n", file, line, condition,
               explanation.c_str());
  std::abort();
}

// Reads values from the front of the input; zeros when it is used up, so that every input means
// something.
class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  bool empty() const { return rest_.empty(); }

  template <typename Integer>
  Integer Take() {
    Integer value = 0;
    for (size_t i = 0; i < sizeof(Integer); ++i) {
      value = static_cast<Integer>(value |
                                   static_cast<Integer>(static_cast<Integer>(Byte()) << (8 * i)));
    }
    return value;
  }

  // 0 to n - 1.
  uint32_t Below(uint32_t n) { return n <= 256 ? Byte() % n : Take<uint32_t>() % n; }

  std::string_view Bytes(size_t n) {
    const std::string_view bytes = rest_.substr(0, n);
    rest_.remove_prefix(bytes.size());
    return bytes;
  }

  std::string_view Rest() { return Bytes(rest_.size()); }

 private:
  uint8_t Byte() {
    if (rest_.empty()) return 0;
    const auto byte = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return byte;
  }

  std::string_view rest_;
};

}  // namespace ocid

#endif  // OCID_TESTS_FUZZ_FUZZ_INPUT_H_
