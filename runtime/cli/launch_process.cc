#include "runtime/cli/launch_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <string_view>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/cli/fd_message.h"
#include "runtime/cli/launch_protocol.h"

// The helper's program, put into this one by the linker (BUILD.bazel).
extern "C" const char ocid_launch_helper_begin[];
extern "C" const char ocid_launch_helper_end[];

namespace ocid {
namespace {

// linux/memfd.h since 6.3; before it, every memfd may be executed.
constexpr unsigned kMemfdExec = 0x0010;

absl::StatusOr<UniqueFd> MakeMemfd(const char* name, std::string_view bytes, unsigned flags) {
  UniqueFd fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | flags));
  if (!fd.valid() && errno == EINVAL && flags != 0) {
    fd.reset(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  }
  if (!fd.valid()) return absl::ErrnoToStatus(errno, "memfd_create");
  while (!bytes.empty()) {
    const ssize_t size = write(fd.get(), bytes.data(), bytes.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return absl::ErrnoToStatus(errno, absl::StrCat("write memfd ", name));
    bytes.remove_prefix(static_cast<size_t>(size));
  }
  constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  if (fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("seal memfd ", name));
  }
  return fd;
}

absl::StatusOr<pid_t> SpawnHelper(BorrowedFd socket) {
  const std::string_view program(
      ocid_launch_helper_begin,
      static_cast<size_t>(ocid_launch_helper_end - ocid_launch_helper_begin));
  const absl::StatusOr<UniqueFd> written = MakeMemfd("ocirun-init", program, kMemfdExec);
  if (!written.ok()) return written.status();
  // A descriptor that is open for writing would make execve fail with ETXTBSY.
  const UniqueFd readable(
      open(absl::StrCat("/proc/self/fd/", written->get()).c_str(), O_RDONLY | O_CLOEXEC));
  if (!readable.valid()) return absl::ErrnoToStatus(errno, "reopen a memfd");

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const absl::Cleanup destroy = [&] { posix_spawn_file_actions_destroy(&actions); };
  posix_spawn_file_actions_adddup2(&actions, socket.get(), STDIN_FILENO);
  const std::string path = absl::StrCat("/proc/self/fd/", readable.get());
  char* const arguments[] = {const_cast<char*>("ocirun-init"), nullptr};
  char* const environment[] = {nullptr};
  pid_t pid = -1;
  const int error = posix_spawn(&pid, path.c_str(), &actions, nullptr, arguments, environment);
  if (error != 0) return absl::ErrnoToStatus(error, "spawn the launch helper");
  return pid;
}

absl::Status SendOrder(BorrowedFd socket, BorrowedFd plan, const LaunchSettings& settings) {
  LaunchOrder order;
  const BorrowedFd named[kOrderFdCount] = {plan,
                                           settings.standard_input,
                                           settings.standard_output,
                                           settings.standard_error,
                                           settings.cgroup,
                                           settings.join,
                                           settings.gate};
  std::vector<int> fds;
  for (uint32_t i = 0; i < kOrderFdCount; ++i) {
    if (!named[i].valid()) continue;
    order.present |= 1u << i;
    fds.push_back(named[i].get());
  }
  for (const BorrowedFd procs : settings.cgroup_procs) fds.push_back(procs.get());
  order.cgroup_procs_count = static_cast<uint32_t>(settings.cgroup_procs.size());
  order.preserve = settings.preserve;
  const int error = SendWithFds(socket.get(), &order, sizeof(order), fds.data(), fds.size());
  if (error != 0) return absl::ErrnoToStatus(error, "send the launch order");
  return absl::OkStatus();
}

}  // namespace

absl::Status LaunchError(const PlanView& plan, const FailureRecord& failure) {
  const std::string_view reason =
      IsMissingExecutable(plan, failure) ? "EXECUTABLE_NOT_FOUND" : "LAUNCH_FAILED";
  std::string text = DescribeFailure(plan, failure);
  const std::string source = FailureSource(plan, failure);
  if (!source.empty()) absl::StrAppend(&text, " [", source, "]");
  return MakeError(absl::StatusCode::kFailedPrecondition, reason, text);
}

absl::StatusOr<Launched> LaunchProcess(const LaunchPlan& plan, const LaunchSettings& settings) {
  const absl::StatusOr<UniqueFd> plan_fd = MakeMemfd("plan", plan.bytes(), 0);
  if (!plan_fd.ok()) return plan_fd.status();
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return absl::ErrnoToStatus(errno, "socketpair");
  }
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  if (settings.adopt) prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  const absl::StatusOr<pid_t> helper = SpawnHelper(theirs);
  if (!helper.ok()) return helper.status();
  theirs.reset();
  const absl::Status sent = SendOrder(ours, *plan_fd, settings);

  LaunchReport report;
  int fds[kMaxMessageFds];
  size_t count = 0;
  int error = 0;
  if (sent.ok()) error = ReceiveWithFds(ours.get(), &report, sizeof(report), fds, &count);
  Launched launched;
  UniqueFd* const named[kReportFdCount] = {&launched.pidfd, &launched.console, &launched.status};
  size_t used = 0;
  for (uint32_t i = 0; i < kReportFdCount; ++i) {
    if ((report.present >> i & 1) != 0 && used < count) named[i]->reset(fds[used++]);
  }
  // When the helper is reaped its child has been handed on.
  int status = 0;
  while (waitpid(*helper, &status, 0) < 0 && errno == EINTR) {
  }
  if (!sent.ok()) return sent;
  if (error != 0) {
    return absl::ErrnoToStatus(error, absl::StrCat("launch helper: no report, status ", status));
  }
  if (!report.failure.ok()) return LaunchError(plan.view(), report.failure);
  launched.pid = report.pid;
  launched.container = report.pid;
  return launched;
}

absl::Status WaitUntilExecuted(const PlanView& plan, Launched* launched) {
  for (;;) {
    FailureRecord failure;
    switch (ReadStatus(plan, launched, &failure)) {
      case LaunchStatus::kExecuted:
        return absl::OkStatus();
      case LaunchStatus::kFailed:
        return LaunchError(plan, failure);
      case LaunchStatus::kPending: {
        pollfd item = {launched->status.get(), POLLIN, 0};
        poll(&item, 1, -1);
      }
    }
  }
}

}  // namespace ocid
