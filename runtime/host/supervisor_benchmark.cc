// What a supervisor costs: time of spawn + create, start, exit, shutdown and exec for /bin/true in
// new namespaces but without mounts, and the memory of one and of twenty idle supervisors.
//
//   bazel run -c opt //runtime/host:supervisor_benchmark [ROUNDS]
//
// Needs root, for the namespaces.
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/mutex.h"
#include "runtime/host/supervisor_handle.h"
#include "runtime/host/test_plan.h"

namespace ocid {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(10);
constexpr uint64_t kNamespaces = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;

class Signalled {
 public:
  void Set() {
    MutexLock lock(mutex_);
    set_ = true;
    changed_.SignalAll();
  }
  void Wait() {
    MutexLock lock(mutex_);
    while (!set_) changed_.Wait(mutex_);
    set_ = false;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool set_ ABSL_GUARDED_BY(mutex_) = false;
};

class Samples {
 public:
  void Add(const std::string& name, absl::Duration value) {
    samples_[name].push_back(absl::ToDoubleMicroseconds(value));
  }
  void Print() {
    std::printf("%-28s %10s %10s %10s  (us)\n", "", "p50", "p90", "p99");
    for (auto& [name, values] : samples_) {
      std::sort(values.begin(), values.end());
      const auto at = [&values = values](double share) {
        return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
      };
      std::printf("%-28s %10.0f %10.0f %10.0f\n", name.c_str(), at(0.5), at(0.9), at(0.99));
    }
  }

 private:
  std::map<std::string, std::vector<double>> samples_;
};

// Of the process's smaps_rollup.
long FieldKib(pid_t pid, const std::string& field) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/smaps_rollup");
  for (std::string word; file >> word;) {
    long kib = 0;
    if (word == field && file >> kib) return kib;
  }
  return -1;
}

void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  exit(1);
}

struct Running {
  std::string path;
  UniqueFd dir;
  Signalled exited;
  Signalled exec_exited;
  std::shared_ptr<SupervisorHandle> handle;
};

std::unique_ptr<Running> Create(SupervisorHost& host, const std::vector<std::string>& arguments) {
  auto running = std::make_unique<Running>();
  running->path = "/tmp/supervisor_benchmark_XXXXXX";
  if (mkdtemp(running->path.data()) == nullptr) Check(absl::InternalError("mkdtemp"));
  running->dir.reset(open(running->path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::string plan = MakeTestPlan({.arguments = arguments, .clone_flags = kNamespaces});
  CreateRequest request;
  request.id = "benchmark";
  request.state_dir = running->dir;
  request.container_dir = running->dir;
  request.plan = plan;
  SupervisorCallbacks callbacks;
  callbacks.on_init_exit = [raw = running.get()](const ExitRecord&) { raw->exited.Set(); };
  callbacks.on_exec_exit = [raw = running.get()](const std::string&, const ExitRecord&) {
    raw->exec_exited.Set();
  };
  auto handle = host.Create(request, std::move(callbacks), kTimeout);
  Check(handle.status());
  running->handle = *std::move(handle);
  return running;
}

void Remove(Running& running) {
  Check(running.handle->Shutdown(kTimeout));
  for (const char* name : {"log", "exit", "supervisor.sock"}) {
    unlinkat(running.dir.get(), name, 0);
  }
  rmdir(running.path.c_str());
}

void MeasureLifecycles(SupervisorHost& host, int rounds, Samples& samples) {
  for (int i = 0; i < rounds; ++i) {
    const absl::Time begin = absl::Now();
    const std::unique_ptr<Running> running = Create(host, {"/bin/true"});
    const absl::Time created = absl::Now();
    Check(running->handle->Start(kTimeout));
    const absl::Time started = absl::Now();
    running->exited.Wait();
    const absl::Time exited = absl::Now();
    Remove(*running);
    const absl::Time end = absl::Now();
    samples.Add("1 spawn+create", created - begin);
    samples.Add("2 start", started - created);
    samples.Add("3 exit", exited - started);
    samples.Add("4 shutdown+remove", end - exited);
    samples.Add("5 spawn+create+start+exit", exited - begin);
    samples.Add("6 all", end - begin);
  }
}

void MeasureExecs(SupervisorHost& host, int rounds, Samples& samples) {
  const std::unique_ptr<Running> running = Create(host, {"/bin/sleep", "1000"});
  Check(running->handle->Start(kTimeout));
  const std::string plan = MakeTestPlan({.arguments = {"/bin/true"}, .join = true});
  ExecRequest request;
  request.exec_id = "exec";
  request.plan = plan;
  const pid_t pid = running->handle->supervisor_pid();
  std::printf("PSS before execs: %ld KiB\n", FieldKib(pid, "Pss:"));
  for (int i = 0; i < rounds; ++i) {
    const absl::Time begin = absl::Now();
    Check(running->handle->Exec(request, kTimeout).status());
    running->exec_exited.Wait();
    samples.Add("7 exec+exit", absl::Now() - begin);
    Check(running->handle->RemoveExec("exec", kTimeout));
  }
  std::printf("PSS after %d execs: %ld KiB\n", rounds, FieldKib(pid, "Pss:"));
  Check(running->handle->Signal(9, kTimeout));
  running->exited.Wait();
  Remove(*running);
}

void MeasureMemory(SupervisorHost& host, int count) {
  std::vector<std::unique_ptr<Running>> all;
  for (int i = 0; i < count; ++i) {
    all.push_back(Create(host, {"/bin/sleep", "1000"}));
    Check(all.back()->handle->Start(kTimeout));
  }
  long pss = 0, rss = 0, own = 0;
  for (const auto& running : all) {
    const pid_t pid = running->handle->supervisor_pid();
    pss += FieldKib(pid, "Pss:");
    rss += FieldKib(pid, "Rss:");
    own += FieldKib(pid, "Private_Dirty:");
  }
  std::printf("%d supervisor(s): each PSS %ld KiB, RSS %ld KiB, private dirty %ld KiB\n", count,
              pss / count, rss / count, own / count);
  for (const auto& running : all) {
    Check(running->handle->Signal(9, kTimeout));
    running->exited.Wait();
    Remove(*running);
  }
}

int Main(int rounds) {
  auto host = SupervisorHost::Open({.supervisor_path = "runtime/supervisor/ocid-supervisor"});
  Check(host.status());
  Samples samples;
  MeasureLifecycles(**host, rounds, samples);
  MeasureExecs(**host, rounds, samples);
  MeasureMemory(**host, 1);
  MeasureMemory(**host, 20);
  samples.Print();
  return 0;
}

}  // namespace
}  // namespace ocid

int main(int argc, char** argv) { return ocid::Main(argc > 1 ? atoi(argv[1]) : 500); }
