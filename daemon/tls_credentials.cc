#include "daemon/tls_credentials.h"

#include <functional>
#include <string>

#include "absl/time/clock.h"
#include "daemon/base/log.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_certificate_verifier.h"
#include "grpcpp/security/tls_credentials_options.h"

namespace ocid {
namespace {

using grpc::experimental::TlsCustomVerificationCheckRequest;

constexpr unsigned kLookSeconds = 1;  // at the copies of TlsFiles

class TrustVerifier final : public grpc::experimental::ExternalCertificateVerifier {
 public:
  explicit TrustVerifier(const TlsFiles& files) : files_(files) {}

  bool Verify(TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* sync_status) override {
    // Of a server, OpenSSL's chain is without the client's own certificate, which goes first.
    const grpc::string_ref own = request->peer_cert();
    const grpc::string_ref others = request->peer_cert_full_chain();
    std::string chain(own.data(), own.size());
    if (!chain.empty()) chain.append(others.data(), others.size());
    const absl::StatusOr<Identity> identity = files_.trust()->Check(chain, absl::Now());
    if (!identity.ok()) {
      Log(LogLevel::kInfo, "client refused", {{"error", identity.status()}});
      *sync_status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED,
                                  std::string(identity.status().message()));
    }
    return true;  // done
  }

  void Cancel(TlsCustomVerificationCheckRequest*) override {}

 private:
  const TlsFiles& files_;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> MakeTlsCredentials(const TlsFiles& files) {
  grpc::experimental::TlsServerCredentialsOptions options(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
          files.identity_path(), files.identity_path(), files.authorities_path(), kLookSeconds));
  options.watch_identity_key_cert_pairs();
  options.watch_root_certs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.set_certificate_verifier(
      grpc::experimental::ExternalCertificateVerifier::Create<TrustVerifier>(files));
  options.set_check_call_host(false);  // a client's question
  return grpc::experimental::TlsServerCredentials(options);
}

}  // namespace ocid
