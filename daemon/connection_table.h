// ConnectionTable: how many clients are connected, in all and from one peer, and no more than may be.
//
// A listener asks before it hands a connection to gRPC; gRPC closes it some day and tells nobody. So the
// table remembers each socket's number and inode, and when a limit is reached looks which are still what
// they were, at most every 50 ms: a peer that keeps knocking costs nobody else their turn.
//
// Thread-safe. Nothing blocks.
#ifndef OCID_DAEMON_CONNECTION_TABLE_H_
#define OCID_DAEMON_CONNECTION_TABLE_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "runtime/base/mutex.h"

namespace ocid {

class ConnectionTable {
 public:
  struct Limits {
    size_t total = 16384;
    size_t per_peer = 12288;
  };

  explicit ConnectionTable(Limits limits) : limits_(limits) {}

  // False where the connection is one too many: it is to be closed. `peer`: "uid:1000", "ip:10.0.0.7".
  bool Admit(int fd, const std::string& peer);

  // Connections now, by peer; counted anew.
  std::map<std::string, size_t> Count();
  // At most this many, without looking.
  size_t known() const;
  // How often Admit said no.
  uint64_t refused() const;

 private:
  struct Entry {
    dev_t device = 0;
    ino_t inode = 0;
    std::string peer;
  };

  bool Full(const std::string& peer) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Forget(std::unordered_map<int, Entry>::iterator entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForgetClosed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Limits limits_;
  mutable Mutex mutex_;
  std::unordered_map<int, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, size_t> by_peer_ ABSL_GUARDED_BY(mutex_);
  absl::Time looked_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  absl::Time told_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  uint64_t refused_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace ocid

#endif  // OCID_DAEMON_CONNECTION_TABLE_H_
