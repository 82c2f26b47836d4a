// PeerTable: who is at the other end of each connection.
//
// gRPC names the peer of a connection that it was given as a descriptor by that descriptor,
// "fd:1042", which is how a call (ServerContext::peer) finds the credentials that were read when
// the connection was accepted. Whoever accepts keeps a number from being used again soon, so that
// the last call of a connection that has just gone is not taken for the next connection's.
//
// Thread-safe; nothing blocks.
#ifndef OCID_DAEMON_API_PEER_TABLE_H_
#define OCID_DAEMON_API_PEER_TABLE_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "runtime/base/mutex.h"

namespace ocid {

struct Peer {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups = {};  // `gid` first, then the supplementary ones

  friend bool operator==(const Peer&, const Peer&) = default;
};

class PeerTable {
 public:
  // Replaces what is known of an earlier connection of this descriptor.
  void Put(int fd, const Peer& peer);

  // `name` as gRPC has it. Nothing for a name that is not a known connection's.
  std::optional<Peer> Find(std::string_view name) const;

 private:
  mutable Mutex mutex_;
  std::unordered_map<int, Peer> peers_ ABSL_GUARDED_BY(mutex_);
};

// "uid:1000": the identity of callers on this host.
std::string IdentityOf(const Peer& peer);

}  // namespace ocid

#endif  // OCID_DAEMON_API_PEER_TABLE_H_
