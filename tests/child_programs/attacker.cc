// A hostile program for containers under test; static, so that it runs in an empty root.
//
//   attacker fds              prints "N TARGET" for each descriptor that it was started with
//   attacker watch CANARY     looks at every other process that it can see until SIGTERM, and
//   prints a
//                             line for whatever leads out of the container; CANARY is the path of a
//                             file from the host's root
//   attacker trace CANARY     the same of processes that it has stopped by ptrace(2), each of which
//   it
//                             says to be "attached"
//   attacker abstract NAME    connects to the abstract socket of this name: 0 if it could
//
// Finds: "root", "cwd" or "fd" of a process through which CANARY opens, and "exe" if a program that
// is not in the container's root can be opened for writing.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <set>
#include <string>

namespace {

volatile sig_atomic_t stopped = 0;

std::string LinkOf(const std::string& path) {
  char target[4096];
  const ssize_t size = readlink(path.c_str(), target, sizeof(target));
  return size < 0 ? std::string() : std::string(target, static_cast<size_t>(size));
}

void Report(const std::string& line) {
  static std::set<std::string> known;
  if (!known.insert(line).second) return;
  printf("%s\n", line.c_str());
  fflush(stdout);
}

bool Opens(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

// Through a directory, and from there up: ".." stops at no root but one's own.
bool Leads(const std::string& link, const std::string& canary) {
  std::string up = link;
  for (int i = 0; i < 12; ++i) up += "/..";
  return Opens(link + canary) || Opens(up + canary);
}

// Whether a file of the host can be written through the program of a process. What was opened is asked,
// not the process: that may have ended since.
void TryProgram(const std::string& process) {
  const std::string exe = process + "/exe";
  const int fd = open(exe.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  const std::string name = LinkOf("/proc/self/fd/" + std::to_string(fd));
  struct stat inside = {};
  struct stat program = {};
  const bool ours = fstat(fd, &program) == 0 && stat(name.c_str(), &inside) == 0 &&
                    inside.st_ino == program.st_ino && inside.st_dev == program.st_dev;
  close(fd);
  if (!ours) Report("exe " + name);
}

void Examine(const std::string& process, const std::string& canary) {
  if (Leads(process + "/root", canary)) Report("root");
  if (Leads(process + "/cwd", canary)) Report("cwd");
  TryProgram(process);
  for (int fd = 0; fd < 40; ++fd) {
    const std::string link = process + "/fd/" + std::to_string(fd);
    if (Leads(link, canary)) Report("fd " + std::to_string(fd) + " " + LinkOf(link));
  }
}

// Seized and interrupted, and not attached to: that would leave a SIGSTOP pending in a process that
// is about to execute its program.
void Trace(pid_t pid, const std::string& process, const std::string& canary) {
  if (ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) != 0) return;
  ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr);
  int status = 0;
  while (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status)) {
    Report("attached");
    Examine(process, canary);
    if (ptrace(PTRACE_DETACH, pid, nullptr, nullptr) == 0) return;
  }
}

// Process ids grow by one: the next one is waited for where it will be.
int Watch(const std::string& canary, bool trace) {
  signal(SIGTERM, [](int) { stopped = 1; });
  signal(SIGCHLD, SIG_IGN);
  printf("watching\n");
  fflush(stdout);
  pid_t last = getpid();
  while (stopped == 0) {
    for (pid_t pid = last + 1; pid <= last + 3; ++pid) {
      const std::string process = "/proc/" + std::to_string(pid);
      if (access(process.c_str(), F_OK) != 0) continue;
      if (trace) Trace(pid, process, canary);
      while (access(process.c_str(), F_OK) == 0 && stopped == 0) Examine(process, canary);
      last = pid;
      break;
    }
  }
  return 0;
}

int PrintDescriptors() {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return 1;
  while (const dirent* entry = readdir(directory)) {
    if (entry->d_name[0] == '.' || atoi(entry->d_name) == dirfd(directory)) continue;
    printf("%s %s\n", entry->d_name, LinkOf("/proc/self/fd/" + std::string(entry->d_name)).c_str());
  }
  closedir(directory);
  return 0;
}

int ConnectAbstract(const char* name) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path + 1, name, sizeof(address.sun_path) - 2);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto size =
      static_cast<socklen_t>(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
  return connect(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "";
  if (command == "fds") return PrintDescriptors();
  if (command == "watch" && argc == 3) return Watch(argv[2], /*trace=*/false);
  if (command == "trace" && argc == 3) return Watch(argv[2], /*trace=*/true);
  if (command == "abstract" && argc == 3) return ConnectAbstract(argv[2]);
  fprintf(stderr, "usage: attacker fds | watch CANARY | trace CANARY | abstract NAME\n");
  return 2;
}
