// UnixListener: where clients connect, and who they are.
//
// Connections are accepted here and handed to gRPC as descriptors, not listened for by gRPC: it
// would delete whatever socket is at the path, could not give the new one a mode and a group before
// anyone can connect, and tells nothing about the peer. So
//
// - a socket that somebody listens on is left alone (ALREADY_EXISTS); a stale one is replaced; what
// is
//   not a socket is an error;
// - the socket has mode 0660, and the group, before it listens;
// - a socket that came from a service manager (sd_listen_fds(3)) is used as it is, also where its path
//   is one of those to listen on, and is left to whoever made it;
// - the peer's credentials (SO_PEERCRED, SO_PEERGROUPS) are known for every call: see PeerTable;
// - connections beyond the limits are closed at once: see ConnectionTable.
//
// One thread accepts for all sockets. Thread-safe. Open and Stop block, the rest does not.
// Source: unix(7), SO_PEERCRED: credentials of who called connect(2).
#ifndef OCID_DAEMON_UNIX_LISTENER_H_
#define OCID_DAEMON_UNIX_LISTENER_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/api/peer_table.h"
#include "daemon/connection_table.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

class UnixListener {
 public:
  // Binds and listens on every path; makes missing parent folders (0755). `group` may be empty.
  // `passed`: sockets that others listen on for us; INVALID_ARGUMENT for one that is not a listening
  // stream socket with a path. Nobody is accepted before Start. On failure no socket of ours is left.
  static absl::StatusOr<std::unique_ptr<UnixListener>> Open(const std::vector<std::string>& paths,
                                                            std::string_view group,
                                                            std::vector<UniqueFd> passed = {});

  // As Stop.
  ~UnixListener();

  // Starts accepting; `accept` gets each connection, non-blocking, on the listener's thread, after
  // the peer was put into `peers`. Call once; what is named must outlive the listener.
  void Start(PeerTable& peers, ConnectionTable& connections,
             std::function<void(UniqueFd connection)> accept);

  // Of the sockets' inodes: who is in one of these may connect.
  std::vector<gid_t> groups() const;

  // Accepts no more and removes the sockets that are still ours. Idempotent.
  void Stop();

 private:
  struct Socket {
    std::string path;
    UniqueFd fd;
    dev_t device = 0;  // of the path's inode, to know it again
    ino_t inode = 0;
    bool passed = false;  // not ours to remove
  };

  explicit UnixListener(UniqueFd stop_event) : stop_event_(std::move(stop_event)) {}
  static absl::StatusOr<Socket> Adopt(UniqueFd fd);
  static absl::StatusOr<Socket> Listen(const std::string& path, gid_t group);
  void Run();
  void AcceptAll(const Socket& socket);

  UniqueFd stop_event_;
  std::vector<Socket> sockets_;
  PeerTable* peers_ = nullptr;
  ConnectionTable* connections_ = nullptr;
  std::function<void(UniqueFd)> accept_;
  int next_number_ = 0;  // of the thread
  std::thread thread_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_UNIX_LISTENER_H_
