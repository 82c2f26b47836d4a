// TlsFiles: the daemon's certificate and whom it trusts, read again when the files change.
//
// What is read is checked as a whole first: the key must be the certificate's, the authorities and
// revocation lists must parse. Files that do not fit together, such as a new certificate whose key has
// not been copied yet, change nothing; what was in force stays.
//
// gRPC (1.51) takes its own certificate from files alone, which it looks at once a second. So that it
// never sees half of a change either, it gets copies in a folder of the daemon's (0700, files 0600, on
// the state directory's tmpfs), with the key and the chain in one file that is replaced by rename(2).
//
// Thread-safe. Open and Reload block on the disk.
#ifndef OCID_DAEMON_ACCESS_TLS_FILES_H_
#define OCID_DAEMON_ACCESS_TLS_FILES_H_

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/access/certificate_trust.h"
#include "runtime/base/mutex.h"

namespace ocid {

struct TlsPaths {
  std::string certificate;  // the chain, the daemon's own first
  std::string key;
  std::string client_authorities;
  std::string revocations;  // empty: none
};

class TlsFiles {
 public:
  // `directory`: for the copies; made where it is missing.
  static absl::StatusOr<std::unique_ptr<TlsFiles>> Open(TlsPaths paths, std::string directory);

  // Puts in force what the files say now. True where that is something else than before.
  absl::StatusOr<bool> Reload();
  // The same, but reads nothing where no file was touched since the last time.
  absl::StatusOr<bool> ReloadIfTouched();

  std::shared_ptr<const CertificateTrust> trust() const;

  // Of the copies.
  std::string identity_path() const { return directory_ + "/identity.pem"; }
  std::string authorities_path() const { return directory_ + "/authorities.pem"; }

 private:
  struct Texts {
    std::string certificate, key, authorities, revocations;
    friend bool operator==(const Texts&, const Texts&) = default;
  };

  TlsFiles(TlsPaths paths, std::string directory)
      : paths_(std::move(paths)), directory_(std::move(directory)) {}
  absl::StatusOr<Texts> Read() const;
  std::string Stamps() const;

  const TlsPaths paths_;
  const std::string directory_;
  Mutex reload_mutex_;
  Texts texts_ ABSL_GUARDED_BY(reload_mutex_);
  std::string stamps_ ABSL_GUARDED_BY(reload_mutex_);
  mutable Mutex mutex_;
  std::shared_ptr<const CertificateTrust> trust_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ocid

#endif  // OCID_DAEMON_ACCESS_TLS_FILES_H_
