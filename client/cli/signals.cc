#include "client/cli/signals.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace ocid::cli {
namespace {

sigset_t Relayed() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH}) {
    sigaddset(&set, signal);
  }
  return set;
}

}  // namespace

std::string SignalName(int signal) {
  if (const char* name = sigabbrev_np(signal); name != nullptr) return absl::StrCat("SIG", name);
  if (signal >= SIGRTMIN && signal <= SIGRTMAX) return absl::StrCat("SIGRTMIN+", signal - SIGRTMIN);
  return absl::StrCat(signal);
}

void SignalRelay::Block() {
  const sigset_t set = Relayed();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

absl::StatusOr<std::unique_ptr<SignalRelay>> SignalRelay::Start() {
  const sigset_t set = Relayed();
  UniqueFd signals(signalfd(-1, &set, SFD_CLOEXEC));
  if (!signals.valid()) return absl::ErrnoToStatus(errno, "signalfd");
  UniqueFd stop(eventfd(0, EFD_CLOEXEC));
  if (!stop.valid()) return absl::ErrnoToStatus(errno, "eventfd");
  return std::unique_ptr<SignalRelay>(new SignalRelay(std::move(signals), std::move(stop)));
}

SignalRelay::SignalRelay(UniqueFd signals, UniqueFd stop)
    : signals_(std::move(signals)), stop_(std::move(stop)), thread_([this] { Loop(); }) {}

SignalRelay::~SignalRelay() {
  const uint64_t one = 1;
  // An eventfd takes the first increment always.
  [[maybe_unused]] const ssize_t written = ::write(stop_.get(), &one, sizeof(one));
  thread_.join();
}

void SignalRelay::SetHandler(std::function<void(int)> handler) {
  const MutexLock lock(mutex_);
  handler_ = std::move(handler);
}

void SignalRelay::Deliver(int signal) {
  // Held over the call: whoever takes the handler away may then destroy what it refers to. The
  // handler makes one call to the daemon and takes no lock of ours.
  const MutexLock lock(mutex_);
  if (handler_) {
    handler_(signal);
  } else if (signal != SIGWINCH) {
    ::_exit(128 + signal);
  }
}

void SignalRelay::Loop() {
  for (;;) {
    pollfd fds[] = {{.fd = stop_.get(), .events = POLLIN, .revents = 0},
                    {.fd = signals_.get(), .events = POLLIN, .revents = 0}};
    if (::poll(fds, 2, -1) < 0 && errno != EINTR) return;
    if (fds[0].revents != 0) return;
    if (fds[1].revents == 0) continue;
    signalfd_siginfo info;
    if (::read(signals_.get(), &info, sizeof(info)) == sizeof(info)) {
      Deliver(static_cast<int>(info.ssi_signo));
    }
  }
}

}  // namespace ocid::cli
