#include "daemon/api/peer_table.h"

#include <charconv>

#include "absl/strings/str_cat.h"

namespace ocid {

void PeerTable::Put(int fd, const Peer& peer) {
  const MutexLock lock(mutex_);
  peers_.insert_or_assign(fd, peer);
}

std::optional<Peer> PeerTable::Find(std::string_view name) const {
  constexpr std::string_view kPrefix = "fd:";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  int fd = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), fd);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  const MutexLock lock(mutex_);
  const auto found = peers_.find(fd);
  if (found == peers_.end()) return std::nullopt;
  return found->second;
}

std::string IdentityOf(const Peer& peer) { return absl::StrCat("uid:", peer.uid); }

}  // namespace ocid
