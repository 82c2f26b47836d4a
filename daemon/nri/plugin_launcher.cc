#include "daemon/nri/plugin_launcher.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "daemon/base/log.h"

namespace ocid {
namespace {

constexpr int kPluginSocket = 3;  // in the plugin
constexpr size_t kMaxConfigBytes = 1 << 20;
constexpr size_t kMaxLineBytes = 8 << 10;
constexpr absl::Duration kFirstDelay = absl::Seconds(1);
constexpr absl::Duration kLongestDelay = absl::Minutes(1);
constexpr absl::Duration kSteadyRun = absl::Minutes(1);  // after that it starts over
constexpr std::string_view kWasmMagic("\0asm\1\0\0\0", 8);

bool IsExecutable(const std::filesystem::directory_entry& entry) {
  std::error_code error;
  if (entry.is_directory(error) || error) return false;
  return access(entry.path().c_str(), X_OK) == 0;
}

bool IsWasm(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::array<char, kWasmMagic.size()> head = {};
  file.read(head.data(), head.size());
  return std::string_view(head.data(), static_cast<size_t>(file.gcount())) == kWasmMagic;
}

// A plugin's output, cut into lines.
class LineLog {
 public:
  LineLog(std::string plugin, std::string_view stream)
      : plugin_(std::move(plugin)), stream_(stream) {}
  ~LineLog() { Flush(); }

  // Takes what is there. False at the end.
  bool Read(int fd) {
    std::array<char, 4096> buffer;
    const ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got < 0) return errno == EINTR || errno == EAGAIN;
    for (const char c : std::string_view(buffer.data(), static_cast<size_t>(got))) {
      if (c != '\n') line_.push_back(c);
      if (c == '\n' || line_.size() >= kMaxLineBytes) Flush();
    }
    return got > 0;
  }

 private:
  void Flush() {
    if (line_.empty()) return;
    Log(LogLevel::kInfo, "nri plugin output",
        {{"plugin", plugin_}, {"stream", stream_}, {"line", line_}});
    line_.clear();
  }

  const std::string plugin_;
  const std::string_view stream_;
  std::string line_;
};

struct Child {
  pid_t pid = 0;
  UniqueFd pidfd;
  UniqueFd socket;
  UniqueFd out;
  UniqueFd error;
};

absl::Status Errno(const char* what) { return absl::ErrnoToStatus(errno, what); }

absl::StatusOr<Child> Spawn(const PluginFile& file) {
  Child child;
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) return Errno("socketpair");
  child.socket = UniqueFd(sockets[0]);
  const UniqueFd theirs(sockets[1]);
  int out[2];
  int error[2];
  if (pipe2(out, O_CLOEXEC) != 0) return Errno("pipe2");
  child.out = UniqueFd(out[0]);
  const UniqueFd out_end(out[1]);
  if (pipe2(error, O_CLOEXEC) != 0) return Errno("pipe2");
  child.error = UniqueFd(error[0]);
  const UniqueFd error_end(error[1]);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const absl::Cleanup destroy_actions = [&] { posix_spawn_file_actions_destroy(&actions); };
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  // dup2 onto itself clears close-on-exec as well (POSIX.1-2024, and glibc since 2.29).
  posix_spawn_file_actions_adddup2(&actions, out_end.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, error_end.get(), STDERR_FILENO);
  posix_spawn_file_actions_adddup2(&actions, theirs.get(), kPluginSocket);
  posix_spawn_file_actions_addclosefrom_np(&actions, kPluginSocket + 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  const absl::Cleanup destroy_attributes = [&] { posix_spawnattr_destroy(&attributes); };
  // A group of its own: a signal to the daemon's terminal is not for it. Signals as by default: the
  // daemon blocks some.
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  sigset_t signals;
  sigemptyset(&signals);
  posix_spawnattr_setsigmask(&attributes, &signals);
  sigaddset(&signals, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &signals);

  std::array<std::string, 3> variables = {absl::StrCat("NRI_PLUGIN_NAME=", file.name),
                                          absl::StrCat("NRI_PLUGIN_IDX=", file.index),
                                          absl::StrCat("NRI_PLUGIN_SOCKET=", kPluginSocket)};
  std::array<char*, 4> environment = {variables[0].data(), variables[1].data(),
                                      variables[2].data(), nullptr};
  std::string path = file.path;
  std::array<char*, 2> arguments = {path.data(), nullptr};
  const int failed = posix_spawn(&child.pid, path.c_str(), &actions, &attributes, arguments.data(),
                                 environment.data());
  if (failed != 0) return absl::ErrnoToStatus(failed, path);
  child.pidfd = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, child.pid, 0)));
  return child;
}

// Waits until the plugin has ended, and kills it where it is told to stop. Its output goes to the log.
void Watch(const Child& child, const std::string& plugin, BorrowedFd stop_event) {
  LineLog out(plugin, "stdout");
  LineLog error(plugin, "stderr");
  bool out_open = true;
  bool error_open = true;
  while (true) {
    std::array<pollfd, 4> waits = {
        pollfd{.fd = stop_event.get(), .events = POLLIN, .revents = 0},
        pollfd{.fd = child.pidfd.get(), .events = POLLIN, .revents = 0},
        pollfd{.fd = out_open ? child.out.get() : -1, .events = POLLIN, .revents = 0},
        pollfd{.fd = error_open ? child.error.get() : -1, .events = POLLIN, .revents = 0}};
    if (poll(waits.data(), waits.size(), -1) < 0) continue;
    if (waits[2].revents != 0) out_open = out.Read(child.out.get());
    if (waits[3].revents != 0) error_open = error.Read(child.error.get());
    if (waits[0].revents != 0) kill(child.pid, SIGKILL);
    const bool ended = waits[1].revents != 0 && waits[2].revents == 0 && waits[3].revents == 0;
    if (ended || waits[0].revents != 0) break;
  }
}

std::string DescribeEnd(int status) {
  if (WIFSIGNALED(status)) return absl::StrCat("killed by signal ", WTERMSIG(status));
  return absl::StrCat("exit code ", WEXITSTATUS(status));
}

}  // namespace

bool IsPluginIndex(std::string_view index) {
  return index.size() == 2 && absl::ascii_isdigit(static_cast<unsigned char>(index[0])) &&
         absl::ascii_isdigit(static_cast<unsigned char>(index[1]));
}

bool IsPluginName(std::string_view name) {
  constexpr size_t kMaxNameBytes = 255;
  return !name.empty() && name.size() <= kMaxNameBytes &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                  std::string_view("_.+-").find(c) != std::string_view::npos;
         });
}

bool ParsePluginName(std::string_view qualified, std::string& index, std::string& name) {
  const size_t dash = qualified.find('-');
  if (dash == std::string_view::npos) return false;
  index = qualified.substr(0, dash);
  name = qualified.substr(dash + 1);
  return IsPluginIndex(index) && !name.empty();
}

std::vector<PluginFile> FindPluginFiles(const std::string& directory) {
  std::vector<PluginFile> files;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    if (!IsExecutable(*entry)) continue;
    PluginFile file{.path = entry->path().string(), .index = {}, .name = {}};
    const std::string base = entry->path().filename().string();
    if (!ParsePluginName(base, file.index, file.name)) {
      Log(LogLevel::kWarning, "nri: skipped: a plugin's file is called NN-name",
          {{"file", file.path}});
    } else if (IsWasm(file.path)) {
      Log(LogLevel::kWarning, "nri: skipped: WebAssembly plugins are not supported",
          {{"file", file.path}});
    } else {
      files.push_back(std::move(file));
    }
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    Log(LogLevel::kWarning, "nri: plugin folder", {{"path", directory}, {"error", error.message()}});
  }
  std::sort(files.begin(), files.end(),
            [](const PluginFile& a, const PluginFile& b) { return a.path < b.path; });
  return files;
}

std::string ReadPluginConfig(const std::string& directory, const std::string& index,
                             const std::string& name) {
  if (directory.empty()) return "";
  for (const std::string& base : {absl::StrCat(index, "-", name), name}) {
    const std::string path = absl::StrCat(directory, "/", base, ".conf");
    std::ifstream file(path, std::ios::binary);
    if (!file) continue;
    std::string text(kMaxConfigBytes, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<size_t>(file.gcount()));
    return text;
  }
  return "";
}

PluginLauncher::PluginLauncher(Connect connect) : connect_(std::move(connect)) {}

PluginLauncher::~PluginLauncher() { Stop(); }

absl::StatusOr<std::vector<PluginFile>> PluginLauncher::Start(const std::string& directory) {
  stop_event_ = UniqueFd(eventfd(0, EFD_CLOEXEC));
  if (!stop_event_.valid()) return Errno("eventfd");
  std::vector<PluginFile> files = FindPluginFiles(directory);
  for (const PluginFile& file : files) {
    keepers_.emplace_back([this, file] {
      pthread_setname_np(pthread_self(), "nri launcher");
      Keep(file);
    });
  }
  return files;
}

void PluginLauncher::Stop() {
  if (!stop_event_.valid()) return;
  const uint64_t one = 1;
  const ssize_t written = write(stop_event_.get(), &one, sizeof(one));
  if (written < 0) Log(LogLevel::kError, "nri: eventfd", {{"error", Errno("write")}});
  for (std::thread& keeper : std::exchange(keepers_, {})) keeper.join();
}

void PluginLauncher::Keep(const PluginFile& file) {
  const std::string plugin = absl::StrCat(file.index, "-", file.name);
  absl::Duration delay = kFirstDelay;
  while (true) {
    const absl::Time begin = absl::Now();
    absl::StatusOr<Child> child = Spawn(file);
    if (child.ok()) {
      connect_({.file = file,
                .pid = child->pid,
                .pidfd = UniqueFd(fcntl(child->pidfd.get(), F_DUPFD_CLOEXEC, 0)),
                .socket = std::move(child->socket)});
      Watch(*child, plugin, stop_event_);
      int status = 0;
      while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR) {
      }
      Log(LogLevel::kWarning, "nri: a launched plugin ended",
          {{"plugin", plugin}, {"how", DescribeEnd(status)}});
    } else {
      Log(LogLevel::kError, "nri: a plugin cannot be launched",
          {{"plugin", plugin}, {"error", child.status()}});
    }
    if (absl::Now() - begin >= kSteadyRun) delay = kFirstDelay;
    pollfd stop = {.fd = stop_event_.get(), .events = POLLIN, .revents = 0};
    if (poll(&stop, 1, static_cast<int>(absl::ToInt64Milliseconds(delay))) > 0) return;
    delay = std::min(2 * delay, kLongestDelay);
  }
}

}  // namespace ocid
