// What three NRI plugins that do nothing add to a create: two daemons, one of them with the plugins, asked
// in turn.
//
//   nri_benchmark            plugins in this process
//   nri_benchmark PROGRAM    PROGRAM -idx NN -name noop -socket PATH, three times: tests/interop/nri's
//                            `misbehaving`, say, which is on the official stub
//
// The promise: under 1 ms of p50.
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "daemon/nri/fake_plugin.h"
#include "tests/benchmark/daemon_under_test.h"

namespace ocid {
namespace {

constexpr int kCreates = 300;
constexpr int kWarmUps = 10;

double Percentile(std::vector<double> values, double fraction) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(fraction * static_cast<double>(values.size() - 1))];
}

double TimeCreate(DaemonUnderTest& daemon) {
  const auto begin = std::chrono::steady_clock::now();
  daemon.CreateOnce("benchmark");
  const std::chrono::duration<double, std::milli> taken =
      std::chrono::steady_clock::now() - begin;
  daemon.DeleteForced("benchmark");
  return taken.count();
}

pid_t Spawn(const std::string& program, const std::string& index, const std::string& socket) {
  std::vector<std::string> args = {program, "-idx", index, "-name", "noop", "-socket", socket};
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  pid_t pid = -1;
  if (posix_spawn(&pid, program.c_str(), nullptr, nullptr, argv.data(), environ) != 0) {
    Fail(program + ": cannot be started");
  }
  return pid;
}

void Run(const std::string& program) {
  char folder[] = "/tmp/ocid-nri-benchmark-XXXXXX";
  if (mkdtemp(folder) == nullptr) Fail("mkdtemp");
  const std::string socket = std::string(folder) + "/nri.sock";
  std::vector<pid_t> processes;
  {
    DaemonUnderTest without;
    DaemonUnderTest with({"--nri-socket=" + socket});
    std::vector<std::unique_ptr<FakePlugin>> plugins;
    for (const char* index : {"10", "20", "30"}) {
      if (program.empty()) {
        plugins.push_back(
            std::make_unique<FakePlugin>(socket, FakePlugin::Options{.index = index}));
      } else {
        processes.push_back(Spawn(program, index, socket));
      }
    }
    std::this_thread::sleep_for(std::chrono::seconds(1));  // until they are synchronized
    std::vector<double> bare;
    std::vector<double> asked;
    for (int i = -kWarmUps; i < kCreates; ++i) {
      const double alone = TimeCreate(without);
      const double with_plugins = TimeCreate(with);
      if (i < 0) continue;
      bare.push_back(alone);
      asked.push_back(with_plugins);
    }
    std::printf("%-28s %9s %9s\n", "create", "p50 ms", "p99 ms");
    std::printf("%-28s %9.3f %9.3f\n", "without NRI", Percentile(bare, 0.5), Percentile(bare, 0.99));
    std::printf("%-28s %9.3f %9.3f\n", "three plugins", Percentile(asked, 0.5),
                Percentile(asked, 0.99));
    std::printf("%-28s %9.3f\n", "difference", Percentile(asked, 0.5) - Percentile(bare, 0.5));
  }
  for (const pid_t pid : processes) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
}

}  // namespace
}  // namespace ocid

int main(int argc, char** argv) {
  ocid::Run(argc > 1 ? argv[1] : "");
  return 0;
}
