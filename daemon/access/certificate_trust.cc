#include "daemon/access/certificate_trust.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>

#include <cstddef>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

constexpr int kMaxChain = 16;

template <auto free_function>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    free_function(object);
  }
};
using Bio = std::unique_ptr<BIO, Freer<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Freer<X509_free>>;
using RevocationList = std::unique_ptr<X509_CRL, Freer<X509_CRL_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using StoreContext = std::unique_ptr<X509_STORE_CTX, Freer<X509_STORE_CTX_free>>;

struct StackFreer {
  void operator()(STACK_OF(X509) * stack) const { sk_X509_pop_free(stack, X509_free); }
};

Bio ReadFrom(std::string_view text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// Nobody is asked for a passphrase: there is no terminal.
int NoPassphrase(char*, int, int, void*) { return -1; }

absl::Status Refused(std::string_view cause) {
  const absl::string_view words(cause.data(), cause.size());
  return MakeError(absl::StatusCode::kUnauthenticated, "UNAUTHENTICATED",
                   absl::StrCat("client certificate: ", words), {{"cause", std::string(cause)}});
}

std::string TextOf(const ASN1_STRING* value) {
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, value);
  if (size < 0) return "";
  std::string text(reinterpret_cast<const char*>(utf8), static_cast<size_t>(size));
  OPENSSL_free(utf8);
  // A NUL inside is an old way to be taken for somebody else.
  return text.find('\0') == std::string::npos ? text : "";
}

std::vector<std::string> SubjectValues(X509* certificate, int nid) {
  std::vector<std::string> values;
  X509_NAME* const subject = X509_get_subject_name(certificate);
  for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, nid, at)) >= 0;) {
    std::string text = TextOf(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (!text.empty()) values.push_back(std::move(text));
  }
  return values;
}

std::string AddressText(const ASN1_OCTET_STRING* value) {
  char text[INET6_ADDRSTRLEN];
  const int size = ASN1_STRING_length(value);
  const int family = size == 4 ? AF_INET : size == 16 ? AF_INET6 : AF_UNSPEC;
  if (family == AF_UNSPEC) return "";
  return inet_ntop(family, ASN1_STRING_get0_data(value), text, sizeof(text)) != nullptr ? text : "";
}

std::vector<std::string> AlternativeNames(X509* certificate) {
  std::vector<std::string> names;
  auto* const all = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(all); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(all, i);
    const char* kind = nullptr;
    std::string text;
    switch (name->type) {
      case GEN_DNS:
        kind = "dns:";
        text = TextOf(name->d.dNSName);
        break;
      case GEN_URI:
        kind = "uri:";
        text = TextOf(name->d.uniformResourceIdentifier);
        break;
      case GEN_EMAIL:
        kind = "email:";
        text = TextOf(name->d.rfc822Name);
        break;
      case GEN_IPADD:
        kind = "ip:";
        text = AddressText(name->d.iPAddress);
        break;
      default:
        break;
    }
    if (kind != nullptr && !text.empty()) names.push_back(kind + text);
  }
  GENERAL_NAMES_free(all);
  return names;
}

std::string SerialOf(X509* certificate) {
  BIGNUM* const number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr);
  if (number == nullptr) return "";
  char* const digits = BN_bn2hex(number);
  std::string text = digits == nullptr ? "" : digits;
  OPENSSL_free(digits);
  BN_free(number);
  return text;
}

absl::StatusOr<Identity> Describe(X509* certificate) {
  Identity identity;
  identity.source = Identity::Source::kCertificate;
  const std::vector<std::string> common_names = SubjectValues(certificate, NID_commonName);
  // More than one is not a name but a riddle.
  if (common_names.size() > 1) return Refused("has more than one common name");
  if (common_names.size() == 1) identity.common_name = common_names[0];
  identity.units = SubjectValues(certificate, NID_organizationalUnitName);
  identity.alternative_names = AlternativeNames(certificate);
  identity.serial = SerialOf(certificate);
  if (!identity.common_name.empty()) {
    identity.name = "cn:" + identity.common_name;
  } else if (!identity.alternative_names.empty()) {
    identity.name = "san:" + identity.alternative_names[0];
  } else {
    return Refused("names nobody: it has neither a common name nor an alternative name");
  }
  return identity;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const CertificateTrust>> CertificateTrust::Parse(
    std::string_view authorities, std::string_view revocations) {
  const std::shared_ptr<CertificateTrust> trust(new CertificateTrust(X509_STORE_new()));
  const Bio certificates = ReadFrom(authorities);
  int count = 0;
  while (const Certificate authority{
      PEM_read_bio_X509(certificates.get(), nullptr, NoPassphrase, nullptr)}) {
    X509_STORE_add_cert(trust->store_, authority.get());
    ++count;
  }
  ERR_clear_error();
  if (count == 0) return absl::InvalidArgumentError("holds no certificate in PEM");
  if (!revocations.empty()) {
    const Bio lists = ReadFrom(revocations);
    count = 0;
    while (const RevocationList list{
        PEM_read_bio_X509_CRL(lists.get(), nullptr, NoPassphrase, nullptr)}) {
      X509_STORE_add_crl(trust->store_, list.get());
      ++count;
    }
    ERR_clear_error();
    if (count == 0) return absl::InvalidArgumentError("holds no revocation list in PEM");
    X509_STORE_set_flags(trust->store_, X509_V_FLAG_CRL_CHECK);
  }
  return trust;
}

CertificateTrust::~CertificateTrust() { X509_STORE_free(store_); }

absl::StatusOr<Identity> CertificateTrust::Check(std::string_view chain, absl::Time now) const {
  const Bio text = ReadFrom(chain);
  const Certificate leaf(PEM_read_bio_X509(text.get(), nullptr, NoPassphrase, nullptr));
  const std::unique_ptr<STACK_OF(X509), StackFreer> others(sk_X509_new_null());
  while (leaf != nullptr && sk_X509_num(others.get()) < kMaxChain) {
    Certificate next(PEM_read_bio_X509(text.get(), nullptr, NoPassphrase, nullptr));
    if (next == nullptr) break;
    sk_X509_push(others.get(), next.release());
  }
  ERR_clear_error();
  if (leaf == nullptr) return Refused("there is none");
  const StoreContext context(X509_STORE_CTX_new());
  if (X509_STORE_CTX_init(context.get(), store_, leaf.get(), others.get()) != 1) {
    return absl::InternalError("X509_STORE_CTX_init failed");
  }
  X509_STORE_CTX_set_purpose(context.get(), X509_PURPOSE_SSL_CLIENT);
  X509_STORE_CTX_set_time(context.get(), 0, absl::ToTimeT(now));
  const int verified = X509_verify_cert(context.get());
  ERR_clear_error();
  if (verified != 1) {
    return Refused(X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get())));
  }
  return Describe(leaf.get());
}

absl::Status CheckKeyPair(std::string_view chain, std::string_view key) {
  const Bio chain_text = ReadFrom(chain);
  const Bio key_text = ReadFrom(key);
  const Certificate leaf(PEM_read_bio_X509(chain_text.get(), nullptr, NoPassphrase, nullptr));
  const Key private_key(PEM_read_bio_PrivateKey(key_text.get(), nullptr, NoPassphrase, nullptr));
  const bool fit = leaf != nullptr && private_key != nullptr &&
                   X509_check_private_key(leaf.get(), private_key.get()) == 1;
  ERR_clear_error();
  if (leaf == nullptr) return absl::InvalidArgumentError("tls-cert: no certificate in PEM");
  if (private_key == nullptr) {
    return absl::InvalidArgumentError("tls-key: no private key in PEM without a passphrase");
  }
  if (!fit) return absl::InvalidArgumentError("tls-key: is not the key of tls-cert");
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const Identity>> CertificateCache::Check(
    const std::shared_ptr<const CertificateTrust>& trust, std::string_view chain, absl::Time now) {
  const std::string key(chain);
  {
    const MutexLock lock(mutex_);
    const auto found = entries_.find(key);
    if (found != entries_.end() && found->second.trust == trust &&
        now - found->second.time < kLifetime) {
      return found->second.answer;
    }
  }
  const absl::StatusOr<Identity> identity = trust->Check(chain, now);
  using Answer = absl::StatusOr<std::shared_ptr<const Identity>>;
  const Answer answer =
      identity.ok() ? Answer(std::make_shared<const Identity>(*identity)) : Answer(identity.status());
  const MutexLock lock(mutex_);
  if (entries_.size() >= kMaxEntries) entries_.clear();
  entries_.insert_or_assign(key, Entry{trust, now, answer});
  return answer;
}

}  // namespace ocid
