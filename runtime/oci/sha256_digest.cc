// Sha256Digest of json_text.h. In a file of its own, so that a program that makes no digests need not
// load libcrypto.
#include <openssl/evp.h>

#include <array>

#include "runtime/oci/json_text.h"

namespace ocid {

std::string Sha256Digest(std::string_view bytes) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash;
  unsigned int size = 0;
  // The algorithm is fetched once: looking it up takes longer than hashing an ordinary spec.
  static const EVP_MD* const kSha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  EVP_Digest(bytes.data(), bytes.size(), hash.data(), &size, kSha256, nullptr);
  std::string digest = "sha256:";
  for (unsigned int i = 0; i < size; ++i) {
    digest.push_back(kHex[hash[i] >> 4]);
    digest.push_back(kHex[hash[i] & 15]);
  }
  return digest;
}

}  // namespace ocid
