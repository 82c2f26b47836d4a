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
// A call that may last (a stream, a wait) is admitted with its Cancellation: it ends, refused as a new one
// would be, when its caller loses the right to it.
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
#include <unordered_map>
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
#include "daemon/base/cancellation.h"
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

  // Why the call was cancelled by the gate; OK: it was not.
  absl::Status revocation() const;

  // True for the first end of the call, which alone may answer.
  bool End(const absl::Status& status);

 private:
  friend class CallGate;

  CallScope(CallGate& gate, const ApiMethod& method) : gate_(gate), method_(method) {}

  CallGate& gate_;
  const ApiMethod& method_;
  Identity identity_;
  std::string certificates_;  // PEM, of a TLS client's call that may last
  std::string container_;
  absl::Time begin_;
  absl::Status verdict_;
  std::shared_ptr<const LogContext> log_context_;
  std::vector<std::pair<std::string_view, std::string>> audit_fields_;  // empty: is not written
  bool counted_ = false;
  bool may_last_ = false;  // is in CallGate::open_ until it ends
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

  // Holds for every call from now on, and ends those under way that it forbids.
  void SetRoles(RoleTable roles);

  // `cancellation`, of a call that may last: may be cancelled before this returns. Whoever gives one ends
  // the call, also where it is refused.
  std::shared_ptr<CallScope> Admit(const grpc::ServerContextBase& context,
                                   const google::protobuf::Message& request,
                                   std::shared_ptr<Cancellation> cancellation = nullptr);

  // Who is at the other end. UNAUTHENTICATED where nobody can tell.
  absl::StatusOr<Identity> Identify(const grpc::ServerContextBase& context);

  // Ends the calls that would not be admitted any more: to be called when certificates or authorities
  // have changed, and now and then, as certificates expire. Runs the cancellations on this thread.
  void EndRevoked();

 private:
  friend class CallScope;

  struct OpenCall {
    std::shared_ptr<Cancellation> cancellation;
    absl::Status revocation;
  };

  absl::StatusOr<Identity> CheckCertificates(const std::string& chain);
  absl::Status Decide(const ApiMethod& method, const std::string& container,
                      const Identity& identity, Role role) const;
  // Whether an admitted call would be admitted now.
  absl::Status DecideAgain(const CallScope& call);
  Role RoleOf(const Identity& identity) const;

  const Parts parts_;
  const std::string self_token_;
  CertificateCache certificates_;
  mutable Mutex mutex_;
  std::shared_ptr<const RoleTable> roles_ ABSL_GUARDED_BY(mutex_);
  // Calls that may last and have not ended.
  mutable Mutex open_mutex_;
  std::unordered_map<const CallScope*, OpenCall> open_ ABSL_GUARDED_BY(open_mutex_);
};

}  // namespace ocid

#endif  // OCID_DAEMON_API_CALL_GATE_H_
