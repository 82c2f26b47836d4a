#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/base/sealed_memfd.h"
#include "runtime/host/control_channel.h"
#include "runtime/host/reactor.h"
#include "runtime/host/supervisor_client.h"
#include "runtime/host/supervisor_handle.h"
#include "runtime/host/supervisor_process.h"

namespace ocid {
namespace {

// How long a supervisor that was killed may take to be gone.
constexpr absl::Duration kKillGrace = absl::Seconds(5);
constexpr int kBacklog = 4;

// Through the directory's descriptor: a socket's path holds 107 bytes, and the real one may be
// longer. Source: unix(7).
sockaddr_un SocketAddress(BorrowedFd state_dir) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string path =
      absl::StrCat("/proc/self/fd/", state_dir.get(), "/",
                   absl::string_view(kSupervisorSocketName.data(), kSupervisorSocketName.size()));
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

absl::StatusOr<UniqueFd> MakeSocket() {
  UniqueFd socket_fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket_fd.valid()) return absl::ErrnoToStatus(errno, "create a control socket");
  return socket_fd;
}

absl::StatusOr<UniqueFd> Listen(BorrowedFd state_dir) {
  absl::StatusOr<UniqueFd> listener = MakeSocket();
  if (!listener.ok()) return listener.status();
  const sockaddr_un address = SocketAddress(state_dir);
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  int result = bind(listener->get(), generic, sizeof(address));
  if (result != 0 && errno == EADDRINUSE) {
    // Of an earlier supervisor of this container.
    unlinkat(state_dir.get(), kSupervisorSocketName.data(), 0);
    result = bind(listener->get(), generic, sizeof(address));
  }
  if (result != 0) return absl::ErrnoToStatus(errno, "bind the supervisor's socket");
  if (listen(listener->get(), kBacklog) != 0) {
    return absl::ErrnoToStatus(errno, "listen on the supervisor's socket");
  }
  return listener;
}

absl::StatusOr<UniqueFd> Connect(BorrowedFd state_dir) {
  absl::StatusOr<UniqueFd> connection = MakeSocket();
  if (!connection.ok()) return connection.status();
  const sockaddr_un address = SocketAddress(state_dir);
  if (connect(connection->get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) ==
      0) {
    return connection;
  }
  const bool nobody = errno == ENOENT || errno == ECONNREFUSED;
  if (!nobody) return absl::ErrnoToStatus(errno, "connect to the container's supervisor");
  return MakeError(absl::StatusCode::kUnavailable, kReasonSupervisorGone,
                   "no supervisor answers for the container");
}

absl::StatusOr<std::string> DefaultSupervisorPath() {
  char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
  if (size < 0) return absl::ErrnoToStatus(errno, "read /proc/self/exe");
  const std::string self(path, static_cast<size_t>(size));
  return self.substr(0, self.rfind('/') + 1) + "ocid-supervisor";
}

class Host : public SupervisorHost {
 public:
  Host(std::shared_ptr<Reactor> reactor, UniqueFd program, UniqueFd null)
      : reactor_(std::move(reactor)), program_(std::move(program)), null_(std::move(null)) {}
  ~Host() override { reactor_->Stop(); }

  absl::StatusOr<std::shared_ptr<SupervisorHandle>> Create(const CreateRequest& request,
                                                           SupervisorCallbacks callbacks,
                                                           absl::Duration timeout) override;
  absl::StatusOr<std::shared_ptr<SupervisorHandle>> Reattach(BorrowedFd state_dir,
                                                             SupervisorCallbacks callbacks,
                                                             absl::Duration timeout,
                                                             SupervisorStatus* status) override;

 private:
  const std::shared_ptr<Reactor> reactor_;
  const UniqueFd program_;
  const UniqueFd null_;
};

absl::StatusOr<std::shared_ptr<SupervisorHandle>> Host::Create(const CreateRequest& request,
                                                               SupervisorCallbacks callbacks,
                                                               absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  const absl::StatusOr<UniqueFd> plan = SealBytes("ocid-plan", request.plan);
  if (!plan.ok()) return plan.status();
  const absl::StatusOr<UniqueFd> listener = Listen(request.state_dir);
  if (!listener.ok()) return listener.status();
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return absl::ErrnoToStatus(errno, "create a control socket");
  }
  UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  absl::StatusOr<std::shared_ptr<SupervisorProcess>> process =
      SupervisorProcess::Spawn(reactor_, request.id,
                               {.program = program_,
                                .null = null_,
                                .control = theirs,
                                .listener = *listener,
                                .container_dir = request.container_dir},
                               request.supervisor_cgroup2_dir);
  if (!process.ok()) return process.status();
  theirs.reset();  // so that its end is heard of
  if (request.on_spawned) {
    request.on_spawned([spawned = *process] { static_cast<void>(spawned->Kill()); });
  }
  auto kill = absl::MakeCleanup([&] {
    const absl::Status killed = (*process)->Kill();
    if (killed.ok()) (*process)->WaitGone(absl::Now() + kKillGrace);
  });

  absl::StatusOr<std::shared_ptr<ControlChannel>> channel =
      ControlChannel::Open(reactor_, std::move(ours),
                           SupervisorClient::ToEvents(std::move(callbacks)), /*reattached=*/false);
  if (!channel.ok()) return channel.status();
  const absl::StatusOr<ProcessIdentity> init =
      SupervisorClient::Create(**channel, request, *plan, deadline);
  if (!init.ok()) {
    (*channel)->Close();
    return init.status();
  }
  std::move(kill).Cancel();
  return std::make_shared<SupervisorClient>(*std::move(channel), *std::move(process), *init);
}

absl::StatusOr<std::shared_ptr<SupervisorHandle>> Host::Reattach(BorrowedFd state_dir,
                                                                 SupervisorCallbacks callbacks,
                                                                 absl::Duration timeout,
                                                                 SupervisorStatus* status) {
  const absl::Time deadline = absl::Now() + timeout;
  absl::StatusOr<UniqueFd> connection = Connect(state_dir);
  if (!connection.ok()) return connection.status();
  absl::StatusOr<std::shared_ptr<ControlChannel>> channel =
      ControlChannel::Open(reactor_, *std::move(connection),
                           SupervisorClient::ToEvents(std::move(callbacks)), /*reattached=*/true);
  if (!channel.ok()) return channel.status();
  auto close = absl::MakeCleanup([&] { (*channel)->Close(); });
  UniqueFd pidfd;
  absl::StatusOr<SupervisorStatus> found =
      SupervisorClient::QueryStatus(**channel, &pidfd, deadline);
  if (!found.ok()) return found.status();
  if (!pidfd.valid()) return absl::DataLossError("supervisor: status without a pidfd");
  absl::StatusOr<std::shared_ptr<SupervisorProcess>> process =
      SupervisorProcess::Adopt(reactor_, found->supervisor_pid, std::move(pidfd));
  if (!process.ok()) return process.status();
  std::move(close).Cancel();
  const ProcessIdentity init = found->init.process;
  if (status != nullptr) *status = *std::move(found);
  return std::make_shared<SupervisorClient>(*std::move(channel), *std::move(process), init);
}

}  // namespace

absl::StatusOr<std::unique_ptr<SupervisorHost>> SupervisorHost::Open(const Options& options) {
  std::string path = options.supervisor_path;
  if (path.empty()) {
    absl::StatusOr<std::string> beside = DefaultSupervisorPath();
    if (!beside.ok()) return beside.status();
    path = *std::move(beside);
  }
  absl::StatusOr<UniqueFd> program = SealProgramFile("ocid-supervisor", path);
  if (!program.ok()) return program.status();
  UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null.valid()) return absl::ErrnoToStatus(errno, "open /dev/null");
  absl::StatusOr<std::shared_ptr<Reactor>> reactor = Reactor::Start();
  if (!reactor.ok()) return reactor.status();
  return std::make_unique<Host>(*std::move(reactor), *std::move(program), std::move(null));
}

}  // namespace ocid
