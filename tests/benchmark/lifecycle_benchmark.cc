// Times a container's life through the daemon beside the floor and beside other runtimes.
//
//   tests/run --benchmark
//
// Where systemd runs all of them have it make their cgroups: tests/run does this a second time in
// tests/testing/with-systemd-ns.
//
// Every round times each subject once, in another order, so that a noisy moment of the machine hits all
// of them alike, and what one leaves behind each of the others; the ratio of the medians is the number to
// quote.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "tests/benchmark/daemon_under_test.h"
#include "tests/benchmark/floor.h"

namespace ocid {
namespace {

constexpr int kRounds = 200;
constexpr int kWarmUps = 5;
constexpr int kSupervisors = 20;

struct Subject {
  std::string name;
  std::function<void(int round)> run;
  std::vector<double> milliseconds = {};
};

double Percentile(std::vector<double> values, double fraction) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(fraction * static_cast<double>(values.size() - 1))];
}

// Runs every subject once a round, each round in another order, the same in every run of the benchmark.
// What one leaves for systemd to clean up is on the time of the next; and the kernel makes who moves a
// process between cgroups wait for all CPUs, 5 to 12 ms, unless somebody did so shortly before. With one
// order for all rounds these would always fall to the same subjects.
void Measure(std::vector<Subject>& subjects) {
  std::mt19937 random(1);
  std::vector<size_t> order(subjects.size());
  std::iota(order.begin(), order.end(), size_t{0});
  for (int round = -kWarmUps; round < kRounds; ++round) {
    std::shuffle(order.begin(), order.end(), random);
    for (const size_t index : order) {
      Subject& subject = subjects[index];
      const auto begin = std::chrono::steady_clock::now();
      subject.run(round + kWarmUps);
      const std::chrono::duration<double, std::milli> taken =
          std::chrono::steady_clock::now() - begin;
      if (round >= 0) subject.milliseconds.push_back(taken.count());
    }
  }
}

// Ratios are to the first subject's median.
void Print(const char* title, const std::vector<Subject>& subjects) {
  std::printf("\n%-44s %9s %9s %9s %9s\n", title, "p50 ms", "p90 ms", "p99 ms", "x floor");
  const double floor = Percentile(subjects.front().milliseconds, 0.5);
  for (const Subject& subject : subjects) {
    const double median = Percentile(subject.milliseconds, 0.5);
    std::printf("%-44s %9.2f %9.2f %9.2f %9.2f\n", subject.name.c_str(), median,
                Percentile(subject.milliseconds, 0.9), Percentile(subject.milliseconds, 0.99),
                median / floor);
  }
}

// True if the program ran and exited with 0. Its output is dropped.
bool RunProgram(const std::vector<std::string>& args) {
  std::vector<char*> argv;
  for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (int fd = 0; fd <= 2; ++fd) {
    posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
  }
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  int status = -1;
  return error == 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

// A runtime from the command line, if it is installed and runs the bundle on this host at all.
void AddRuntime(const std::string& name, const std::string& program, const std::string& bundle,
                std::vector<Subject>& subjects) {
  const auto run = [program, bundle](const std::string& id) {
    if (!DaemonUnderTest::UnderSystemd()) return RunProgram({program, "run", "--bundle", bundle, id});
    return RunProgram({program, "--systemd-cgroup", "run", "--bundle", bundle, id});
  };
  if (!run("ocid-benchmark-" + name + "-probe")) {
    std::printf("%s: not measured: not installed, or it refuses this host\n", name.c_str());
    return;
  }
  const char* const flag = DaemonUnderTest::UnderSystemd() ? " --systemd-cgroup" : "";
  subjects.push_back({name + flag + " run", [name, run](int round) {
                        if (!run("ocid-benchmark-" + name + "-" + std::to_string(round))) {
                          Fail(name + " run failed");
                        }
                      }});
}

void MeasureLifecycle(DaemonUnderTest& daemon) {
  std::vector<Subject> subjects;
  subjects.push_back({"floor: clone, pivot_root, /proc, exec, wait", [&](int) {
                        if (!RunFloor(daemon.rootfs())) {
                          Fail("floor: " + std::string(strerror(errno)));
                        }
                      }});
  subjects.push_back({"ocid: create, start, wait, delete over gRPC",
                      [&](int round) { daemon.LiveOnce("life-" + std::to_string(round)); }});
  AddRuntime("ocirun", "runtime/cli/ocirun", daemon.bundle(), subjects);
  // Elsewhere it needs a bed: MakeCgroup2Bed.
  if (DaemonUnderTest::UnderSystemd()) AddRuntime("crun", "crun", daemon.bundle(), subjects);
  AddRuntime("runc", "runc", daemon.bundle(), subjects);
  Measure(subjects);
  Print("life of /bin/true", subjects);
}

// cgroup2 alone at /sys/fs/cgroup, in a mount namespace of the caller's own: crun refuses a host that
// has v1 controllers too.
bool MakeCgroup2Bed() {
  return unshare(CLONE_NEWNS) == 0 &&
         mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         umount2("/sys/fs/cgroup", MNT_DETACH) == 0 &&
         mount("none", "/sys/fs/cgroup", "cgroup2", 0, nullptr) == 0;
}

void MeasureRuntimes(const DaemonUnderTest& daemon) {
  if (!MakeCgroup2Bed()) Fail("a mount namespace with cgroup2 alone: " + std::string(strerror(errno)));
  for (const bool filtered : {false, true}) {
    const std::string& bundle = filtered ? daemon.seccomp_bundle() : daemon.bundle();
    std::vector<Subject> subjects;
    AddRuntime("ocirun", "runtime/cli/ocirun", bundle, subjects);
    AddRuntime("crun", "crun", bundle, subjects);
    AddRuntime("runc", "runc", bundle, subjects);
    if (subjects.empty()) return;
    Measure(subjects);
    Print(filtered ? "run of /bin/true, Docker's seccomp, x ocirun" : "run of /bin/true, x ocirun",
          subjects);
  }
}

// In a process of its own, for the namespace.
void MeasureRuntimesApart(const DaemonUnderTest& daemon) {
  std::fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) {
    MeasureRuntimes(daemon);
    std::fflush(stdout);
    _exit(0);  // the daemon is the parent's to stop
  }
  int status = -1;
  if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) Fail("measuring the runtimes");
}

void MeasureExec(DaemonUnderTest& daemon) {
  const pid_t pid = daemon.StartSleeper("exec-target");
  std::vector<Subject> subjects;
  subjects.push_back({"floor: setns, fork, exec, wait", [&](int) {
                        if (!RunExecFloor(pid)) Fail("exec floor: " + std::string(strerror(errno)));
                      }});
  subjects.push_back(
      {"ocid: exec create, start, wait over gRPC", [&](int) { daemon.ExecOnce("exec-target"); }});
  subjects.push_back({"ocid: one unary call (GetVersion)", [&](int) { daemon.GetVersionOnce(); }});
  Measure(subjects);
  Print("exec of /bin/true in a running container", subjects);
  daemon.DeleteForced("exec-target");
}

void MeasureSupervisors(DaemonUnderTest& daemon) {
  std::vector<std::string> ids;
  for (int i = 0; i < kSupervisors; ++i) {
    ids.push_back("resident-" + std::to_string(i));
    daemon.StartSleeper(ids.back());
    if (i == 0) {
      std::printf("\nsupervisor's memory, one container: PSS %ld KiB\n",
                  daemon.SupervisorPssKib(ids[0]));
    }
  }
  long total = 0;
  for (const std::string& id : ids) total += daemon.SupervisorPssKib(id);
  std::printf("supervisor's memory, %d containers: PSS %ld KiB each\n", kSupervisors,
              total / kSupervisors);
  for (const std::string& id : ids) daemon.DeleteForced(id);
}

int Main() {
  DaemonUnderTest daemon;
  std::printf("%d rounds after %d to warm up, every subject once a round\n", kRounds, kWarmUps);
  MeasureLifecycle(daemon);
  if (DaemonUnderTest::UnderSystemd()) return 0;  // the rest has nothing to do with it
  MeasureRuntimesApart(daemon);
  MeasureExec(daemon);
  MeasureSupervisors(daemon);
  return 0;
}

}  // namespace
}  // namespace ocid

int main() { return ocid::Main(); }
