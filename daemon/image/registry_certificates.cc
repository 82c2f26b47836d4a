#include "daemon/image/registry_certificates.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <vector>

#include "daemon/image/image_errors.h"
#include "daemon/image/store_files.h"
#include "runtime/base/unique_fd.h"

namespace ocid {
namespace {

constexpr size_t kMaxFileBytes = size_t{1} << 20;
constexpr size_t kMaxFiles = 64;

bool CanBeAName(const std::string& host) {
  return !host.empty() && host.size() <= NAME_MAX && host != "." && host != ".." &&
         host.find('/') == std::string::npos && host.find('\0') == std::string::npos;
}

}  // namespace

absl::StatusOr<std::string> ReadCertificates(const std::string& directory,
                                             const std::string& host) {
  if (directory.empty() || !CanBeAName(host)) return "";
  const std::string path = directory + "/" + host;
  const UniqueFd folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid()) {
    if (errno == ENOENT || errno == ENOTDIR) return "";
    return StoreFailed("open " + path, errno);
  }
  absl::StatusOr<std::vector<std::string>> names = ListDirectory(folder);
  if (!names.ok()) return names.status();
  std::erase_if(*names, [](const std::string& name) { return !name.ends_with(".crt"); });
  if (names->size() > kMaxFiles) {
    return ImageInvalid(path + ": more than " + std::to_string(kMaxFiles) + " certificates");
  }
  std::sort(names->begin(), names->end());
  std::string certificates;
  for (const std::string& name : *names) {
    const std::string file_path = path + "/" + name;
    const UniqueFd file(openat(folder.get(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file.valid()) return StoreFailed("open " + file_path, errno);
    absl::StatusOr<std::string> text = ReadAll(file, kMaxFileBytes, file_path);
    if (!text.ok()) return text.status();
    certificates += *text;
    certificates += '\n';
  }
  return certificates;
}

}  // namespace ocid
