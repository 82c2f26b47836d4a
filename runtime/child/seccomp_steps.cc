#include "runtime/child/seccomp_steps.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <time.h>

#include "runtime/child/setup_protocol.h"

namespace ocid {
namespace {

constexpr long kPollNanoseconds = 50000;
constexpr size_t kStackBytes = 64 << 10;

// Between the process that loads the filter and the thread that hands the listener over. By then the
// filter may stop or kill the process for any system call at all, so that it makes none: it looks at
// memory. The thread was made before and has no filter.
struct Handover {
  static constexpr int kPending = INT32_MIN;

  int socket = -1;
  int listener = kPending;  // what seccomp(2) returned
  int outcome = kPending;   // 0 or -errno

  void Set(int Handover::* member, int value) {
    __atomic_store_n(&(this->*member), value, __ATOMIC_RELEASE);
  }
  int Get(int Handover::* member) const { return __atomic_load_n(&(this->*member), __ATOMIC_ACQUIRE); }
};

int HandOver(int socket, int listener) {
  const long sent = SendMessage(socket, {MessageKind::kListener, 0, {}}, listener);
  if (sent < 0) return static_cast<int>(sent);
  SetupMessage answer;
  int fd = -1;
  const long received = ReceiveMessage(socket, &answer, &fd);
  raw::Close(fd);
  if (received < 0) return static_cast<int>(received);
  return received == 1 && answer.kind == MessageKind::kGo ? 0 : -ECONNRESET;
}

void RunHandover(void* argument) {
  auto* handover = static_cast<Handover*>(argument);
  int listener = Handover::kPending;
  while ((listener = handover->Get(&Handover::listener)) == Handover::kPending) {
    const timespec pause = {0, kPollNanoseconds};
    raw::Call(SYS_nanosleep, &pause, nullptr);
  }
  if (listener >= 0) handover->Set(&Handover::outcome, HandOver(handover->socket, listener));
}

long StartHandover(Handover* handover) {
  const long stack = raw::Call(SYS_mmap, nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack < 0 && stack > -4096) return stack;
  constexpr unsigned long kThread =
      CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
  return raw::InvokeThread(kThread, reinterpret_cast<char*>(stack) + kStackBytes, &RunHandover,
                           handover);
}

}  // namespace

Outcome LoadSeccomp(const StepMachine& machine, const PlanStep& step) {
  const PlanView& plan = machine.plan;
  const size_t count = step.ref[0].size / sizeof(sock_filter);
  sock_fprog program = {};
  program.len = static_cast<unsigned short>(count);
  // The kernel reads and does not write.
  program.filter = reinterpret_cast<sock_filter*>(const_cast<char*>(plan.data(step.ref[0])));
  uint64_t flags = step.number[0];
  if (step.number[1] == 0) {
    return From(raw::Call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
  }
  Handover handover;
  handover.socket = machine.socket;
  const long thread = StartHandover(&handover);
  if (thread < 0) return From(thread, FailureDetail::kListener);
  // The one thread that there is besides must stay without the filter.
  flags = (flags & ~uint64_t{SECCOMP_FILTER_FLAG_TSYNC}) | SECCOMP_FILTER_FLAG_NEW_LISTENER;
  const long listener = raw::Call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  handover.Set(&Handover::listener, static_cast<int>(listener));
  if (listener < 0) return From(listener);
  int outcome = Handover::kPending;
  while ((outcome = handover.Get(&Handover::outcome)) == Handover::kPending) {
#if defined(__x86_64__)
    asm volatile("pause");
#else
    asm volatile("yield");
#endif
  }
  return From(outcome, FailureDetail::kListener);
}

}  // namespace ocid
