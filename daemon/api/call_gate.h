// CallGate: what every call of the API passes before anything is done, and again when it ends.
//
//   std::shared_ptr<CallScope> scope = gate.Admit(context, request);    // the request is decoded
//   if (!scope->verdict().ok()) ...                                     // answer that, do nothing
//   ...
//   if (scope->End(status)) ...                                         // the first end: answer
//
// Admit knows the caller (PeerTable, or the certificate of the connection, which is looked at again for
// each call: one that was revoked or has expired meanwhile is refused), his role, the method by the type of
// the request, and the owner of the container that it names. End counts the call and, where it changed
// something or was refused, writes the audit log. All RPCs come through here (api_context.h, pull_stream.h
// and attach.cc); grpc.health.v1 and server reflection, which tell nothing of this host, do not.
//
// Refusals: UNAUTHENTICATED for a certificate that is not believed; PERMISSION_DENIED with the reason
// PERMISSION_DENIED (the role is too small) or NOT_OWNER, and in metadata `identity`, `role`,
// `needed_role`, `method`, `container`.
//
// Thread-safe. Nothing blocks, but for End's line in a file.
#ifndef OCID_DAEMON_API_CALL_GATE_H_
#define OCID_DAEMON_API_CALL_GATE_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/access/audit_log.h"
#include "daemon/access/certificate_trust.h"
#include "daemon/access/identity.h"
#include "daemon/access/role_table.h"
#include "daemon/api/method_table.h"
#include "daemon/api/peer_table.h"
#include "daemon/base/log_context.h"
#include "google/protobuf/message.h"
#include "grpcpp/server_context.h"
#include "runtime/base/mutex.h"

namespace ocid {

class ContainerManager;

// Is told of every call. Outlives the calls.
class CallObserver {
 public:
  virtual ~CallObserver() = default;
  virtual void OnBegin(const ApiMethod& method) = 0;
  virtual void OnEnd(const ApiMethod& method, absl::StatusCode code, absl::Duration duration) = 0;
};

class CallGate;

// One call. Shared by all that may end it.
class CallScope {
 public:
  const absl::Status& verdict() const { return verdict_; }

  // For what is done for this call on this thread: see ScopedLogContext.
  const std::shared_ptr<const LogContext>& log_context() const { return log_context_; }

  // True for the first end of the call, which alone may answer.
  bool End(const absl::Status& status);

 private:
  friend class CallGate;

  CallScope(const CallGate& gate, const ApiMethod& method) : gate_(gate), method_(method) {}

  const CallGate& gate_;
  const ApiMethod& method_;
  absl::Time begin_;
  absl::Status verdict_;
  std::shared_ptr<const LogContext> log_context_;
  std::vector<std::pair<std::string_view, std::string>> audit_fields_;  // empty: is not written
  bool counted_ = false;
  std::atomic<bool> ended_ = false;
};

class CallGate {
 public:
  struct Parts {
    PeerTable& peers;
    ContainerManager& containers;
    AuditLog* audit = nullptr;          // null: there is none
    CallObserver* observer = nullptr;   // likewise
    // Whose certificates are believed now; null without TLS.
    std::function<std::shared_ptr<const CertificateTrust>()> trust = nullptr;
  };

  CallGate(Parts parts, RoleTable roles);
  CallGate(const CallGate&) = delete;
  CallGate& operator=(const CallGate&) = delete;

  // What a call of the daemon to itself, which has no peer that gRPC would name, carries in its metadata
  // under kSelfMetadata. Random; nobody else learns it.
  static constexpr char kSelfMetadata[] = "ocid-self";
  const std::string& self_token() const { return self_token_; }

  // Holds for every call from now on.
  void SetRoles(RoleTable roles);

  std::shared_ptr<CallScope> Admit(const grpc::ServerContextBase& context,
                                   const google::protobuf::Message& request);

  // Who is at the other end. UNAUTHENTICATED where nobody can tell.
  absl::StatusOr<Identity> Identify(const grpc::ServerContextBase& context);

 private:
  friend class CallScope;

  absl::Status Decide(const ApiMethod& method, const google::protobuf::Message& request,
                      const Identity& identity, Role role) const;
  Role RoleOf(const Identity& identity) const;

  const Parts parts_;
  const std::string self_token_;
  CertificateCache certificates_;
  mutable Mutex mutex_;
  std::shared_ptr<const RoleTable> roles_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ocid

#endif  // OCID_DAEMON_API_CALL_GATE_H_
