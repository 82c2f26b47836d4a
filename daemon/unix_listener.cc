#include "daemon/unix_listener.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "daemon/base/log.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

constexpr gid_t kNoGroup = static_cast<gid_t>(-1);
constexpr int kBacklog = 1024;
constexpr mode_t kSocketMode = 0660;

// Connections take turns in this range of descriptors: see PeerTable. It is kept small because the
// kernel's table of descriptors is as long as the highest of them.
constexpr int kFirstNumber = 1024;
constexpr int kLastNumber = 8191;

// With more connections than that the range is as long as it takes for most of it to be free.
constexpr size_t kManyConnections = 2048;
constexpr int kNumbersPerConnection = 4;

constexpr size_t kMaxGroups = 65536;  // NGROUPS_MAX of Linux

// How long to let connections wait when there are no descriptors left for them.
constexpr int kRetryAcceptMs = 100;

absl::Status ErrnoError(std::string_view subject, int error) {
  return absl::ErrnoToStatus(error,
                             absl::StrCat(absl::string_view(subject.data(), subject.size())));
}

absl::StatusOr<gid_t> FindGroup(const std::string& name) {
  if (name.empty()) return kNoGroup;
  group entry;
  group* found = nullptr;
  std::array<char, 65536> buffer;
  const int error = getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (error != 0) return ErrnoError(absl::StrCat("group ", name), error);
  if (found == nullptr) return absl::NotFoundError(absl::StrCat("group ", name, ": unknown"));
  return found->gr_gid;
}

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), std::min(path.size(), sizeof(address.sun_path) - 1));
  return address;
}

// Removes a socket at `path` that nobody listens on.
absl::Status RemoveStale(const std::string& path) {
  struct stat status;
  if (lstat(path.c_str(), &status) != 0) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoError(path, errno);
  }
  if (!S_ISSOCK(status.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": is there and is not a socket"));
  }
  const UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.valid()) return ErrnoError("socket", errno);
  const sockaddr_un address = AddressOf(path);
  const int connected =
      connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  // A full backlog (EAGAIN) is somebody's, too.
  if (connected == 0 || errno == EAGAIN) {
    return absl::AlreadyExistsError(absl::StrCat(path, ": somebody listens there already"));
  }
  if (errno != ECONNREFUSED) return ErrnoError(path, errno);
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoError(path, errno);
  return absl::OkStatus();
}

// The primary group first. What cannot be told is left out: it only gives.
std::vector<gid_t> GroupsOf(int fd, gid_t primary) {
  std::vector<gid_t> groups(32);
  socklen_t size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
  int result = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
  if (result != 0 && errno == ERANGE && size <= kMaxGroups * sizeof(gid_t)) {
    groups.resize(size / sizeof(gid_t));
    result = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
  }
  groups.resize(result == 0 ? size / sizeof(gid_t) : 0);
  groups.insert(groups.begin(), primary);
  return groups;
}

Peer PeerOf(int fd) {
  ucred credentials = {};
  socklen_t size = sizeof(credentials);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    // Cannot be for a connected unix socket. "nobody" is who may do least.
    return Peer{.pid = 0, .uid = 65534, .gid = 65534};
  }
  return Peer{.pid = credentials.pid,
              .uid = credentials.uid,
              .gid = credentials.gid,
              .groups = GroupsOf(fd, credentials.gid)};
}

}  // namespace

absl::StatusOr<UnixListener::Socket> UnixListener::Listen(const std::string& path, gid_t group) {
  if (path.size() >= sizeof(sockaddr_un::sun_path)) return ErrnoError(path, ENAMETOOLONG);
  std::error_code made;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), made);
  if (made) return ErrnoError(path, made.value());
  const absl::Status stale = RemoveStale(path);
  if (!stale.ok()) return stale;

  Socket result;
  result.path = path;
  result.fd.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!result.fd.valid()) return ErrnoError("socket", errno);
  const sockaddr_un address = AddressOf(path);
  if (bind(result.fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return ErrnoError(path, errno);
  }
  struct stat status;
  int error = lstat(path.c_str(), &status) == 0 ? 0 : errno;
  // Nobody can connect before listen(2), so nobody does with the mode that bind gave.
  if (error == 0 && chmod(path.c_str(), kSocketMode) != 0) error = errno;
  if (error == 0 && group != kNoGroup && lchown(path.c_str(), -1, group) != 0) error = errno;
  if (error == 0 && listen(result.fd.get(), kBacklog) != 0) error = errno;
  if (error != 0) {
    unlink(path.c_str());
    return ErrnoError(path, error);
  }
  result.device = status.st_dev;
  result.inode = status.st_ino;
  return result;
}

absl::StatusOr<UnixListener::Socket> UnixListener::Adopt(UniqueFd fd) {
  sockaddr_un address = {};
  socklen_t size = sizeof(address);
  int type = 0;
  int listening = 0;
  socklen_t int_size = sizeof(int);
  const bool usable =
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
      address.sun_family == AF_UNIX && address.sun_path[0] == '/' &&
      getsockopt(fd.get(), SOL_SOCKET, SO_TYPE, &type, &int_size) == 0 && type == SOCK_STREAM &&
      getsockopt(fd.get(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &int_size) == 0 &&
      listening != 0;
  if (!usable) {
    return absl::InvalidArgumentError(absl::StrCat(
        "descriptor ", fd.get(), " from the service manager is not a listening unix stream socket"));
  }
  if (fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0 || fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0) {
    return ErrnoError("fcntl", errno);
  }
  Socket result;
  result.path.assign(address.sun_path, strnlen(address.sun_path, sizeof(address.sun_path)));
  result.fd = std::move(fd);
  result.passed = true;
  return result;
}

absl::StatusOr<std::unique_ptr<UnixListener>> UnixListener::Open(
    const std::vector<std::string>& paths, std::string_view group, std::vector<UniqueFd> passed) {
  const absl::StatusOr<gid_t> gid = FindGroup(std::string(group));
  if (!gid.ok()) return gid.status();
  UniqueFd stop_event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_event.valid()) return ErrnoError("eventfd", errno);
  std::unique_ptr<UnixListener> listener(new UnixListener(std::move(stop_event)));
  for (UniqueFd& fd : passed) {
    absl::StatusOr<Socket> socket = Adopt(std::move(fd));
    if (!socket.ok()) return socket.status();
    listener->sockets_.push_back(*std::move(socket));
  }
  for (const std::string& path : paths) {
    const bool is_passed =
        std::any_of(listener->sockets_.begin(), listener->sockets_.end(),
                    [&](const Socket& socket) { return socket.passed && socket.path == path; });
    if (is_passed) continue;
    absl::StatusOr<Socket> socket = Listen(path, *gid);
    if (!socket.ok()) return Annotate(socket.status(), "listen");
    listener->sockets_.push_back(*std::move(socket));
  }
  return listener;
}

UnixListener::~UnixListener() { Stop(); }

std::vector<gid_t> UnixListener::groups() const {
  std::vector<gid_t> groups;
  for (const Socket& socket : sockets_) {
    struct stat status;
    if (lstat(socket.path.c_str(), &status) == 0) groups.push_back(status.st_gid);
  }
  return groups;
}

void UnixListener::Start(PeerTable& peers, ConnectionTable& connections,
                         std::function<void(UniqueFd)> accept) {
  peers_ = &peers;
  connections_ = &connections;
  accept_ = std::move(accept);
  next_number_ = kFirstNumber;
  thread_ = std::thread(&UnixListener::Run, this);
}

void UnixListener::Stop() {
  if (thread_.joinable()) {
    eventfd_write(stop_event_.get(), 1);
    thread_.join();
  }
  for (const Socket& socket : sockets_) {
    struct stat status;
    if (!socket.passed && lstat(socket.path.c_str(), &status) == 0 && status.st_dev == socket.device &&
        status.st_ino == socket.inode) {
      unlink(socket.path.c_str());
    }
  }
  sockets_.clear();
}

void UnixListener::Run() {
  pthread_setname_np(pthread_self(), "listener");
  std::vector<pollfd> polled = {{.fd = stop_event_.get(), .events = POLLIN, .revents = 0}};
  for (const Socket& socket : sockets_) {
    polled.push_back({.fd = socket.fd.get(), .events = POLLIN, .revents = 0});
  }
  while (true) {
    if (poll(polled.data(), polled.size(), -1) < 0) continue;  // EINTR
    if (polled[0].revents != 0) return;
    for (size_t i = 0; i < sockets_.size(); ++i) {
      if (polled[i + 1].revents != 0) AcceptAll(sockets_[i]);
    }
  }
}

void UnixListener::AcceptAll(const Socket& socket) {
  while (true) {
    UniqueFd connection(accept4(socket.fd.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection.valid()) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EAGAIN) return;
      Log(LogLevel::kError, "cannot accept a connection",
          {{"socket", socket.path}, {"cause", std::strerror(errno)}});
      pollfd stop = {.fd = stop_event_.get(), .events = POLLIN, .revents = 0};
      poll(&stop, 1, kRetryAcceptMs);
      return;
    }
    const int moved = fcntl(connection.get(), F_DUPFD_CLOEXEC, next_number_);
    if (moved >= 0) {
      connection.reset(moved);
      const size_t open = connections_->known();
      const int last = open < kManyConnections
                           ? kLastNumber
                           : kFirstNumber + kNumbersPerConnection * static_cast<int>(open);
      next_number_ = moved < last ? moved + 1 : kFirstNumber;
    } else {
      next_number_ = kFirstNumber;
    }
    Peer peer = PeerOf(connection.get());
    if (!connections_->Admit(connection.get(), IdentityOf(peer))) continue;
    peers_->Put(connection.get(), peer);
    accept_(std::move(connection));
  }
}

}  // namespace ocid
