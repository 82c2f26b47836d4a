#include "runtime/cli/notify_socket.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "runtime/oci/spec_edit.h"

namespace ocid {
namespace {

constexpr char kFolder[] = "notify";
constexpr char kSocket[] = "notify/notify";

std::string HostSocket() {
  const char* const path = getenv("NOTIFY_SOCKET");
  return path != nullptr && (path[0] == '/' || path[0] == '@') ? path : "";
}

bool MakeAddress(const std::string& path, sockaddr_un& address, socklen_t& size) {
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return false;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  // '@' stands for the 0 byte of a name that is in no file system (unix(7)).
  if (path[0] == '@') {
    address.sun_path[0] = '\0';
  } else {
    ++size;
  }
  return true;
}

void Send(const std::string& path, const std::string& text) {
  sockaddr_un address = {};
  socklen_t size = 0;
  if (!MakeAddress(path, address, size)) return;
  const UniqueFd sender(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  // A manager that does not listen is no reason to fail.
  sendto(sender.get(), text.data(), text.size(), MSG_NOSIGNAL,
         reinterpret_cast<const sockaddr*>(&address), size);
}

bool SaysReady(std::string_view text) {
  constexpr std::string_view kReady = "READY=1";
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (text.substr(begin, end - begin) == kReady) return true;
    begin = end + 1;
  }
  return false;
}

}  // namespace

absl::Status AddNotifySocket(const StateDirectory& state, OciSpec& spec) {
  const std::string host = HostSocket();
  // A name that is in no file system has no folder to mount.
  if (host.empty() || host[0] != '/' || !spec.json().contains("process")) return absl::OkStatus();
  const std::string folder = absl::StrCat(state.path(), "/", kFolder);
  if (mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
    return absl::ErrnoToStatus(errno, absl::StrCat("make directory ", folder));
  }
  const absl::Status set = SetEnv("NOTIFY_SOCKET", host + "/notify", spec.json());
  if (!set.ok()) return set;
  return PutMount({{"destination", host},
                   {"type", "bind"},
                   {"source", folder},
                   {"options", {"bind", "nosuid", "noexec", "nodev"}}},
                  spec.json());
}

absl::StatusOr<NotifyProxy> NotifyProxy::Open(const StateDirectory& state) {
  NotifyProxy proxy;
  proxy.host_ = HostSocket();
  const std::string path = absl::StrCat(state.path(), "/", kSocket);
  if (proxy.host_.empty() || access(absl::StrCat(state.path(), "/", kFolder).c_str(), F_OK) != 0) {
    return proxy;
  }
  sockaddr_un address = {};
  socklen_t size = 0;
  if (!MakeAddress(path, address, size)) return absl::InvalidArgumentError("notify: path too long");
  proxy.socket_.reset(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  unlink(path.c_str());
  if (!proxy.socket_.valid() ||
      bind(proxy.socket_.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      chmod(path.c_str(), 0777) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("notify socket ", path));
  }
  return proxy;
}

bool NotifyProxy::Forward(pid_t pid) {
  char text[4096];
  for (;;) {
    const ssize_t size = recv(socket_.get(), text, sizeof(text), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return false;
    if (!SaysReady({text, static_cast<size_t>(size)})) continue;
    Send(host_, absl::StrCat("READY=1\nMAINPID=", pid));
    socket_.reset();
    return true;
  }
}

void NotifyProxy::WaitUntilReady(pid_t pid, BorrowedFd pidfd) {
  while (active()) {
    pollfd items[2] = {{socket_.get(), POLLIN, 0}, {pidfd.get(), POLLIN, 0}};
    if (poll(items, 2, -1) < 0 && errno != EINTR) return;
    if (Forward(pid) || items[1].revents != 0) return;
  }
}

}  // namespace ocid
