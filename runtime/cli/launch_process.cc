#include "runtime/cli/launch_process.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cstdio>
#include <new>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/base/sealed_memfd.h"
#include "runtime/cli/fd_message.h"
#include "runtime/cli/launch_protocol.h"

// The helper's program, put into this one by the linker (BUILD.bazel).
extern "C" const char ocid_launch_helper_begin[];
extern "C" const char ocid_launch_helper_end[];

namespace ocid {
namespace {

// For two system calls; a multiple of 16, which the ABI wants the stack aligned to.
constexpr size_t kHelperStackBytes = 8192;

// What the child of Spawn needs, in memory that it shares.
struct alignas(16) HelperStart {
  char path[32];  // /proc/self/fd/N, the program
  int socket;
};

// On a stack of its own in the caller's memory, while the caller runs: system calls only, and none that
// sets errno.
int BecomeHelper(void* argument) {
  const auto& start = *static_cast<const HelperStart*>(argument);
  char name[] = "ocirun-init";
  char* const arguments[] = {name, nullptr};
  char* const environment[] = {nullptr};
  if (raw::Call(SYS_dup3, start.socket, STDIN_FILENO, 0) == STDIN_FILENO) {
    raw::Call(SYS_execve, start.path, arguments, environment);
  }
  for (;;) raw::Call(SYS_exit_group, 127);
}

absl::Status SendOrder(BorrowedFd socket, BorrowedFd plan, const LaunchSettings& settings) {
  LaunchOrder order = {.kind = OrderKind::kLaunch};
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

// As posix_spawn(3), but the caller does not wait until the program runs.
absl::StatusOr<LaunchHelper> LaunchHelper::Spawn() {
  const std::string_view program(
      ocid_launch_helper_begin,
      static_cast<size_t>(ocid_launch_helper_end - ocid_launch_helper_begin));
  const absl::StatusOr<UniqueFd> sealed = SealProgram("ocirun-init", program);
  if (!sealed.ok()) return sealed.status();
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return absl::ErrnoToStatus(errno, "socketpair");
  }
  UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);

  // Not on this stack, which is used for other things before the child has become another program.
  std::unique_ptr<char[]> memory(new char[sizeof(HelperStart) + kHelperStackBytes]);
  auto* const start = new (memory.get()) HelperStart;
  start->socket = theirs.get();
  snprintf(start->path, sizeof(start->path), "/proc/self/fd/%d", sealed->get());
  const pid_t pid = clone(BecomeHelper, memory.get() + sizeof(HelperStart) + kHelperStackBytes,
                          CLONE_VM | SIGCHLD, start);
  if (pid < 0) return absl::ErrnoToStatus(errno, "spawn the launch helper");
  return LaunchHelper(std::move(ours), std::move(memory), pid);
}

LaunchHelper::~LaunchHelper() {
  socket_.reset();
  if (pid_ > 0) Reap();
}

int LaunchHelper::Reap() {
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return status;
}

void LaunchHelper::MakeNamespaces(uint64_t namespaces) {
  const LaunchOrder order = {.kind = OrderKind::kMakeNamespaces, .namespaces = namespaces};
  // If it is gone, Await says so.
  SendWithFds(socket_.get(), &order, sizeof(order), nullptr, 0);
}

absl::Status LaunchHelper::Order(const LaunchPlan& plan, const LaunchSettings& settings) {
  const absl::StatusOr<UniqueFd> plan_fd = SealBytes("plan", plan.bytes());
  if (!plan_fd.ok()) return plan_fd.status();
  if (settings.adopt) prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  return SendOrder(socket_, *plan_fd, settings);
}

absl::StatusOr<Launched> LaunchHelper::Await(const LaunchPlan& plan) {
  LaunchReport report;
  int fds[kMaxMessageFds];
  size_t count = 0;
  const int error = ReceiveWithFds(socket_.get(), &report, sizeof(report), fds, &count);
  Launched launched;
  UniqueFd* const named[kReportFdCount] = {&launched.pidfd, &launched.console, &launched.status};
  size_t used = 0;
  for (uint32_t i = 0; i < kReportFdCount; ++i) {
    if ((report.present >> i & 1) != 0 && used < count) named[i]->reset(fds[used++]);
  }
  // When the helper is reaped its child has been handed on.
  const int status = Reap();
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
