#include "daemon/observe/process_facts.h"

#include <sys/resource.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>
#include <system_error>

namespace ocid {
namespace {

constexpr size_t kMaxTextBytes = 1 << 20;
constexpr int kFieldsBeforeStartTime = 19;  // of stat, behind the command's name

std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (text.size() > kMaxTextBytes) text.resize(kMaxTextBytes);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// The number behind "KEY:", which is in kB where such a line has a unit.
uint64_t NumberOf(std::string_view text, std::string_view key) {
  size_t at = 0;
  while (at < text.size()) {
    size_t end = text.find('\n', at);
    if (end == std::string_view::npos) end = text.size();
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != ':') continue;
    line.remove_prefix(key.size() + 1);
    while (!line.empty() && (line[0] == ' ' || line[0] == '\t')) line.remove_prefix(1);
    uint64_t number = 0;
    std::from_chars(line.data(), line.data() + line.size(), number);
    return number;
  }
  return 0;
}

double StartTime() {
  const std::string stat = ReadText("/proc/self/stat");
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(stat.substr(name_end + 1));
  std::string field;
  for (int i = 0; i <= kFieldsBeforeStartTime; ++i) fields >> field;
  const double ticks = std::strtod(field.c_str(), nullptr);
  std::istringstream boot(ReadText("/proc/stat"));
  std::string word;
  double boot_time = 0;
  while (boot >> word) {
    if (word == "btime") {
      boot >> boot_time;
      break;
    }
  }
  return boot_time + ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

uint64_t CountEntries(const char* directory) {
  std::error_code error;
  const std::filesystem::directory_iterator entries(directory, error);
  return error ? 0 : static_cast<uint64_t>(std::distance(begin(entries), end(entries)));
}

}  // namespace

ProcessFacts ReadProcessFacts() {
  static const double kStartTime = StartTime();
  ProcessFacts facts;
  const std::string status = ReadText("/proc/self/status");
  facts.resident_bytes = NumberOf(status, "VmRSS") << 10;
  facts.virtual_bytes = NumberOf(status, "VmSize") << 10;
  facts.threads = NumberOf(status, "Threads");
  facts.descriptors = CountEntries("/proc/self/fd");
  rlimit files = {};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) facts.max_descriptors = files.rlim_cur;
  rusage usage = {};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    facts.cpu_seconds =
        static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
        static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
  }
  facts.start_time_seconds = kStartTime;
  return facts;
}

uint64_t ReadPssBytes(pid_t pid) {
  return NumberOf(ReadText("/proc/" + std::to_string(pid) + "/smaps_rollup"), "Pss") << 10;
}

std::vector<ThreadFacts> ReadThreads() {
  std::vector<ThreadFacts> threads;
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", error)) {
    const std::string path = task.path().string();
    ThreadFacts& thread = threads.emplace_back();
    thread.id = static_cast<pid_t>(std::atoi(task.path().filename().c_str()));
    thread.name = ReadText(path + "/comm");
    const std::string stat = ReadText(path + "/stat");
    const size_t name_end = stat.rfind(')');
    if (name_end != std::string::npos && name_end + 2 < stat.size()) {
      thread.state = stat.substr(name_end + 2, 1);
    }
    thread.waits = ReadText(path + "/wchan");
    if (thread.waits == "0") thread.waits.clear();
  }
  return threads;
}

std::map<std::string, uint64_t> ReadDescriptors() {
  std::map<std::string, uint64_t> descriptors;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", error)) {
    std::error_code gone;
    std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
    if (gone) continue;
    // "socket:[123]", "pipe:[123]": one of many.
    for (const char* kind : {"socket", "pipe"}) {
      if (target.rfind(std::string(kind) + ":[", 0) == 0) target = kind;
    }
    ++descriptors[target];
  }
  return descriptors;
}

}  // namespace ocid
