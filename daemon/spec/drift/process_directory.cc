#include "daemon/spec/drift/process_directory.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <climits>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace ocid {
namespace {

// Field 22; the second, the program's name, may hold anything but ends at the last ')'.
std::optional<uint64_t> StartTimeOf(std::string_view stat) {
  size_t at = stat.rfind(')');
  if (at == stat.npos) return std::nullopt;
  for (int field = 2; field < 22; ++field) {
    at = stat.find(' ', at + 1);
    if (at == stat.npos) return std::nullopt;
  }
  uint64_t value = 0;
  const char* const end = stat.data() + stat.size();
  if (std::from_chars(stat.data() + at + 1, end, value).ec != std::errc()) return std::nullopt;
  return value;
}

absl::Status Failed(const std::string& what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", std::strerror(errno)));
}

}  // namespace

absl::StatusOr<ProcessDirectory> ProcessDirectory::Open(pid_t pid, uint64_t start_time) {
  const std::string path = absl::StrCat("/proc/", pid);
  UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return absl::NotFoundError(absl::StrCat("no process ", pid));
  ProcessDirectory process(pid, std::move(directory));
  if (start_time == 0) return process;
  const absl::StatusOr<std::string> stat = process.Read("stat", 4096);
  if (!stat.ok() || StartTimeOf(*stat) != start_time) {
    return absl::NotFoundError(absl::StrCat("process ", pid, " has ended"));
  }
  return process;
}

std::string ProcessDirectory::PathOf(std::string_view name) const {
  return absl::StrCat("/proc/", pid_, "/", absl::string_view(name.data(), name.size()));
}

bool ProcessDirectory::ended() const { return !Read("stat", 4096).ok(); }

absl::StatusOr<std::string> ProcessDirectory::Read(const std::string& name,
                                                   size_t max_bytes) const {
  const absl::StatusOr<UniqueFd> file = OpenFile(name, O_RDONLY);
  if (!file.ok()) return file.status();
  return ReadBounded(*file, max_bytes);
}

absl::StatusOr<UniqueFd> ProcessDirectory::OpenFile(const std::string& name, int flags) const {
  UniqueFd file(::openat(directory_.get(), name.c_str(), flags | O_CLOEXEC));
  if (!file.valid()) return Failed(PathOf(name));
  return file;
}

absl::StatusOr<std::string> ProcessDirectory::ReadLink(const std::string& name) const {
  char text[PATH_MAX];
  const ssize_t size = ::readlinkat(directory_.get(), name.c_str(), text, sizeof(text));
  if (size < 0) return Failed(PathOf(name));
  return std::string(text, static_cast<size_t>(size));
}

absl::StatusOr<std::string> ReadBounded(BorrowedFd file, size_t max_bytes) {
  std::string bytes;
  char chunk[16384];
  while (true) {
    const ssize_t n = ::read(file.get(), chunk, sizeof(chunk));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Failed("read");
    if (n == 0) return bytes;
    bytes.append(chunk, static_cast<size_t>(n));
    if (bytes.size() > max_bytes) {
      return absl::ResourceExhaustedError(absl::StrCat("more than ", max_bytes, " bytes"));
    }
  }
}

std::optional<std::string_view> StatusField(std::string_view text, std::string_view name) {
  size_t at = 0;
  while (at < text.size()) {
    const std::string_view line = text.substr(at, text.find('\n', at) - at);
    if (line.starts_with(name) && line.size() > name.size() && line[name.size()] == ':') {
      const absl::string_view value = absl::StripAsciiWhitespace(
          absl::string_view(line.data() + name.size() + 1, line.size() - name.size() - 1));
      return std::string_view(value.data(), value.size());
    }
    at += line.size() + 1;
  }
  return std::nullopt;
}

}  // namespace ocid
