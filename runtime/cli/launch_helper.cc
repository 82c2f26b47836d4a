// The launch helper: see launch_protocol.h. Its standard input is the socket to ocirun, and its
// standard error is where hooks write; descriptors from 3 on that ocirun preserves are inherited.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/raw_syscall.h"
#include "runtime/base/unique_fd.h"
#include "runtime/cli/fd_message.h"
#include "runtime/cli/launch_protocol.h"
#include "runtime/launch/launcher.h"

namespace ocid {
namespace {

constexpr int kSocket = STDIN_FILENO;

int Answer(const LaunchReport& report, const int* fds, size_t count) {
  return SendWithFds(kSocket, &report, sizeof(report), fds, count) == 0 ? 0 : 1;
}

int Refuse(uint32_t place, int error) {
  LaunchReport report;
  report.failure = MakeFailure(place, error);
  return Answer(report, nullptr, 0);
}

// Not where a descriptor to preserve might be expected.
int MoveAbove(int fd, unsigned first) {
  if (fd >= static_cast<int>(first)) return fd;
  const int moved = fcntl(fd, F_DUPFD_CLOEXEC, first);
  close(fd);
  return moved;
}

bool OpenPlan(int fd, PlanView* view) {
  struct stat info = {};
  if (fstat(fd, &info) != 0 || info.st_size <= 0) return false;
  const auto size = static_cast<size_t>(info.st_size);
  void* const bytes = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  return bytes != MAP_FAILED && PlanView::Open(bytes, size, view);
}

int Main() {
  prctl(PR_SET_NAME, "ocirun-init");
  LaunchOrder order;
  int received[kMaxMessageFds];
  size_t count = 0;
  uint64_t made = 0;
  for (;;) {
    if (ReceiveWithFds(kSocket, &order, sizeof(order), received, &count) != 0) return 1;
    if (order.kind == OrderKind::kLaunch) break;
    // What cannot be made here is left to the clone, which has words for it.
    if (raw::Call(SYS_unshare, order.namespaces) == 0) made |= order.namespaces;
  }

  int named[kOrderFdCount];
  size_t used = 0;
  for (uint32_t i = 0; i < kOrderFdCount; ++i) {
    const bool present = (order.present >> i & 1) != 0 && used < count;
    named[i] = present ? MoveAbove(received[used++], 3 + order.preserve) : -1;
  }
  int procs[kMaxCgroupProcs];
  size_t procs_count = 0;
  while (used < count && procs_count < kMaxCgroupProcs) {
    procs[procs_count++] = MoveAbove(received[used++], 3 + order.preserve);
  }
  if (procs_count != order.cgroup_procs_count) return Refuse(kFailedDescriptors, EPROTO);
  PlanView plan;
  if (!OpenPlan(named[kOrderPlan], &plan)) return Refuse(kFailedPlan, EINVAL);

  LaunchFds fds;
  fds.standard_input = BorrowedFd(named[kOrderInput]);
  fds.standard_output = BorrowedFd(named[kOrderOutput]);
  fds.standard_error = BorrowedFd(named[kOrderError]);
  fds.cgroup = BorrowedFd(named[kOrderCgroup]);
  fds.cgroup_procs = procs;
  fds.cgroup_procs_count = procs_count;
  fds.join = BorrowedFd(named[kOrderJoin]);
  fds.made_namespaces = made;
  fds.preserve = order.preserve;
  fds.hook_output = BorrowedFd(STDERR_FILENO);
  fds.gate = BorrowedFd(named[kOrderGate]);

  Launched launched;
  LaunchReport report;
  report.failure = Launch(plan, fds, {}, &launched);
  if (!report.failure.ok()) return Answer(report, nullptr, 0);
  report.pid = launched.pid;
  const int offered[kReportFdCount] = {launched.pidfd.get(), launched.console.get(),
                                       launched.status.get()};
  int sent[kReportFdCount];
  size_t sent_count = 0;
  for (uint32_t i = 0; i < kReportFdCount; ++i) {
    if (offered[i] < 0) continue;
    report.present |= 1u << i;
    sent[sent_count++] = offered[i];
  }
  return Answer(report, sent, sent_count);
}

}  // namespace
}  // namespace ocid

int main() { return ocid::Main(); }
