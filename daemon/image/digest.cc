#include "daemon/image/digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include "daemon/image/image_errors.h"

namespace ocid {
namespace {

std::string Hex(const unsigned char* bytes, size_t size) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * size);
  for (size_t i = 0; i < size; ++i) {
    hex.push_back(kDigits[bytes[i] >> 4]);
    hex.push_back(kDigits[bytes[i] & 15]);
  }
  return hex;
}

}  // namespace

struct DigestHasher::State {
  explicit State(Digest::Algorithm a) : algorithm(a), context(EVP_MD_CTX_new()) {}
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  const Digest::Algorithm algorithm;
  EVP_MD_CTX* const context;
};

DigestHasher::DigestHasher(Digest::Algorithm algorithm)
    : state_(std::make_unique<State>(algorithm)) {
  const EVP_MD* kind = algorithm == Digest::Algorithm::kSha256 ? EVP_sha256() : EVP_sha512();
  // Fails only when memory does, like everything else here.
  if (EVP_DigestInit_ex(state_->context, kind, nullptr) != 1) throw std::bad_alloc();
}

DigestHasher::DigestHasher(DigestHasher&&) noexcept = default;
DigestHasher& DigestHasher::operator=(DigestHasher&&) noexcept = default;
DigestHasher::~DigestHasher() = default;

void DigestHasher::Update(std::string_view bytes) {
  EVP_DigestUpdate(state_->context, bytes.data(), bytes.size());
}

Digest DigestHasher::Finish() && {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes;
  unsigned int size = 0;
  EVP_DigestFinal_ex(state_->context, bytes.data(), &size);
  return Digest(state_->algorithm, Hex(bytes.data(), size));
}

absl::StatusOr<Digest> Digest::Parse(std::string_view text) {
  const auto fail = [&] {
    return ImageInvalid("digest \"" + std::string(text.substr(0, 160)) +
                        "\" is neither sha256:<64 hex digits> nor sha512:<128 hex digits>");
  };
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return fail();
  const std::string_view name = text.substr(0, colon);
  const std::string_view hex = text.substr(colon + 1);
  if (name != "sha256" && name != "sha512") return fail();
  const Algorithm algorithm = name == "sha256" ? Algorithm::kSha256 : Algorithm::kSha512;
  if (hex.size() != (algorithm == Algorithm::kSha256 ? 64U : 128U)) return fail();
  const bool lower_hex = std::all_of(hex.begin(), hex.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
  if (!lower_hex) return fail();
  return Digest(algorithm, std::string(hex));
}

Digest Digest::Sha256Of(std::string_view bytes) {
  DigestHasher hasher;
  hasher.Update(bytes);
  return std::move(hasher).Finish();
}

}  // namespace ocid
