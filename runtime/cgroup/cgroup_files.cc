#include "runtime/cgroup/cgroup_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/cgroup/cgroup_stats.h"
#include "runtime/cgroup/text.h"

namespace ocid {
namespace {

// cgroup.procs of a fork bomb is long; anything above this is not a file of the kernel's.
constexpr size_t kMaxFileBytes = 64 << 20;

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOENT:
    case ENODEV:  // the directory is removed, its descriptor remains
      return absl::StatusCode::kNotFound;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case EBUSY:
      return absl::StatusCode::kFailedPrecondition;
    case EINVAL:
    case ERANGE:
    case EDOM:
      return absl::StatusCode::kInvalidArgument;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case ENOSPC:
    case ENOMEM:
    case EAGAIN:
    case EMFILE:
    case ENFILE:
      return absl::StatusCode::kResourceExhausted;
    default:
      return absl::StatusCode::kInternal;
  }
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

absl::StatusOr<std::vector<std::string>> ListSubdirectories(BorrowedFd directory) {
  // readdir(3) needs a file position of its own.
  UniqueFd own(::openat(directory.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!own.valid()) return CgroupError("list", ".", errno);
  const std::unique_ptr<DIR, CloseDirectory> stream(::fdopendir(own.get()));
  if (stream == nullptr) return CgroupError("list", ".", errno);
  const int owned_by_stream = own.release();
  static_cast<void>(owned_by_stream);
  std::vector<std::string> names;
  while (const dirent* const entry = ::readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    if (entry->d_type == DT_DIR && name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

absl::Status AddProcesses(BorrowedFd directory, std::set<pid_t>& pids) {
  const absl::StatusOr<std::string> text = ReadCgroupFile(directory, "cgroup.procs");
  if (text.ok()) {
    for (const std::string_view line : SplitText(*text, '\n')) {
      const auto pid = ParseNumber<pid_t>(line);
      if (pid && *pid > 0) pids.insert(*pid);
    }
  } else if (absl::IsNotFound(text.status())) {
    return absl::OkStatus();
  } else if (GetErrorMetadata(text.status())["errno"] != "EOPNOTSUPP") {
    // A threaded cgroup has no list of processes: they stand in its domain's, above.
    return text.status();
  }
  const absl::StatusOr<std::vector<std::string>> children = ListSubdirectories(directory);
  if (!children.ok())
    return absl::IsNotFound(children.status()) ? absl::OkStatus() : children.status();
  for (const std::string& child : *children) {
    const absl::StatusOr<UniqueFd> below = OpenCgroupDirectory(directory, child);
    if (absl::IsNotFound(below.status())) continue;
    if (!below.ok()) return below.status();
    const absl::Status added = AddProcesses(*below, pids);
    if (!added.ok()) return added;
  }
  return absl::OkStatus();
}

}  // namespace

int Deadline::PollMilliseconds() const {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(at_ - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 3600 * 1000));
}

absl::Status CgroupError(std::string_view action, std::string_view file, int error) {
  const char* const name = strerrorname_np(error);
  const std::string shown = name != nullptr ? name : absl::StrCat("error ", error);
  return MakeError(CodeOf(error), "CGROUP_IO",
                   absl::StrCat(AsAbsl(action), " ", AsAbsl(file), ": ", shown),
                   {{"file", std::string(file)}, {"errno", shown}});
}

absl::StatusOr<UniqueFd> OpenCgroupDirectory(BorrowedFd base, const std::string& path) {
  UniqueFd fd(::openat(base.valid() ? base.get() : AT_FDCWD, path.c_str(),
                       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return CgroupError("open", path, errno);
  return fd;
}

absl::StatusOr<UniqueFd> OpenCgroupFile(BorrowedFd directory, const std::string& file, int flags) {
  UniqueFd fd(::openat(directory.get(), file.c_str(), flags | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return CgroupError("open", file, errno);
  return fd;
}

absl::StatusOr<std::string> ReadCgroupFile(BorrowedFd directory, const std::string& file) {
  const absl::StatusOr<UniqueFd> fd = OpenCgroupFile(directory, file, O_RDONLY);
  if (!fd.ok()) return fd.status();
  return ReadOpenCgroupFile(*fd, file);
}

// kernfs builds the text anew for each read from the start.
absl::StatusOr<std::string> ReadOpenCgroupFile(BorrowedFd file, const std::string& name) {
  std::string text;
  char buffer[4096];
  while (text.size() < kMaxFileBytes) {
    const ssize_t count =
        ::pread(file.get(), buffer, sizeof(buffer), static_cast<off_t>(text.size()));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return CgroupError("read", name, errno);
    if (count == 0) return text;
    text.append(buffer, static_cast<size_t>(count));
  }
  return CgroupError("read", name, EFBIG);
}

absl::Status WriteCgroupFile(BorrowedFd directory, const std::string& file,
                             std::string_view value) {
  const absl::StatusOr<UniqueFd> fd = OpenCgroupFile(directory, file, O_WRONLY);
  if (!fd.ok()) return fd.status();
  ssize_t count = 0;
  do {
    count = ::write(fd->get(), value.data(), value.size());
  } while (count < 0 && errno == EINTR);
  if (count < 0) {
    return CgroupError(absl::StrCat("write \"", AsAbsl(value), "\" to"), file, errno);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::set<pid_t>> ListCgroupProcesses(BorrowedFd directory) {
  std::set<pid_t> pids;
  const absl::Status added = AddProcesses(directory, pids);
  if (!added.ok()) return added;
  return pids;
}

absl::Status RemoveCgroupTree(BorrowedFd parent, const std::string& name) {
  if (::unlinkat(parent.get(), name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) {
    return absl::OkStatus();
  }
  const int error = errno;
  // A cgroup with children is as busy as one with processes.
  if (error != EBUSY && error != ENOTEMPTY) return CgroupError("remove", name, error);
  {
    const absl::StatusOr<UniqueFd> directory = OpenCgroupDirectory(parent, name);
    if (absl::IsNotFound(directory.status())) return absl::OkStatus();
    if (!directory.ok()) return directory.status();
    const absl::StatusOr<std::vector<std::string>> children = ListSubdirectories(*directory);
    if (!children.ok()) return children.status();
    for (const std::string& child : *children) {
      const absl::Status removed = RemoveCgroupTree(*directory, child);
      if (!removed.ok()) return removed;
    }
  }
  if (::unlinkat(parent.get(), name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) {
    return absl::OkStatus();
  }
  return CgroupError("remove", name, errno);
}

absl::StatusOr<CgroupEventValues> ReadCgroupEvents(BorrowedFd directory) {
  const absl::StatusOr<std::string> text = ReadCgroupFile(directory, "cgroup.events");
  if (!text.ok()) return text.status();
  return ParseFlatKeyed(*text);
}

absl::StatusOr<bool> WaitForCgroupEvents(
    BorrowedFd directory, const Deadline& deadline,
    const std::function<bool(const CgroupEventValues&)>& done) {
  const absl::StatusOr<UniqueFd> file = OpenCgroupFile(directory, "cgroup.events", O_RDONLY);
  if (!file.ok()) return file.status();
  // The kernel tells of one change in 10 ms at most (CGROUP_FILE_NOTIFY_MIN_INTV) and holds the
  // others back, and most of what is waited for has happened within one: look first, wait then.
  constexpr int kLooks = 50;
  constexpr timespec kBetweenLooks = {0, 100'000};
  for (int look = 0;; ++look) {
    const absl::StatusOr<std::string> text = ReadOpenCgroupFile(*file, "cgroup.events");
    if (!text.ok()) return text.status();
    if (done(ParseFlatKeyed(*text))) return true;
    if (deadline.Passed()) return false;
    if (look < kLooks) {
      ::nanosleep(&kBetweenLooks, nullptr);
      continue;
    }
    // kernfs reports a change since the last read as POLLPRI.
    pollfd wait = {file->get(), POLLPRI, 0};
    ::poll(&wait, 1, deadline.PollMilliseconds());
  }
}

absl::StatusOr<bool> KillCgroupProcesses(BorrowedFd directory, const Deadline& deadline) {
  const absl::StatusOr<std::set<pid_t>> listed = ListCgroupProcesses(directory);
  if (!listed.ok()) return listed.status();
  // By number: <sys/pidfd.h> of glibc 2.36 has no C linkage in C++.
  std::map<pid_t, UniqueFd> found;
  for (const pid_t pid : *listed) {
    UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (fd.valid()) found.emplace(pid, std::move(fd));
  }
  // A number that was used again between list and open is not in the list any more.
  const absl::StatusOr<std::set<pid_t>> still = ListCgroupProcesses(directory);
  if (!still.ok()) return still.status();
  std::erase_if(found, [&](const auto& entry) { return !still->contains(entry.first); });
  for (const auto& [pid, fd] : found) {
    const long sent = ::syscall(SYS_pidfd_send_signal, fd.get(), SIGKILL, nullptr, 0);
    static_cast<void>(sent);  // ESRCH: it has ended, which is as good
  }
  for (const auto& [pid, fd] : found) {
    pollfd wait = {fd.get(), POLLIN, 0};
    while (::poll(&wait, 1, deadline.PollMilliseconds()) < 0 && errno == EINTR) {
    }
    if ((wait.revents & POLLIN) == 0) return false;
  }
  return true;
}

}  // namespace ocid
