// What needs the host's half of a launch, or its agents: id-mapped mounts, namespaces by path, network
// devices, resctrl, seccomp listeners. With real containers.
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "gtest/gtest.h"
#include "runtime/launch/launcher_testing.h"

namespace ocid {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

void WriteText(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class LauncherFeatures : public LauncherTest {
 protected:
  void AddMount(json mount) { spec_["mounts"].push_back(std::move(mount)); }
};

// ---- mounts

TEST_F(LauncherFeatures, ABindMountWithMappingsShowsMappedOwners) {
  const std::string source = bundle_->path() + "/data";
  fs::create_directory(source);
  WriteText(source + "/file", "x");
  ASSERT_EQ(chown((source + "/file").c_str(), 7, 8), 0);
  const auto map = [](int id) {
    return json{{{"containerID", 7}, {"hostID", id}, {"size", 10}}};
  };
  AddMount({{"destination", "/data"},
            {"type", "bind"},
            {"source", source},
            {"options", {"bind", "ro"}},
            {"uidMappings", map(1007)},
            {"gidMappings", map(2007)}});
  EXPECT_EQ(Output("stat -c %u:%g /data/file; touch /data/new 2>/dev/null || echo read-only"),
            "1007:2008\nread-only\n");
}

TEST_F(LauncherFeatures, IdmapTakesTheMappingsOfTheContainer) {
  const std::string source = bundle_->path() + "/data";
  fs::create_directory(source);
  WriteText(source + "/file", "x");
  fs::create_directory(bundle_->rootfs() + "/data");
  UseUserNamespace();
  AddMount({{"destination", "/data"},
            {"type", "bind"},
            {"source", source},
            {"options", {"rbind", "ridmap"}}});
  // Root's file is the mapped root's; what that one writes is root's on the disk.
  EXPECT_EQ(Output("stat -c %u /data/file; echo y > /data/new"), "0\n");
  struct stat info = {};
  ASSERT_EQ(stat((source + "/new").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 0u);
}

TEST_F(LauncherFeatures, IdmapWithoutAnyMappingsIsAnErrorThatNamesTheMount) {
  AddMount({{"destination", "/data"}, {"source", "/tmp"}, {"options", {"bind", "idmap"}}});
  EXPECT_TRUE(Has(Shell("true").failure_text, "/mounts/7/options"));
}

TEST_F(LauncherFeatures, TmpcopyupStartsWithWhatWasThere) {
  const std::string covered = bundle_->rootfs() + "/covered";
  fs::create_directories(covered + "/a/b");
  WriteText(covered + "/a/b/file", "hello");
  fs::create_symlink("a/b/file", covered + "/link");
  ASSERT_EQ(mkfifo((covered + "/fifo").c_str(), 0600), 0);
  ASSERT_EQ(chmod((covered + "/a").c_str(), 02751), 0);
  ASSERT_EQ(chmod(covered.c_str(), 0711), 0);
  ASSERT_EQ(chown((covered + "/a/b/file").c_str(), 3, 4), 0);
  AddMount({{"destination", "/covered"},
            {"type", "tmpfs"},
            {"source", "tmpfs"},
            {"options", {"tmpcopyup", "nosuid", "noatime"}}});
  EXPECT_EQ(Output("cat /covered/link; echo; stat -c '%a %F' /covered /covered/a /covered/fifo;"
                   "stat -c %u:%g /covered/a/b/file; echo new > /covered/new;"
                   "grep ' /covered ' /proc/self/mounts | cut -d' ' -f4 | cut -d, -f1-4"),
            "hello\n711 directory\n2751 directory\n600 fifo\n3:4\nrw,nosuid,noatime,mode=711\n");
  EXPECT_FALSE(fs::exists(covered + "/new"));
}

TEST_F(LauncherFeatures, ARemountWithOptionsChangesTheFileSystem) {
  AddMount({{"destination", "/dev/shm"},
            {"type", "tmpfs"},
            {"source", "shm"},
            {"options", {"remount", "size=4096", "noexec"}}});
  EXPECT_EQ(Output("cat /proc/self/mounts | while read a b c d e; do"
                   " if test $b = /dev/shm; then echo $d; fi; done")
                .find("size=4k") != std::string::npos,
            true);
}

TEST_F(LauncherFeatures, AFailedLaunchWithoutAMountNamespaceLeavesNoMount) {
  json namespaces = json::array();
  for (const char* type : {"pid", "network", "ipc", "uts"}) {
    namespaces.push_back({{"type", type}});
  }
  spec_["linux"]["namespaces"] = namespaces;
  spec_["root"]["readonly"] = false;
  spec_["mounts"] = {{{"destination", "/x"}, {"type", "nosuchfs"}}};
  spec_["linux"].erase("maskedPaths");
  spec_["linux"].erase("readonlyPaths");
  EXPECT_TRUE(Has(Shell("true").failure_text, "nosuchfs"));
}

// ---- namespaces

TEST_F(LauncherFeatures, AUserNamespaceIsJoinedByItsPath) {
  UseUserNamespace();
  const auto first = Create("sleep 100");
  ASSERT_NE(first, nullptr);
  ASSERT_TRUE(first->failure().ok()) << DescribeFailure(first->plan().view(), first->failure());
  first->Start();
  const std::string directory = "/proc/" + std::to_string(first->launched().pid) + "/ns/";
  const std::string space = fs::read_symlink(directory + "user").string();
  json namespaces = json::array();
  for (const char* type : {"pid", "mount", "uts", "cgroup"}) namespaces.push_back({{"type", type}});
  namespaces.push_back({{"type", "user"}, {"path", directory + "user"}});
  namespaces.push_back({{"type", "ipc"}, {"path", directory + "ipc"}});
  namespaces.push_back({{"type", "network"}, {"path", directory + "net"}});
  spec_["linux"]["namespaces"] = namespaces;
  for (const bool with_dummies : {true, false}) {
    if (!with_dummies) {
      spec_["linux"].erase("uidMappings");
      spec_["linux"].erase("gidMappings");
    }
    EXPECT_EQ(Output("readlink /proc/self/ns/user; id -u; cat /proc/self/uid_map | tr -s ' ';"
                     "test $$ = 1 && test -c /dev/null && echo ok > /dev/null && echo fine"),
              space + "\n0\n 0 100000 65536\nfine\n");
  }
}

TEST_F(LauncherFeatures, AUserNamespacePathOfAnotherKindIsAnError) {
  spec_["linux"]["namespaces"].push_back({{"type", "user"}, {"path", "/proc/self/ns/net"}});
  EXPECT_TRUE(Has(Shell("true").failure_text, "join user namespace /proc/self/ns/net: EINVAL"));
}

// ---- network devices

class NetDevice : public LauncherFeatures {
 protected:
  void SetUp() override {
    LauncherFeatures::SetUp();
    if (bundle_ == nullptr) return;
    name_ = "oc" + std::to_string(getpid() % 100000);
    if (!Ip("link add " + name_ + " type veth peer name " + name_ + "p")) {
      GTEST_SKIP() << "cannot make a veth device here";
    }
    Ip("addr add 192.0.2.7/28 dev " + name_);
    Ip("addr add 2001:db8::7/64 dev " + name_ + " nodad");
  }
  void TearDown() override {
    Ip("link del " + name_ + "p");
    LauncherFeatures::TearDown();
  }
  static bool Ip(const std::string& arguments) {
    return std::system(("ip " + arguments + " 2>/dev/null").c_str()) == 0;
  }
  std::string name_;
};

TEST_F(NetDevice, ItMovesWithItsAddressesUnderItsNewName) {
  spec_["linux"]["netDevices"] = {{name_, {{"name", "eth%d"}}}};
  const std::string output = Output(
      "cat /proc/net/fib_trie /proc/net/if_inet6 /proc/net/dev; cat /sys/class/net/eth0/flags");
  EXPECT_TRUE(Has(output, "192.0.2.7"));
  EXPECT_TRUE(Has(output, "20010db8000000000000000000000007")) << output;
  EXPECT_TRUE(Has(output, "eth0:")) << output;
  EXPECT_TRUE(Has(output, "\n0x1003\n") || output.ends_with("0x1003\n")) << output;  // IFF_UP
  EXPECT_FALSE(fs::exists("/sys/class/net/" + name_));
}

TEST_F(NetDevice, ANameThatIsTakenIsAnErrorAndTheDeviceStays) {
  spec_["linux"]["netDevices"] = {{name_, {{"name", "lo"}}}};
  const RunResult result = Shell("true");
  EXPECT_TRUE(Has(result.failure_text, "has a network device of that name")) << result.failure_text;
  EXPECT_TRUE(fs::exists("/sys/class/net/" + name_));
}

TEST_F(LauncherFeatures, ANetDeviceThatIsNotThereIsAnError) {
  spec_["linux"]["netDevices"] = {{"nosuchdev0", json::object()}};
  EXPECT_TRUE(Has(Shell("true").failure_text, "move network device nosuchdev0"));
}

// ---- resctrl, in a folder that looks like it

TEST_F(LauncherFeatures, AGroupOfResctrlIsMadeFilledAndJoined) {
  host_.resctrl = bundle_->path() + "/resctrl";
  const std::string group = host_.resctrl + "/web";
  fs::create_directories(group + "/mon_groups/test");
  for (const char* name : {"/tasks", "/schemata", "/mon_groups/test/tasks"}) {
    WriteText(group + name, "");
  }
  WriteText(group + "/schemata", "    L3:0=f;1=f\n    MB:0=100\n");
  spec_["linux"]["intelRdt"] = {
      {"closID", "web"}, {"l3CacheSchema", "L3:0=f;1=f"}, {"enableMonitoring", true}};
  EXPECT_EQ(Output("echo fine"), "fine\n");
  EXPECT_FALSE(ReadFile(group + "/tasks").empty());
  EXPECT_EQ(ReadFile(group + "/mon_groups/test/tasks"), ReadFile(group + "/tasks"));

  spec_["linux"]["intelRdt"]["schemata"] = {"MB:0=50"};
  EXPECT_TRUE(Has(Shell("true").failure_text, "schemata: EEXIST"));
  spec_["linux"]["intelRdt"] = {{"closID", "other"}};
  EXPECT_TRUE(Has(Shell("true").failure_text, "join resctrl group"));
  spec_["linux"]["intelRdt"] = json::object();
  host_.resctrl.clear();
  EXPECT_TRUE(Has(Shell("true").failure_text, "/linux/intelRdt: resctrl is not mounted"));
}

// ---- seccomp agents

// A place for an agent's socket: a socket's path has at most 107 bytes, and a bundle's may have more.
class SocketFolder {
 public:
  SocketFolder() { EXPECT_NE(mkdtemp(path_.data()), nullptr); }
  SocketFolder(const SocketFolder&) = delete;
  SocketFolder& operator=(const SocketFolder&) = delete;
  ~SocketFolder() { fs::remove_all(path_); }

  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_ = "/tmp/ocid-agent-XXXXXX";
};

class Agent {
 public:
  explicit Agent(const std::string& path) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    listener_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(listener_.get(), 4), 0);
    thread_ = std::thread([this] { Serve(); });
  }
  ~Agent() { Wait(); }

  void Wait() {
    if (thread_.joinable()) thread_.join();
  }

  json state;
  std::string trailing;
  int answered = 0;

 private:
  // One connection, one message, then each notification is answered with EMEDIUMTYPE.
  void Serve() {
    pollfd ready = {listener_.get(), POLLIN, 0};
    if (poll(&ready, 1, 10000) <= 0) return;
    const UniqueFd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    char text[4096];
    char control[CMSG_SPACE(sizeof(int))];
    iovec vector = {text, sizeof(text)};
    msghdr header = {};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    const ssize_t size = recvmsg(connection.get(), &header, MSG_CMSG_CLOEXEC);
    if (size <= 0 || CMSG_FIRSTHDR(&header) == nullptr) return;
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof(fd));
    const UniqueFd seccomp(fd);
    state = json::parse(std::string(text, static_cast<size_t>(size)), nullptr, false);
    for (;;) {
      pollfd item = {seccomp.get(), POLLIN, 0};
      if (poll(&item, 1, 10000) <= 0 || (item.revents & POLLIN) == 0) return;
      seccomp_notif request = {};
      if (ioctl(seccomp.get(), SECCOMP_IOCTL_NOTIF_RECV, &request) != 0) continue;
      seccomp_notif_resp response = {};
      response.id = request.id;
      response.error = -EMEDIUMTYPE;
      ioctl(seccomp.get(), SECCOMP_IOCTL_NOTIF_SEND, &response);
      ++answered;
    }
  }

  UniqueFd listener_;
  std::thread thread_;
};

json NotifyProfile(const std::string& socket) {
  return {{"defaultAction", "SCMP_ACT_ALLOW"},
          {"listenerPath", socket},
          {"listenerMetadata", "some \"words\""},
          {"flags", {"SECCOMP_FILTER_FLAG_TSYNC"}},
          {"syscalls",
           {{{"names", {"mkdir", "mkdirat"}}, {"action", "SCMP_ACT_NOTIFY"}}}}};
}

TEST_F(LauncherFeatures, ASeccompAgentIsAskedAboutSystemCalls) {
  const SocketFolder folder;
  const std::string socket = folder / "agent";
  for (const bool unprivileged : {true, false}) {
    spec_["process"]["noNewPrivileges"] = unprivileged;
    spec_["linux"]["seccomp"] = NotifyProfile(socket);
    spec_["annotations"] = {{"a", "b"}};
    Agent agent(socket);
    const auto container = Create("mkdir /tmp/x; echo $?");
    ASSERT_NE(container, nullptr);
    const pid_t pid = container->launched().pid;
    const RunResult result = container->Finish();
    EXPECT_TRUE(result.Exited(0)) << result.failure_text;
    EXPECT_EQ(result.output, "mkdir: can't create directory '/tmp/x': Wrong medium type\n1\n");
    agent.Wait();
    EXPECT_EQ(agent.answered, 1);
    EXPECT_EQ(agent.state, json({{"ociVersion", "1.2.0"},
                                 {"fds", {"seccompFd"}},
                                 {"pid", pid},
                                 {"metadata", "some \"words\""},
                                 {"state",
                                  {{"ociVersion", "1.2.0"},
                                   {"id", "test"},
                                   {"status", "created"},
                                   {"pid", pid},
                                   {"bundle", bundle_->path()},
                                   {"annotations", {{"a", "b"}}}}}}));
    fs::remove(socket);
  }
}

TEST_F(LauncherFeatures, AProfileMayAskAboutEverythingAfterTheFilterIsLoaded) {
  // Even the system calls that hand over the listener: none is made by a process with the filter.
  const SocketFolder folder;
  const std::string socket = folder / "agent";
  spec_["linux"]["seccomp"] = NotifyProfile(socket);
  spec_["linux"]["seccomp"]["syscalls"][0]["names"] = {"sendmsg",  "recvmsg", "write", "read",
                                                       "mkdir",    "futex",   "close", "nanosleep",
                                                       "exit",     "ppoll"};
  Agent agent(socket);
  const RunResult result = Shell("exit 3");
  agent.Wait();
  EXPECT_TRUE(result.failure.ok()) << result.failure_text;
  EXPECT_EQ(agent.state["fds"], json({"seccompFd"}));
}

TEST_F(LauncherFeatures, AnAgentThatIsNotThereFailsTheStart) {
  const SocketFolder folder;
  spec_["linux"]["seccomp"] = NotifyProfile(folder / "nobody");
  const RunResult result = Shell("true");
  EXPECT_TRUE(Has(result.failure_text, "tell the seccomp listener: ENOENT")) << result.failure_text;
}

TEST_F(LauncherFeatures, AnExecHasAnAgentOfItsOwn) {
  const SocketFolder folder;
  const std::string socket = folder / "agent";
  spec_["linux"]["seccomp"] = NotifyProfile(socket);
  std::unique_ptr<TestContainer> container;
  pid_t pid = 0;
  {
    Agent first(socket);
    container = Create("sleep 100");
    ASSERT_NE(container, nullptr);
    container->Start();
    pid = container->launched().pid;
    fs::remove(socket);
    Agent second(socket);
    json process = spec_["process"];
    process["args"] = {"sh", "-c", "mkdir /tmp/x; echo $?"};
    const RunResult result = RunExec(*container, {.spec = spec_,
                                                  .process = process,
                                                  .id = "test",
                                                  .bundle = bundle_->path()});
    EXPECT_TRUE(Has(result.output, "Wrong medium type\n1\n")) << result.failure_text << result.output;
    second.Wait();
    EXPECT_EQ(second.state["state"]["status"], "running");
    EXPECT_EQ(second.state["state"]["pid"], pid);
    EXPECT_NE(second.state["pid"], pid);
    container.reset();
  }
}

// ---- labels

TEST_F(LauncherFeatures, ALabelOfASecurityModuleThatDoesNotRunIsAnErrorThatNamesIt) {
  spec_["process"]["apparmorProfile"] = "docker-default";
  EXPECT_TRUE(Has(Shell("true").failure_text, "/process/apparmorProfile"));
  spec_["process"]["apparmorProfile"] = "unconfined";
  EXPECT_EQ(Output("echo fine"), "fine\n");
  spec_["process"]["selinuxLabel"] = "a:b:c:s0";
  EXPECT_TRUE(Has(Shell("true").failure_text, "/process/selinuxLabel"));
}

}  // namespace
}  // namespace ocid
