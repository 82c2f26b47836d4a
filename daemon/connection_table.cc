#include "daemon/connection_table.h"

#include <sys/stat.h>

#include <utility>

#include "absl/time/clock.h"
#include "daemon/base/log.h"

namespace ocid {
namespace {

constexpr absl::Duration kLookInterval = absl::Milliseconds(50);
constexpr absl::Duration kTellInterval = absl::Seconds(10);

}  // namespace

bool ConnectionTable::Admit(int fd, const std::string& peer) {
  struct stat status;
  if (fstat(fd, &status) != 0) return false;
  bool tell = false;
  uint64_t refused = 0;
  {
    const MutexLock lock(mutex_);
    // The number is this connection's now, so the one before has gone.
    if (const auto before = entries_.find(fd); before != entries_.end()) Forget(before);
    const absl::Time now = absl::Now();
    if (Full(peer) && now - looked_ >= kLookInterval) {
      looked_ = now;
      ForgetClosed();
    }
    if (!Full(peer)) {
      entries_.emplace(fd, Entry{status.st_dev, status.st_ino, peer});
      ++by_peer_[peer];
      return true;
    }
    refused = ++refused_;
    tell = now - told_ >= kTellInterval;
    if (tell) told_ = now;
  }
  if (tell) {
    Log(LogLevel::kWarning, "too many connections", {{"peer", peer}, {"refused", refused}});
  }
  return false;
}

bool ConnectionTable::Full(const std::string& peer) const {
  const auto found = by_peer_.find(peer);
  return entries_.size() >= limits_.total ||
         (found != by_peer_.end() && found->second >= limits_.per_peer);
}

void ConnectionTable::Forget(std::unordered_map<int, Entry>::iterator entry) {
  const auto peer = by_peer_.find(entry->second.peer);
  if (--peer->second == 0) by_peer_.erase(peer);
  entries_.erase(entry);
}

void ConnectionTable::ForgetClosed() {
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto here = entry++;
    struct stat status;
    const bool open = fstat(here->first, &status) == 0 && status.st_ino == here->second.inode &&
                      status.st_dev == here->second.device;
    if (!open) Forget(here);
  }
}

std::map<std::string, size_t> ConnectionTable::Count() {
  const MutexLock lock(mutex_);
  ForgetClosed();
  return by_peer_;
}

size_t ConnectionTable::known() const {
  const MutexLock lock(mutex_);
  return entries_.size();
}

uint64_t ConnectionTable::refused() const {
  const MutexLock lock(mutex_);
  return refused_;
}

}  // namespace ocid
