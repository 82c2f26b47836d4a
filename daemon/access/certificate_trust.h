// CertificateTrust: which clients' certificates are believed, and whom they name.
//
// The authorities and revocation lists of one moment, immutable. A certificate is believed where a chain
// leads to one of the authorities, everything in it is valid now, the certificate may be a client's (its
// extendedKeyUsage, where it has one), and no list has it. With a list given there must be a current one
// of its issuer: an expired list refuses everybody, because what it does not know may be revoked.
//
// Thread-safe; nothing blocks. Check costs some hundred microseconds of signatures: see CertificateCache.
// Source: RFC 5280; X509_verify_cert(3).
#ifndef OCID_DAEMON_ACCESS_CERTIFICATE_TRUST_H_
#define OCID_DAEMON_ACCESS_CERTIFICATE_TRUST_H_

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/access/identity.h"
#include "runtime/base/mutex.h"

struct x509_store_st;

namespace ocid {

class CertificateTrust {
 public:
  // PEM texts. INVALID_ARGUMENT where there is no authority in the first, or no list in a second that is
  // not empty.
  static absl::StatusOr<std::shared_ptr<const CertificateTrust>> Parse(std::string_view authorities,
                                                                       std::string_view revocations);
  ~CertificateTrust();
  CertificateTrust(const CertificateTrust&) = delete;
  CertificateTrust& operator=(const CertificateTrust&) = delete;

  // `chain`: PEM, the client's certificate first. UNAUTHENTICATED, with the cause, where it is not
  // believed, or names nobody.
  absl::StatusOr<Identity> Check(std::string_view chain, absl::Time now) const;

 private:
  explicit CertificateTrust(x509_store_st* store) : store_(store) {}

  x509_store_st* const store_;  // owned
};

// INVALID_ARGUMENT where these are not PEM texts of a certificate chain and its private key.
absl::Status CheckKeyPair(std::string_view chain, std::string_view key);

// Answers of CertificateTrust::Check, for a minute or until the trust changes: what a call costs is one
// look-up. At most kMaxEntries. Thread-safe.
class CertificateCache {
 public:
  static constexpr size_t kMaxEntries = 4096;
  static constexpr absl::Duration kLifetime = absl::Minutes(1);

  absl::StatusOr<std::shared_ptr<const Identity>> Check(
      const std::shared_ptr<const CertificateTrust>& trust, std::string_view chain, absl::Time now);

 private:
  struct Entry {
    std::shared_ptr<const CertificateTrust> trust;
    absl::Time time;
    absl::StatusOr<std::shared_ptr<const Identity>> answer;
  };

  Mutex mutex_;
  std::unordered_map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ocid

#endif  // OCID_DAEMON_ACCESS_CERTIFICATE_TRUST_H_
