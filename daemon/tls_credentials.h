// What gRPC speaks TLS with: versions 1.2 and 1.3, a certificate asked of every client, and the client's
// certificate checked by CertificateTrust once the handshake is done.
//
// `files` outlives the server; what it reads anew holds for connections made a second later. Blocks on
// the disk. Source: grpcpp/security/tls_credentials_options.h of gRPC 1.51.
#ifndef OCID_DAEMON_TLS_CREDENTIALS_H_
#define OCID_DAEMON_TLS_CREDENTIALS_H_

#include <memory>

#include "daemon/access/tls_files.h"
#include "grpcpp/security/server_credentials.h"

namespace ocid {

std::shared_ptr<grpc::ServerCredentials> MakeTlsCredentials(const TlsFiles& files);

}  // namespace ocid

#endif  // OCID_DAEMON_TLS_CREDENTIALS_H_
