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
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/api/system_service.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

class CdiRegistry;
class ContainerManager;
class ImageStore;
class NriHost;
struct RegistryOptions;

struct ServerOptions {
  std::vector<std::string> socket_paths;
  std::string socket_group;  // empty: the daemon's own
  std::vector<UniqueFd> passed_sockets = {};  // from the service manager
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

  const std::unique_ptr<Parts> parts_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_SERVER_H_
