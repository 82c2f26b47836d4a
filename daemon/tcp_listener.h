// TcpListener: where clients of other hosts connect. It accepts and counts; who they are, and that what
// they say is encrypted, is for the TLS that gRPC speaks on what it is given.
//
// One thread accepts for all addresses. Thread-safe. Open and Stop block (Open may ask for a name), the
// rest does not.
#ifndef OCID_DAEMON_TCP_LISTENER_H_
#define OCID_DAEMON_TCP_LISTENER_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/connection_table.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

class TcpListener {
 public:
  // Listens on every address that the hosts have. ALREADY_EXISTS where somebody does already.
  static absl::StatusOr<std::unique_ptr<TcpListener>> Open(const std::vector<std::string>& addresses);

  // As Stop.
  ~TcpListener();

  // Starts accepting; `accept` gets each connection on the listener's thread. Call once; `connections`
  // must outlive the listener.
  void Start(ConnectionTable& connections, std::function<void(UniqueFd connection)> accept);

  // Accepts no more. Idempotent.
  void Stop();

  // "tcp://10.0.0.7:7117": with the port that the kernel chose for port 0.
  const std::vector<std::string>& addresses() const { return addresses_; }

 private:
  explicit TcpListener(UniqueFd stop_event) : stop_event_(std::move(stop_event)) {}
  absl::Status Listen(const std::string& address);
  void Run();
  void AcceptAll(int socket);

  UniqueFd stop_event_;
  std::vector<UniqueFd> sockets_;
  std::vector<std::string> addresses_;
  ConnectionTable* connections_ = nullptr;
  std::function<void(UniqueFd)> accept_;
  std::thread thread_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_TCP_LISTENER_H_
