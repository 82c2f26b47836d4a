#include "daemon/api/call_gate.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/random.h>

#include <array>
#include <cstddef>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "daemon/container/container_manager.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "grpc/grpc_security_constants.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

std::string MakeToken() {
  std::array<unsigned char, 32> bytes;
  // It cannot fail for so few bytes once the machine has booted; without it nobody is the daemon.
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return "";
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

std::string Sha256(std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), size));
}

// The same for the same request, whatever the order of maps in memory.
std::string RequestDigest(const Message& request) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    request.SerializeToCodedStream(&coded);
  }
  return Sha256(bytes);
}

// Of the field `args` of a request's `config`: each argument with a NUL behind it, as in
// /proc/PID/cmdline.
std::string ArgumentsDigest(const Message& whole) {
  const FieldDescriptor* const config = whole.GetDescriptor()->FindFieldByName("config");
  if (config == nullptr || config->message_type() == nullptr || config->is_repeated()) return "";
  const Message& request = whole.GetReflection()->GetMessage(whole, config);
  const FieldDescriptor* const args = request.GetDescriptor()->FindFieldByName("args");
  if (args == nullptr || !args->is_repeated() ||
      args->cpp_type() != FieldDescriptor::CPPTYPE_STRING) {
    return "";
  }
  const google::protobuf::Reflection& reflection = *request.GetReflection();
  std::string bytes;
  for (int i = 0; i < reflection.FieldSize(request, args); ++i) {
    bytes += reflection.GetRepeatedString(request, args, i);
    bytes += '\0';
  }
  return bytes.empty() ? "" : Sha256(bytes);
}

std::string PeerText(const Identity& identity, const std::string& peer) {
  if (identity.source != Identity::Source::kUnixSocket) return peer;
  return absl::StrCat("unix:pid=", identity.pid, ",uid=", identity.uid,
                      ",gid=", identity.gids.empty() ? 0 : identity.gids[0]);
}

std::string FirstMetadata(const grpc::ServerContextBase& context, const char* key) {
  const auto found = context.client_metadata().find(key);
  if (found == context.client_metadata().end()) return "";
  return {found->second.data(), found->second.size()};
}

absl::Status NobodySaysWho() {
  return MakeError(absl::StatusCode::kUnauthenticated, "UNAUTHENTICATED",
                   "nothing says who is at the other end of this connection");
}

// The certificates of a TLS client, PEM; empty where it has none.
std::string ChainOf(const grpc::ServerContextBase& context) {
  const std::shared_ptr<const grpc::AuthContext> connection = context.auth_context();
  std::string chain;
  if (connection == nullptr) return chain;
  // Of a server, OpenSSL's chain is without the client's own certificate, which goes first.
  for (const char* property :
       {GRPC_X509_PEM_CERT_PROPERTY_NAME, GRPC_X509_PEM_CERT_CHAIN_PROPERTY_NAME}) {
    const std::vector<grpc::string_ref> values = connection->FindPropertyValues(property);
    if (values.empty() && chain.empty()) break;
    if (!values.empty()) chain.append(values[0].data(), values[0].size());
  }
  return chain;
}

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

absl::Status CallScope::revocation() const {
  if (!may_last_) return absl::OkStatus();
  const MutexLock lock(gate_.open_mutex_);
  const auto found = gate_.open_.find(this);
  return found == gate_.open_.end() ? absl::OkStatus() : found->second.revocation;
}

bool CallScope::End(const absl::Status& status) {
  if (ended_.exchange(true)) return false;
  bool revoked = false;
  if (may_last_) {
    const MutexLock lock(gate_.open_mutex_);
    const auto open = gate_.open_.extract(this);
    revoked = !open.empty() && !open.mapped().revocation.ok();
  }
  if (revoked && gate_.parts_.audit != nullptr && audit_fields_.empty()) {
    audit_fields_ = {{"who", identity_.name},
                     {"certificate_serial", identity_.serial},
                     {"method", method_.name},
                     {"container", container_},
                     {"trace_id", log_context_->trace_id}};
  }
  const absl::Duration duration = absl::Now() - begin_;
  if (counted_) gate_.parts_.observer->OnEnd(method_, status.code(), duration);
  if (audit_fields_.empty()) return true;
  AuditRecord record{.time = begin_, .duration = duration, .fields = std::move(audit_fields_)};
  record.fields.emplace_back("code", absl::StatusCodeToString(status.code()));
  if (!status.ok()) record.fields.emplace_back("reason", GetReason(status));
  gate_.parts_.audit->Write(record);
  return true;
}

CallGate::CallGate(Parts parts, RoleTable roles)
    : parts_(std::move(parts)),
      self_token_(MakeToken()),
      roles_(std::make_shared<const RoleTable>(std::move(roles))) {}

void CallGate::SetRoles(RoleTable roles) {
  auto next = std::make_shared<const RoleTable>(std::move(roles));
  {
    const MutexLock lock(mutex_);
    roles_ = std::move(next);
  }
  EndRevoked();
}

void CallGate::EndRevoked() {
  std::vector<std::shared_ptr<Cancellation>> revoked;
  {
    const MutexLock lock(open_mutex_);
    for (auto& [scope, call] : open_) {
      if (!call.revocation.ok()) continue;
      call.revocation = DecideAgain(*scope);
      if (!call.revocation.ok()) revoked.push_back(call.cancellation);
    }
  }
  for (const std::shared_ptr<Cancellation>& cancellation : revoked) cancellation->Cancel();
}

absl::Status CallGate::DecideAgain(const CallScope& call) {
  if (call.certificates_.empty()) {
    return Decide(call.method_, call.container_, call.identity_, RoleOf(call.identity_));
  }
  const absl::StatusOr<Identity> identity = CheckCertificates(call.certificates_);
  if (!identity.ok()) return identity.status();
  return Decide(call.method_, call.container_, *identity, RoleOf(*identity));
}

Role CallGate::RoleOf(const Identity& identity) const {
  std::shared_ptr<const RoleTable> roles;
  {
    const MutexLock lock(mutex_);
    roles = roles_;
  }
  return roles->RoleOf(identity);
}

absl::StatusOr<Identity> CallGate::Identify(const grpc::ServerContextBase& context) {
  const std::string peer = context.peer();
  if (const std::optional<Peer> local = parts_.peers.Find(peer)) {
    return Identity{.source = Identity::Source::kUnixSocket,
                    .name = IdentityOf(*local),
                    .pid = local->pid,
                    .uid = local->uid,
                    .gids = local->groups};
  }
  const std::string token = FirstMetadata(context, kSelfMetadata);
  if (!token.empty() && token.size() == self_token_.size() &&
      CRYPTO_memcmp(token.data(), self_token_.data(), token.size()) == 0) {
    return Identity{.source = Identity::Source::kSelf, .name = "local"};
  }
  const std::string chain = ChainOf(context);
  if (!chain.empty()) return CheckCertificates(chain);
  return NobodySaysWho();
}

absl::StatusOr<Identity> CallGate::CheckCertificates(const std::string& chain) {
  std::shared_ptr<const CertificateTrust> trust;
  if (parts_.trust != nullptr) trust = parts_.trust();
  if (trust == nullptr) return NobodySaysWho();
  const absl::StatusOr<std::shared_ptr<const Identity>> identity =
      certificates_.Check(trust, chain, absl::Now());
  if (!identity.ok()) return identity.status();
  return **identity;
}

absl::Status CallGate::Decide(const ApiMethod& method, const std::string& container,
                              const Identity& identity, Role role) const {
  const Role needed = RoleFor(method.permission);
  ErrorMetadata metadata = {{"identity", identity.name},
                            {"role", std::string(RoleName(role))},
                            {"needed_role", std::string(RoleName(needed))},
                            {"method", method.name}};
  if (!container.empty()) metadata["container"] = container;
  if (role < needed) {
    return MakeError(absl::StatusCode::kPermissionDenied, "PERMISSION_DENIED",
                     absl::StrCat(identity.name, " has the role ", View(RoleName(role)), ", and ",
                                  method.name, " needs ", View(RoleName(needed))),
                     metadata);
  }
  if (role >= Role::kAdmin || method.permission != Permission::kChange) return absl::OkStatus();
  v1::GetContainerRequest get;
  get.set_container_id(container);
  const absl::StatusOr<v1::Container> found = parts_.containers.Get(get);
  // Of what is not there the method itself says so.
  if (!found.ok() || found->owner() == identity.name) return absl::OkStatus();
  metadata["owner"] = found->owner();
  return MakeError(absl::StatusCode::kPermissionDenied, "NOT_OWNER",
                   absl::StrCat("container ", container, " is ", found->owner(), "'s, and ",
                                identity.name, " is no admin"),
                   metadata);
}

std::shared_ptr<CallScope> CallGate::Admit(const grpc::ServerContextBase& context,
                                           const Message& request,
                                           std::shared_ptr<Cancellation> cancellation) {
  const ApiMethod& method = MethodTable::Get().Find(request);
  const std::shared_ptr<CallScope> scope(new CallScope(*this, method));
  scope->begin_ = absl::Now();
  const std::string trace = TraceIdOf(FirstMetadata(context, "traceparent"));
  scope->log_context_ = std::make_shared<const LogContext>(LogContext{trace, method.name});

  const absl::StatusOr<Identity> identity = Identify(context);
  if (identity.ok()) scope->identity_ = *identity;
  if (scope->identity_.source == Identity::Source::kSelf) return scope;
  scope->container_ = method.ContainerId(request);
  if (cancellation != nullptr) {
    if (scope->identity_.source == Identity::Source::kCertificate) {
      scope->certificates_ = ChainOf(context);
    }
    // Before the decision: rights that change from now on end it.
    scope->may_last_ = true;
    const MutexLock lock(open_mutex_);
    open_[scope.get()].cancellation = std::move(cancellation);
  }
  if (parts_.observer != nullptr) {
    parts_.observer->OnBegin(method);
    scope->counted_ = true;
  }
  Role role = Role::kNone;
  if (identity.ok()) {
    role = RoleOf(*identity);
    scope->verdict_ = Decide(method, scope->container_, *identity, role);
  } else {
    scope->verdict_ = identity.status();
  }
  if (parts_.audit == nullptr || (scope->verdict_.ok() && !method.changes())) return scope;
  const Identity& who = scope->identity_;
  scope->audit_fields_ = {{"who", who.name.empty() ? "unknown" : who.name},
                          {"certificate_serial", who.serial},
                          {"role", std::string(RoleName(role))},
                          {"peer", PeerText(who, context.peer())},
                          {"method", method.name},
                          {"container", scope->container_},
                          {"exec", method.ExecId(request)},
                          {"request_sha256", RequestDigest(request)},
                          {"argv_sha256", ArgumentsDigest(request)},
                          {"request_id", method.RequestId(request)},
                          {"trace_id", trace}};
  return scope;
}

}  // namespace ocid
