#include "runtime/seccomp/program_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace ocid {
namespace {

constexpr size_t kMaxFiles = 64;
constexpr off_t kMaxFileBytes = 4 << 20;

struct FileHeader {
  char magic[8] = {'O', 'C', 'S', 'E', 'C', '0', '0', '1'};
  uint64_t key_bytes = 0;
  uint64_t bpf_bytes = 0;
  uint64_t names_bytes = 0;
  uint32_t flags = 0;
  uint32_t notifies = 0;
};

// FNV-1a. Two profiles of one name take turns, and each is only ever used for itself.
std::string FileName(std::string_view key) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  char name[17];
  snprintf(name, sizeof(name), "%016llx", static_cast<unsigned long long>(hash));
  return name;
}

std::string ReadFile(int directory, const std::string& name) {
  const UniqueFd file(openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  struct stat info = {};
  if (!file.valid() || fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode) ||
      info.st_size > kMaxFileBytes) {
    return "";
  }
  std::string bytes(static_cast<size_t>(info.st_size), '\0');
  const ssize_t size = read(file.get(), bytes.data(), bytes.size());
  return size == info.st_size ? bytes : "";
}

// Rather none than more and more of them.
void KeepFew(int directory) {
  const int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(fdopendir(copy), &closedir);
  if (listing == nullptr) return;
  std::vector<std::string> names;
  while (const dirent* const entry = readdir(listing.get())) {
    if (entry->d_type == DT_REG) names.emplace_back(entry->d_name);
  }
  if (names.size() < kMaxFiles) return;
  for (const std::string& name : names) unlinkat(directory, name.c_str(), 0);
}

}  // namespace

UniqueFd SeccompProgramStore::OpenDirectory(bool make) const {
  if (directory_.empty()) return UniqueFd();
  if (make && mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST) return UniqueFd();
  UniqueFd fd(open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat info = {};
  const bool own = fd.valid() && fstat(fd.get(), &info) == 0 && info.st_uid == geteuid() &&
                   (info.st_mode & 077) == 0;
  return own ? std::move(fd) : UniqueFd();
}

std::optional<SeccompProgram> SeccompProgramStore::Find(const std::string& key) const {
  const UniqueFd directory = OpenDirectory(/*make=*/false);
  if (!directory.valid()) return std::nullopt;
  const std::string bytes = ReadFile(directory.get(), FileName(key));
  FileHeader header;
  if (bytes.size() < sizeof(header)) return std::nullopt;
  std::memcpy(&header, bytes.data(), sizeof(header));
  const uint64_t rest = bytes.size() - sizeof(header);
  if (std::memcmp(header.magic, FileHeader().magic, sizeof(header.magic)) != 0 ||
      header.key_bytes != key.size() || header.bpf_bytes > rest || header.names_bytes > rest ||
      header.key_bytes + header.bpf_bytes + header.names_bytes != rest) {
    return std::nullopt;
  }
  const std::string_view body = std::string_view(bytes).substr(sizeof(header));
  if (body.substr(0, key.size()) != key) return std::nullopt;
  SeccompProgram program;
  program.bpf = body.substr(key.size(), header.bpf_bytes);
  program.flags = header.flags;
  program.notifies = header.notifies != 0;
  const std::string_view names = body.substr(key.size() + header.bpf_bytes);
  program.unknown_syscalls = absl::StrSplit(absl::string_view(names.data(), names.size()), '\n',
                                            absl::SkipEmpty());
  return program;
}

void SeccompProgramStore::Put(const std::string& key, const SeccompProgram& program) const {
  const UniqueFd directory = OpenDirectory(/*make=*/true);
  if (!directory.valid()) return;
  const std::string names = absl::StrJoin(program.unknown_syscalls, "\n");
  FileHeader header;
  header.key_bytes = key.size();
  header.bpf_bytes = program.bpf.size();
  header.names_bytes = names.size();
  header.flags = program.flags;
  header.notifies = program.notifies ? 1 : 0;
  const std::string bytes = absl::StrCat(
      absl::string_view(reinterpret_cast<const char*>(&header), sizeof(header)), key, program.bpf,
      names);
  KeepFew(directory.get());
  const std::string name = FileName(key);
  const std::string temporary = absl::StrCat(name, ".", getpid());
  const UniqueFd file(openat(directory.get(), temporary.c_str(),
                             O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) return;
  const ssize_t written = write(file.get(), bytes.data(), bytes.size());
  const bool whole = written == static_cast<ssize_t>(bytes.size());
  if (!whole || renameat(directory.get(), temporary.c_str(), directory.get(), name.c_str()) != 0) {
    unlinkat(directory.get(), temporary.c_str(), 0);
  }
}

}  // namespace ocid
