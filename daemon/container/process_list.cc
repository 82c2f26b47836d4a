#include "daemon/container/process_list.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/container/proto_time.h"
#include "runtime/base/unique_fd.h"

namespace ocid {
namespace {

constexpr size_t kMaxCommandBytes = 4096;

std::string ReadUpTo(BorrowedFd dir, const char* name, size_t max_bytes) {
  const UniqueFd file(::openat(dir.get(), name, O_RDONLY | O_CLOEXEC));
  std::string bytes(max_bytes, '\0');
  const ssize_t got = file.valid() ? ::read(file.get(), bytes.data(), bytes.size()) : 0;
  bytes.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return bytes;
}

// A string field of the API is UTF-8; a program may call itself anything.
std::string Printable(std::string bytes) {
  for (char& c : bytes) {
    if (static_cast<unsigned char>(c) >= 0x7f || static_cast<unsigned char>(c) < 0x20) c = '?';
  }
  return bytes;
}

// Arguments end with NUL; spaces between them are what people read.
std::string CommandLine(std::string bytes, const std::string& comm) {
  while (!bytes.empty() && bytes.back() == '\0') bytes.pop_back();
  if (bytes.empty()) return Printable(absl::StrCat("[", comm, "]"));
  std::replace(bytes.begin(), bytes.end(), '\0', ' ');
  return Printable(std::move(bytes));
}

}  // namespace

std::optional<ProcessStat> ParseProcessStat(std::string_view text) {
  const size_t open = text.find('(');
  const size_t close = text.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open ||
      text.size() < close + 3) {
    return std::nullopt;
  }
  ProcessStat stat;
  stat.comm = std::string(text.substr(open + 1, close - open - 1));
  stat.state = text[close + 2];
  std::string_view rest = text.substr(close + 3);
  uint64_t fields[25] = {};  // by their number in proc(5); from the fourth on
  for (int field = 4; field <= 24; ++field) {
    while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
    const bool negative = !rest.empty() && rest.front() == '-';
    if (negative) rest.remove_prefix(1);
    const auto [end, error] =
        std::from_chars(rest.data(), rest.data() + rest.size(), fields[field]);
    if (error != std::errc()) return std::nullopt;
    if (negative) fields[field] = 0;
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
  }
  stat.parent = static_cast<pid_t>(fields[4]);
  stat.cpu_ticks = fields[14] + fields[15];
  stat.start_time = fields[22];
  stat.resident_pages = fields[24];
  return stat;
}

v1::ListProcessesResponse ListProcesses(const std::vector<pid_t>& pids,
                                        const std::map<pid_t, std::string>& exec_pids) {
  static const long ticks_per_second = ::sysconf(_SC_CLK_TCK);
  static const long page_bytes = ::sysconf(_SC_PAGESIZE);
  v1::ListProcessesResponse response;
  std::map<pid_t, pid_t> parents;
  for (const pid_t pid : pids) {
    const UniqueFd dir(::open(absl::StrCat("/proc/", pid).c_str(),
                              O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!dir.valid()) continue;
    const std::optional<ProcessStat> stat = ParseProcessStat(ReadUpTo(dir, "stat", 4096));
    struct stat owner;
    if (!stat.has_value() || ::fstat(dir.get(), &owner) != 0) continue;
    parents[pid] = stat->parent;
    v1::ListProcessesResponse::Process& process = *response.add_processes();
    process.set_pid(pid);
    process.set_parent_pid(stat->parent);
    process.set_uid(owner.st_uid);
    process.set_state(std::string(1, stat->state));
    process.set_command(CommandLine(ReadUpTo(dir, "cmdline", kMaxCommandBytes), stat->comm));
    process.set_resident_bytes(stat->resident_pages * static_cast<uint64_t>(page_bytes));
    *process.mutable_cpu_time() = ToDuration(
        absl::Seconds(1) * (static_cast<double>(stat->cpu_ticks) / ticks_per_second));
  }
  for (v1::ListProcessesResponse::Process& process : *response.mutable_processes()) {
    // Bounded by the number of processes: a chain of parents read at different times could loop.
    pid_t ancestor = process.pid();
    for (size_t step = 0; step <= parents.size(); ++step) {
      const auto exec = exec_pids.find(ancestor);
      if (exec != exec_pids.end()) {
        process.set_exec_id(exec->second);
        break;
      }
      const auto parent = parents.find(ancestor);
      if (parent == parents.end()) break;
      ancestor = parent->second;
    }
  }
  return response;
}

std::string DescribeProcess(pid_t pid) {
  const UniqueFd dir(
      ::open(absl::StrCat("/proc/", pid).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::optional<ProcessStat> stat =
      dir.valid() ? ParseProcessStat(ReadUpTo(dir, "stat", 4096)) : std::nullopt;
  if (!stat.has_value()) return absl::StrCat(pid, " (gone)");
  const std::string waits = ReadUpTo(dir, "wchan", 64);  // "0" where it runs
  return Printable(absl::StrCat(pid, " (", stat->comm, ", state ", std::string(1, stat->state),
                                waits.empty() || waits == "0" ? "" : ", in ", waits == "0" ? "" : waits,
                                ")"));
}

}  // namespace ocid
