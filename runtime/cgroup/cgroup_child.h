// CgroupChild: a process in a cgroup, for the tests of this folder.
#ifndef OCID_RUNTIME_CGROUP_CGROUP_CHILD_H_
#define OCID_RUNTIME_CGROUP_CGROUP_CHILD_H_

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/base/unique_fd.h"
#include "runtime/cgroup/cgroup.h"

namespace ocid {

// A process that is born in the cgroup, as a container's first is: in all of it when the
// constructor returns. The destructor kills and reaps it.
class CgroupChild {
 public:
  CgroupChild(const Cgroup& cgroup, const std::function<int()>& body) {
    const std::vector<BorrowedFd> v1 = cgroup.v1_procs_fds();
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return;
    UniqueFd joined(ends[0]), join(ends[1]);
    clone_args args{};
    args.flags = CLONE_INTO_CGROUP;
    args.exit_signal = SIGCHLD;
    args.cgroup = static_cast<uint64_t>(cgroup.unified_fd().get());
    pid_ = static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof(args)));
    if (pid_ != 0) {
      join.reset();
      char byte = 0;
      EXPECT_EQ(::read(joined.get(), &byte, 1), 1) << "the process did not join its cgroup";
      return;
    }
    for (const BorrowedFd procs : v1) {
      if (::write(procs.get(), "0", 1) != 1) ::_exit(99);
    }
    if (::write(join.get(), "", 1) != 1) ::_exit(99);
    ::_exit(body());
  }
  ~CgroupChild() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    Wait();
  }
  CgroupChild(const CgroupChild&) = delete;
  CgroupChild& operator=(const CgroupChild&) = delete;

  pid_t pid() const { return pid_; }

  // The exit code, or 128 + signal.
  int Wait() {
    if (pid_ <= 0) return status_;
    int raw = 0;
    if (::waitpid(pid_, &raw, 0) == pid_) {
      status_ = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
    }
    pid_ = -1;
    return status_;
  }

 private:
  pid_t pid_ = -1;
  int status_ = -1;
};

// Bodies of such processes; what they give back is the exit code.
inline int SleepForever() {
  while (true) ::pause();
}

inline int TouchMemory(size_t bytes) {
  auto* const memory = static_cast<char*>(
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (memory == MAP_FAILED) return 1;
  ::memset(memory, 1, bytes);
  return 0;
}

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_CGROUP_CHILD_H_
