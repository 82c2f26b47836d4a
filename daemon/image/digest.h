// Digest: the name of content, as in "sha256:<hex>"; DigestHasher computes one from a stream.
//
// Only sha256 and sha512 exist here, the two that image-spec registers; both in lower-case hex of
// exactly their length, so that a digest is safe as a file name and equal digests are equal text.
// Values: thread-compatible; nothing blocks.
//
// Source: image-spec descriptor.md, "Digests".
#ifndef OCID_DAEMON_IMAGE_DIGEST_H_
#define OCID_DAEMON_IMAGE_DIGEST_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace ocid {

class Digest {
 public:
  enum class Algorithm { kSha256, kSha512 };

  // INVALID_ARGUMENT, IMAGE_INVALID for anything that is not a whole, registered digest.
  static absl::StatusOr<Digest> Parse(std::string_view text);
  // Of bytes in memory.
  static Digest Sha256Of(std::string_view bytes);

  Algorithm algorithm() const { return algorithm_; }
  std::string_view algorithm_name() const {
    return algorithm_ == Algorithm::kSha256 ? "sha256" : "sha512";
  }
  const std::string& hex() const { return hex_; }
  std::string ToString() const { return std::string(algorithm_name()) + ":" + hex_; }

  friend bool operator==(const Digest&, const Digest&) = default;
  friend auto operator<=>(const Digest&, const Digest&) = default;

 private:
  friend class DigestHasher;
  Digest(Algorithm algorithm, std::string hex) : algorithm_(algorithm), hex_(std::move(hex)) {}

  Algorithm algorithm_;
  std::string hex_;
};

class DigestHasher {
 public:
  explicit DigestHasher(Digest::Algorithm algorithm = Digest::Algorithm::kSha256);
  DigestHasher(DigestHasher&&) noexcept;
  DigestHasher& operator=(DigestHasher&&) noexcept;
  ~DigestHasher();

  void Update(std::string_view bytes);
  Digest Finish() &&;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_DIGEST_H_
