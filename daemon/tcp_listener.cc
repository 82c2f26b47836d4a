#include "daemon/tcp_listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/log.h"
#include "daemon/tcp_address.h"

namespace ocid {
namespace {

constexpr int kBacklog = 1024;
// How long to let connections wait when there are no descriptors left for them.
constexpr int kRetryAcceptMs = 100;

struct NumericName {
  char host[NI_MAXHOST] = "";
  char port[NI_MAXSERV] = "";
};

NumericName NameOf(const sockaddr_storage& address, socklen_t size) {
  NumericName name;
  getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, name.host, sizeof(name.host),
              name.port, sizeof(name.port), NI_NUMERICHOST | NI_NUMERICSERV);
  return name;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TcpListener>> TcpListener::Open(
    const std::vector<std::string>& addresses) {
  UniqueFd stop_event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_event.valid()) return absl::ErrnoToStatus(errno, "eventfd");
  std::unique_ptr<TcpListener> listener(new TcpListener(std::move(stop_event)));
  for (const std::string& address : addresses) {
    const absl::Status status = listener->Listen(address);
    if (!status.ok()) return status;
  }
  return listener;
}

absl::Status TcpListener::Listen(const std::string& address) {
  const absl::StatusOr<TcpAddress> parsed = ParseTcpAddress(address);
  if (!parsed.ok()) return parsed.status();
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(parsed->host.c_str(), parsed->port.c_str(), &hints, &found);
  if (error != 0) {
    return absl::InvalidArgumentError(absl::StrCat(address, ": ", gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> all(found, &freeaddrinfo);
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    UniqueFd socket_fd(
        socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, one->ai_protocol));
    if (!socket_fd.valid()) return absl::ErrnoToStatus(errno, address);
    const int on = 1;
    setsockopt(socket_fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    // [::] is IPv6 alone: 0.0.0.0 beside it is a listener of its own.
    if (one->ai_family == AF_INET6) {
      setsockopt(socket_fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    }
    if (bind(socket_fd.get(), one->ai_addr, one->ai_addrlen) != 0 ||
        listen(socket_fd.get(), kBacklog) != 0) {
      return absl::ErrnoToStatus(errno, address);
    }
    sockaddr_storage bound = {};
    socklen_t size = sizeof(bound);
    getsockname(socket_fd.get(), reinterpret_cast<sockaddr*>(&bound), &size);
    const NumericName name = NameOf(bound, size);
    const bool v6 = bound.ss_family == AF_INET6;
    addresses_.push_back(
        absl::StrCat("tcp://", v6 ? "[" : "", name.host, v6 ? "]:" : ":", name.port));
    sockets_.push_back(std::move(socket_fd));
  }
  return absl::OkStatus();
}

TcpListener::~TcpListener() { Stop(); }

void TcpListener::Start(ConnectionTable& connections, std::function<void(UniqueFd)> accept) {
  connections_ = &connections;
  accept_ = std::move(accept);
  if (!sockets_.empty()) thread_ = std::thread(&TcpListener::Run, this);
}

void TcpListener::Stop() {
  if (thread_.joinable()) {
    eventfd_write(stop_event_.get(), 1);
    thread_.join();
  }
  sockets_.clear();
}

void TcpListener::Run() {
  pthread_setname_np(pthread_self(), "tcp listener");
  std::vector<pollfd> polled = {{.fd = stop_event_.get(), .events = POLLIN, .revents = 0}};
  for (const UniqueFd& socket : sockets_) {
    polled.push_back({.fd = socket.get(), .events = POLLIN, .revents = 0});
  }
  while (true) {
    if (poll(polled.data(), polled.size(), -1) < 0) continue;  // EINTR
    if (polled[0].revents != 0) return;
    for (size_t i = 1; i < polled.size(); ++i) {
      if (polled[i].revents != 0) AcceptAll(polled[i].fd);
    }
  }
}

void TcpListener::AcceptAll(int socket) {
  while (true) {
    sockaddr_storage address = {};
    socklen_t size = sizeof(address);
    UniqueFd connection(accept4(socket, reinterpret_cast<sockaddr*>(&address), &size,
                                SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection.valid()) {
      if (errno == EAGAIN) return;
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        Log(LogLevel::kError, "cannot accept a connection", {{"cause", std::strerror(errno)}});
        pollfd stop = {.fd = stop_event_.get(), .events = POLLIN, .revents = 0};
        poll(&stop, 1, kRetryAcceptMs);
        return;
      }
      continue;  // accept(2): what went wrong with that one connection
    }
    if (!connections_->Admit(connection.get(), absl::StrCat("ip:", NameOf(address, size).host))) {
      continue;
    }
    const int on = 1;
    setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    accept_(std::move(connection));
  }
}

}  // namespace ocid
