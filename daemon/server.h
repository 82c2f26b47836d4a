// Server: the gRPC side of the daemon.
//
//   auto server = Server::Open({.socket_paths = ...});   // the sockets are ours; nobody is
//   answered yet
//   ... recovery ...
//   (*server)->Serve(manager, devices, images, registries, plugins, facts);         // health turns SERVING
//   (*server)->Drain(absl::Seconds(30));                 // finish, and answer nobody any more
//
// Clients that connect between Open and Serve wait. Beside the services of ocid.v1 there are
// grpc.health.v1, for the server and for each service by name, and server reflection.
//
// Thread-compatible. Open and Drain block.
#ifndef OCID_DAEMON_SERVER_H_
#define OCID_DAEMON_SERVER_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/access/audit_log.h"
#include "daemon/access/tls_files.h"
#include "daemon/api/call_gate.h"
#include "daemon/api/system_service.h"
#include "daemon/connection_table.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

class CdiRegistry;
class ContainerManager;
class ImageStore;
class NriHost;
struct RegistryOptions;

// What one client may take of the daemon. Documented where clients read it: proto/ocid/v1/system.proto.
struct TransportLimits {
  int max_message_bytes = kMaxMessageBytes;
  int max_streams = 1024;  // calls at the same time on one connection
  ConnectionTable::Limits connections;
  absl::Duration handshake_timeout = absl::Seconds(10);   // of TLS and of HTTP/2's first frames
  absl::Duration keepalive_interval = absl::Seconds(60);  // of pings to a connection with calls
  absl::Duration keepalive_timeout = absl::Seconds(20);   // for the answer
  absl::Duration call_timeout = absl::Hours(1);           // of unary calls that wait for an operation
};

struct ServerOptions {
  std::vector<std::string> socket_paths;
  std::string socket_group = {};  // empty: the daemon's own
  std::vector<UniqueFd> passed_sockets = {};  // from the service manager
  std::vector<std::string> tcp_addresses = {};  // need `tls`
  TlsPaths tls = {};
  std::string tls_directory = {};  // for copies: see TlsFiles
  std::vector<std::string> roles = {};  // RoleTable
  TransportLimits limits = {};
  AuditLog* audit = nullptr;         // null: there is none; else outlives the server
  CallObserver* observer = nullptr;  // likewise
  std::function<std::string()> debug_dump = nullptr;  // what SystemService.DumpDebug answers
};

class Server {
 public:
  // ALREADY_EXISTS where somebody listens on one of the sockets.
  static absl::StatusOr<std::unique_ptr<Server>> Open(ServerOptions options);

  // Ends all calls at once where Drain was not called.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // What is served must outlive the server. Call once.
  // `plugins` may be null.
  absl::Status Serve(ContainerManager& containers, CdiRegistry& devices, ImageStore& images,
                     const RegistryOptions& registries, const NriHost* plugins,
                     const SystemFacts& facts);

  // Puts in force what may change while the daemon runs: these roles, and what the files of TLS say now.
  // What is wrong changes nothing. Blocks on the disk.
  absl::Status Reload(const std::vector<std::string>& roles);

  // "tcp://HOST:PORT", as they are listened on.
  const std::vector<std::string>& tcp_addresses() const;

  // Who is connected: see ConnectionTable.
  ConnectionTable& connections();

  // What the daemon's threads have to do, by the name of their pool: how many wait.
  std::map<std::string, size_t> QueuedWork() const;

  // Makes a call that needs what every call needs: a thread of gRPC's and the container manager's
  // index; `result` says whether it was answered as it should be. Not before Serve, nor after
  // Drain. Does not block.
  void Probe(std::function<void(bool well)> result);

  // Accepts nobody any more, ends waits and streams with UNAVAILABLE and lets what changes
  // something finish. False where some of it had not after `timeout`.
  bool Drain(absl::Duration timeout);

 private:
  struct Parts;
  struct Services;

  explicit Server(std::unique_ptr<Parts> parts);
  void WatchTlsFiles();

  const std::unique_ptr<Parts> parts_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_SERVER_H_
