// Round trips over a unix socket to a server without containers: what gRPC costs of every call.
//
//   server_benchmark [CALLS]      prints p50, p90 and p99 of GetVersion in microseconds

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "daemon/cdi/cdi_registry.h"
#include "daemon/fake_container_manager.h"
#include "daemon/image/image_store.h"
#include "daemon/image/registry_source.h"
#include "daemon/server.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "proto/ocid/v1/system.grpc.pb.h"

namespace ocid {
namespace {

int Run(int calls) {
  std::string directory = "/tmp/ocid-benchmark-XXXXXX";
  if (mkdtemp(directory.data()) == nullptr) return 1;
  FakeContainerManager manager(directory);
  CdiRegistry devices(std::vector<std::string>{});
  auto server = Server::Open({.socket_paths = {directory + "/s"}, .socket_group = ""});
  auto images = ImageStore::Open({.directory = directory + "/images", .limits = {}});
  if (!server.ok() || !images.ok()) return 1;
  if (!(*server)->Serve(manager, devices, **images, {}, nullptr, ReadSystemFacts()).ok()) return 1;

  // The client is a process of its own, as clients are.
  const pid_t child = fork();
  if (child == 0) {
    execl("/proc/self/exe", "server_benchmark", "--client", (directory + "/s").c_str(),
          std::to_string(calls).c_str(), nullptr);
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  server->reset();
  std::filesystem::remove_all(directory);
  return status == 0 ? 0 : 1;
}

int Client(const std::string& path, int calls) {
  using Clock = std::chrono::steady_clock;
  const auto stub = v1::SystemService::NewStub(
      grpc::CreateChannel("unix:" + path, grpc::InsecureChannelCredentials()));
  std::vector<double> times;
  for (int i = 0; i < calls + 100; ++i) {
    grpc::ClientContext context;
    v1::Version version;
    const Clock::time_point start = Clock::now();
    if (!stub->GetVersion(&context, {}, &version).ok()) return 1;
    const std::chrono::duration<double, std::micro> time = Clock::now() - start;
    if (i >= 100) times.push_back(time.count());
  }
  std::sort(times.begin(), times.end());
  const auto at = [&times](double part) {
    return times[static_cast<size_t>(part * static_cast<double>(times.size() - 1))];
  };
  std::printf("GetVersion, %zu calls, microseconds: p50 %.0f  p90 %.0f  p99 %.0f\n", times.size(),
              at(0.5), at(0.9), at(0.99));
  return 0;
}

}  // namespace
}  // namespace ocid

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv, argv + argc);
  if (argc == 4 && arguments[1] == "--client") {
    return ocid::Client(arguments[2], std::stoi(arguments[3]));
  }
  return ocid::Run(argc > 1 ? std::stoi(arguments[1]) : 10000);
}
