#include "tests/benchmark/daemon_under_test.h"

#include <errno.h>
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>

#include "nlohmann/json.hpp"
#include "proto/ocid/v1/container.grpc.pb.h"
#include "proto/ocid/v1/exec.grpc.pb.h"
#include "proto/ocid/v1/system.grpc.pb.h"

namespace ocid {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr char kDaemon[] = "daemon/ocid";
constexpr char kDockerSpec[] = "tests/testing/data/moby-51705-docker-spec.json";
constexpr char kSupervisor[] = "runtime/supervisor/ocid-supervisor";
// What the daemon logs when it ends.
constexpr std::string_view kWaited = "waited for systemd";

json Config(const std::string& rootfs, const std::vector<std::string>& args) {
  json namespaces = json::array();
  for (const char* type : {"pid", "network", "ipc", "uts", "mount"}) {
    namespaces.push_back({{"type", type}});
  }
  return {{"ociVersion", "1.0.2"},
          {"process",
           {{"user", {{"uid", 0}, {"gid", 0}}},
            {"args", args},
            {"env", {"PATH=/bin"}},
            {"cwd", "/"},
            {"noNewPrivileges", true}}},
          {"root", {{"path", rootfs}}},
          {"hostname", "benchmark"},
          {"mounts", {{{"destination", "/proc"}, {"type", "proc"}, {"source", "proc"}}}},
          {"linux", {{"namespaces", namespaces}}}};
}

void WriteBundle(const std::string& folder, const json& config) {
  fs::create_directories(folder);
  std::ofstream(folder + "/config.json") << config.dump(1);
}

void MakeRootfs(const std::string& folder) {
  for (const char* name : {"bin", "proc", "dev", "sys"}) fs::create_directories(folder + "/" + name);
  fs::copy_file("/bin/busybox", folder + "/bin/busybox");
  for (const char* applet : {"true", "sleep"}) {
    fs::create_symlink("busybox", folder + "/bin/" + applet);
  }
}

void Check(const grpc::Status& status, const char* call) {
  if (!status.ok()) Fail(std::string(call) + ": " + status.error_message());
}

}  // namespace

void Fail(const std::string& cause) {
  std::fprintf(stderr, "benchmark: %s\n", cause.c_str());
  std::exit(1);
}

struct DaemonUnderTest::Stubs {
  explicit Stubs(const std::shared_ptr<grpc::Channel>& channel)
      : containers(v1::ContainerService::NewStub(channel)),
        execs(v1::ExecService::NewStub(channel)),
        system(v1::SystemService::NewStub(channel)) {}

  std::unique_ptr<v1::ContainerService::Stub> containers;
  std::unique_ptr<v1::ExecService::Stub> execs;
  std::unique_ptr<v1::SystemService::Stub> system;
};

DaemonUnderTest::DaemonUnderTest(const std::vector<std::string>& flags) {
  char folder[] = "/tmp/ocid-benchmark-XXXXXX";
  if (mkdtemp(folder) == nullptr) Fail("mkdtemp: " + std::string(strerror(errno)));
  folder_ = folder;
  // On a tmpfs, as in production: files there are replaced and removed on the way of every call, and
  // ext4 makes a removal wait for the writeback that a rename over an older file begins.
  char state[] = "/dev/shm/ocid-benchmark-XXXXXX";
  if (mkdtemp(state) == nullptr) Fail("mkdtemp: " + std::string(strerror(errno)));
  state_ = state;
  rootfs_ = folder_ + "/rootfs";
  bundle_ = folder_ + "/true";
  seccomp_bundle_ = folder_ + "/seccomp";
  sleeper_bundle_ = folder_ + "/sleep";
  MakeRootfs(rootfs_);
  WriteBundle(bundle_, Config(rootfs_, {"/bin/true"}));
  json filtered = Config(rootfs_, {"/bin/true"});
  filtered["linux"]["seccomp"] = json::parse(std::ifstream(kDockerSpec)).at("linux").at("seccomp");
  WriteBundle(seccomp_bundle_, filtered);
  WriteBundle(sleeper_bundle_, Config(rootfs_, {"/bin/sleep", "100000"}));

  const std::string address = "unix://" + folder_ + "/ocid.sock";
  std::vector<std::string> args = {kDaemon,
                                   "--root=" + folder_ + "/root",
                                   "--state=" + state_,
                                   "--listen=" + address,
                                   "--supervisor=" + fs::canonical(kSupervisor).string(),
                                   "--cgroup-parent=" + CgroupParent()};
  args.insert(args.end(), flags.begin(), flags.end());
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, (folder_ + "/log").c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND, 0600);
  const int error = posix_spawn(&daemon_, kDaemon, &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) Fail(std::string(kDaemon) + ": " + strerror(error));
  auto channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(20))) {
    std::ifstream log(folder_ + "/log");
    Fail("the daemon does not serve: " + std::string(std::istreambuf_iterator<char>(log), {}));
  }
  stubs_ = std::make_unique<Stubs>(channel);
  GetVersionOnce();
}

DaemonUnderTest::~DaemonUnderTest() {
  stubs_.reset();
  kill(daemon_, SIGTERM);
  waitpid(daemon_, nullptr, 0);
  std::ifstream log(folder_ + "/log");
  for (std::string line; std::getline(log, line);) {
    if (line.find(kWaited) == std::string::npos) continue;
    std::printf("\n%s, for %d containers\n", line.substr(line.find(kWaited)).c_str(), containers_);
  }
  std::error_code ignored;
  const std::string name = CgroupParent();
  for (const char* hierarchy : {"/sys/fs/cgroup/", "/sys/fs/cgroup/unified/"}) {
    fs::remove(hierarchy + name, ignored);  // the parent cgroup, empty by now
  }
  fs::remove_all(state_, ignored);
  fs::remove_all(folder_, ignored);
}

bool DaemonUnderTest::UnderSystemd() { return access("/run/systemd/system", F_OK) == 0; }

std::string DaemonUnderTest::CgroupParent() const {
  std::string name = fs::path(folder_).filename();
  if (!UnderSystemd()) return name;
  std::replace(name.begin(), name.end(), '-', '.');  // a dash is a level of the tree
  return name + ".slice";
}

void DaemonUnderTest::CreateOnce(const std::string& id) {
  ++containers_;
  grpc::ClientContext context;
  v1::CreateContainerRequest request;
  v1::Container container;
  request.set_container_id(id);
  request.mutable_config()->set_bundle(bundle_);
  Check(stubs_->containers->Create(&context, request, &container), "Create");
}

void DaemonUnderTest::LiveOnce(const std::string& id) {
  CreateOnce(id);
  {
    grpc::ClientContext context;
    v1::StartContainerRequest request;
    v1::Container container;
    request.set_container_id(id);
    Check(stubs_->containers->Start(&context, request, &container), "Start");
  }
  {
    grpc::ClientContext context;
    v1::WaitContainerRequest request;
    v1::WaitContainerResponse response;
    request.set_container_id(id);
    Check(stubs_->containers->Wait(&context, request, &response), "Wait");
    if (response.exit_status().code() != 0) Fail("/bin/true did not exit with 0");
  }
  {
    grpc::ClientContext context;
    v1::DeleteContainerRequest request;
    v1::DeleteContainerResponse response;
    request.set_container_id(id);
    Check(stubs_->containers->Delete(&context, request, &response), "Delete");
  }
}

pid_t DaemonUnderTest::StartSleeper(const std::string& id) {
  ++containers_;
  grpc::ClientContext create_context;
  v1::CreateContainerRequest create;
  v1::Container container;
  create.set_container_id(id);
  create.mutable_config()->set_bundle(sleeper_bundle_);
  Check(stubs_->containers->Create(&create_context, create, &container), "Create");
  grpc::ClientContext start_context;
  v1::StartContainerRequest start;
  start.set_container_id(id);
  Check(stubs_->containers->Start(&start_context, start, &container), "Start");
  return container.pid();
}

void DaemonUnderTest::DeleteForced(const std::string& id) {
  grpc::ClientContext context;
  v1::DeleteContainerRequest request;
  v1::DeleteContainerResponse response;
  request.set_container_id(id);
  request.set_force(true);
  Check(stubs_->containers->Delete(&context, request, &response), "Delete");
}

void DaemonUnderTest::ExecOnce(const std::string& container_id) {
  grpc::ClientContext create_context;
  v1::CreateExecRequest create;
  v1::Exec exec;
  create.set_container_id(container_id);
  create.set_start(true);
  create.mutable_config()->add_args("/bin/true");
  create.mutable_config()->set_auto_delete(true);
  Check(stubs_->execs->Create(&create_context, create, &exec), "ExecService.Create");
  grpc::ClientContext wait_context;
  v1::WaitExecRequest wait;
  v1::WaitExecResponse response;
  wait.set_container_id(container_id);
  wait.set_exec_id(exec.id());
  Check(stubs_->execs->Wait(&wait_context, wait, &response), "ExecService.Wait");
  if (response.exit_status().code() != 0) Fail("exec of /bin/true did not exit with 0");
}

void DaemonUnderTest::GetVersionOnce() {
  grpc::ClientContext context;
  v1::Version version;
  context.set_wait_for_ready(true);
  Check(stubs_->system->GetVersion(&context, v1::GetVersionRequest(), &version), "GetVersion");
}

long DaemonUnderTest::SupervisorPssKib(const std::string& id) {
  grpc::ClientContext context;
  v1::GetContainerRequest request;
  v1::Container container;
  request.set_container_id(id);
  Check(stubs_->containers->Get(&context, request, &container), "Get");
  std::ifstream rollup("/proc/" + std::to_string(container.supervisor_pid()) + "/smaps_rollup");
  for (std::string word; rollup >> word;) {
    long kib = 0;
    if (word == "Pss:" && rollup >> kib) return kib;
  }
  Fail("no Pss in the supervisor's smaps_rollup");
}

}  // namespace ocid
