// An ocid of the benchmark's own, in a folder that goes with it, and the calls that are timed.
//
// Failures end the benchmark: a number from a run that did not work is worth nothing.
// Thread-compatible. Calls block.
#ifndef OCID_TESTS_BENCHMARK_DAEMON_UNDER_TEST_H_
#define OCID_TESTS_BENCHMARK_DAEMON_UNDER_TEST_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

namespace ocid {

class DaemonUnderTest {
 public:
  // Makes the folder, a busybox root file system and a bundle of /bin/true, and starts the daemon
  // from this program's runfiles, with these flags more.
  explicit DaemonUnderTest(const std::vector<std::string>& flags = {});
  ~DaemonUnderTest();

  // Whether systemd runs here: the daemon then has it make the cgroups.
  static bool UnderSystemd();

  const std::string& rootfs() const { return rootfs_; }
  const std::string& bundle() const { return bundle_; }
  // The same with Docker's default seccomp profile, some 350 system calls.
  const std::string& seccomp_bundle() const { return seccomp_bundle_; }

  // create of the bundle's /bin/true; DeleteForced takes it away.
  void CreateOnce(const std::string& id);

  // create, start, wait and delete of the bundle's /bin/true.
  void LiveOnce(const std::string& id);

  // A container that sleeps; the pid of its main process.
  pid_t StartSleeper(const std::string& id);
  void DeleteForced(const std::string& id);

  // Create (and start), then wait for, an exec of /bin/true.
  void ExecOnce(const std::string& container_id);

  void GetVersionOnce();

  // Proportional set size, in KiB, of the supervisor of a container.
  long SupervisorPssKib(const std::string& id);

 private:
  struct Stubs;

  std::string CgroupParent() const;

  std::string folder_;
  std::string state_;
  std::string rootfs_;
  std::string bundle_;
  std::string seccomp_bundle_;
  std::string sleeper_bundle_;
  pid_t daemon_ = -1;
  int containers_ = 0;  // so far
  std::unique_ptr<Stubs> stubs_;
};

// Prints the cause and ends the program with 1.
[[noreturn]] void Fail(const std::string& cause);

}  // namespace ocid

#endif  // OCID_TESTS_BENCHMARK_DAEMON_UNDER_TEST_H_
