#include "daemon/image/tree_manifest.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "daemon/image/image_errors.h"
#include "daemon/image/json_reader.h"
#include "daemon/image/store_files.h"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 900;  // one descriptor each
constexpr size_t kMaxManifestLines = 8'000'000;

std::string TypeName(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return "file";
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "symlink";
    case S_IFCHR:
      return "char";
    case S_IFBLK:
      return "block";
    case S_IFIFO:
      return "fifo";
    default:
      return "socket";
  }
}

// Not the tree's own: the host's labels, and what overlayfs keeps for itself.
bool IsForeignXattr(std::string_view name) {
  return name == "security.selinux" || name.starts_with("trusted.overlay.") ||
         name.starts_with("user.overlay.");
}

absl::StatusOr<std::map<std::string, std::string>> ReadXattrs(const std::string& path) {
  std::map<std::string, std::string> xattrs;
  std::vector<char> names(XATTR_LIST_MAX);
  const ssize_t size = listxattr(path.c_str(), names.data(), names.size());
  if (size < 0) {
    if (errno == ENOTSUP) return xattrs;
    return StoreFailed("listxattr", errno);
  }
  std::vector<char> value(XATTR_SIZE_MAX);
  for (ssize_t at = 0; at < size;) {
    const std::string name(names.data() + at);
    at += static_cast<ssize_t>(name.size()) + 1;
    if (IsForeignXattr(name)) continue;
    const ssize_t length = getxattr(path.c_str(), name.c_str(), value.data(), value.size());
    if (length < 0) {
      if (errno == ENODATA) continue;
      return StoreFailed("getxattr " + name, errno);
    }
    xattrs[name] = std::string(value.data(), static_cast<size_t>(length));
  }
  return xattrs;
}

absl::StatusOr<std::string> HashFile(BorrowedFd directory, const std::string& name) {
  const UniqueFd file(
      openat(directory.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid()) return StoreFailed("open " + name, errno);
  posix_fadvise(file.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  DigestHasher hasher;
  std::array<char, size_t{128} << 10> buffer;
  for (;;) {
    const ssize_t count = read(file.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return StoreFailed("read " + name, errno);
    if (count == 0) return std::move(hasher).Finish().hex();
    hasher.Update({buffer.data(), static_cast<size_t>(count)});
  }
}

class TreeReader {
 public:
  absl::StatusOr<TreeManifest> Read(BorrowedFd root) {
    struct stat info;
    if (fstat(root.get(), &info) != 0) return StoreFailed("stat the root", errno);
    absl::Status status = Add(root, ".", ".", info);
    if (status.ok()) status = ReadDirectory(root, "", 0);
    if (!status.ok()) return status;
    std::sort(entries_.begin(), entries_.end(), [](const Found& a, const Found& b) {
      return a.entry.path < b.entry.path;
    });
    TreeManifest manifest;
    std::map<Inode, std::string> first_paths;
    for (Found& found : entries_) {
      if (found.has_links) NameHardLink(found, first_paths);
      manifest.push_back(std::move(found.entry));
    }
    return manifest;
  }

 private:
  using Inode = std::pair<dev_t, ino_t>;
  struct Found {
    TreeEntry entry;
    Inode inode;
    bool has_links = false;
  };

  // Of several names of one file, the first in order is the file.
  static void NameHardLink(Found& found, std::map<Inode, std::string>& first_paths) {
    const auto [first, inserted] = first_paths.emplace(found.inode, found.entry.path);
    if (inserted) return;
    TreeEntry link;
    link.path = std::move(found.entry.path);
    link.type = "hardlink";
    link.target = first->second;
    found.entry = std::move(link);
  }

  absl::Status ReadDirectory(BorrowedFd directory, const std::string& prefix, int depth) {
    if (depth == kMaxDepth) return ImageInvalid(prefix.substr(0, 200) + ": too deep");
    absl::StatusOr<std::vector<std::string>> names = ListDirectory(directory);
    if (!names.ok()) return names.status();
    for (const std::string& name : *names) {
      struct stat info;
      if (fstatat(directory.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return StoreFailed("stat " + prefix + name, errno);
      }
      absl::Status added = Add(directory, name, prefix + name, info);
      if (!added.ok()) return added;
      if (!S_ISDIR(info.st_mode)) continue;
      const UniqueFd below(openat(directory.get(), name.c_str(),
                                  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!below.valid()) return StoreFailed("open " + prefix + name, errno);
      absl::Status read = ReadDirectory(below, prefix + name + "/", depth + 1);
      if (!read.ok()) return read;
    }
    return absl::OkStatus();
  }

  absl::Status Add(BorrowedFd directory, const std::string& name, const std::string& path,
                   const struct stat& info) {
    Found found;
    TreeEntry& entry = found.entry;
    entry.path = path;
    entry.type = TypeName(info.st_mode);
    entry.mode = info.st_mode & 07777;
    entry.uid = info.st_uid;
    entry.gid = info.st_gid;
    found.inode = {info.st_dev, info.st_ino};
    found.has_links = info.st_nlink > 1 && !S_ISDIR(info.st_mode);
    if (S_ISREG(info.st_mode)) {
      entry.size_bytes = static_cast<uint64_t>(info.st_size);
      std::string& known = hashes_[found.inode];
      if (!found.has_links || known.empty()) {
        absl::StatusOr<std::string> hash = HashFile(directory, name);
        if (!hash.ok()) return hash.status();
        entry.sha256 = *hash;
        if (found.has_links) known = *std::move(hash);
      } else {
        entry.sha256 = known;
      }
      if (!found.has_links) hashes_.erase(found.inode);
    } else if (S_ISLNK(info.st_mode)) {
      std::array<char, PATH_MAX> target;
      const ssize_t size =
          readlinkat(directory.get(), name.c_str(), target.data(), target.size());
      if (size < 0) return StoreFailed("readlink " + path, errno);
      entry.target = std::string(target.data(), static_cast<size_t>(size));
    } else if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)) {
      entry.major = major(info.st_rdev);
      entry.minor = minor(info.st_rdev);
    }
    // An O_PATH descriptor's magic link leads to the very inode, links included.
    const UniqueFd node(openat(directory.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!node.valid()) return StoreFailed("open " + path, errno);
    absl::StatusOr<std::map<std::string, std::string>> xattrs =
        ReadXattrs("/proc/self/fd/" + std::to_string(node.get()));
    if (!xattrs.ok()) return xattrs.status();
    entry.xattrs = *std::move(xattrs);
    entries_.push_back(std::move(found));
    return absl::OkStatus();
  }

  std::vector<Found> entries_;
  std::map<Inode, std::string> hashes_;  // of files with several names
};

// Names and targets are bytes; JSON is UTF-8. What is not goes as hex under another name.
void SetText(json& object, const char* name, const std::string& text) {
  if (IsValidUtf8(text)) {
    object[name] = text;
  } else {
    object[std::string(name) + "_hex"] = absl::BytesToHexString(text);
  }
}

void ReadText(JsonReader& reader, const std::string& name, std::string& text) {
  reader.Read(name, text);
  std::string hex;
  reader.Read(name + "_hex", hex);
  if (!hex.empty()) text = absl::HexStringToBytes(hex);
}

std::string Line(const TreeEntry& entry) {
  json object = {{"type", entry.type}};
  SetText(object, "path", entry.path);
  if (entry.type == "hardlink") {
    SetText(object, "target", entry.target);
    return CanonicalJson(object);
  }
  object["mode"] = entry.mode;
  object["uid"] = entry.uid;
  object["gid"] = entry.gid;
  if (entry.type == "file") {
    object["size"] = entry.size_bytes;
    object["sha256"] = entry.sha256;
  }
  if (!entry.target.empty()) SetText(object, "target", entry.target);
  if (entry.type == "char" || entry.type == "block") {
    object["major"] = entry.major;
    object["minor"] = entry.minor;
  }
  for (const auto& [name, value] : entry.xattrs) {
    object["xattrs"][absl::CHexEscape(name)] = absl::BytesToHexString(value);
  }
  return CanonicalJson(object);
}

absl::StatusOr<TreeEntry> ParseLine(std::string_view line) {
  absl::StatusOr<json> document = ParseJson(line, {.bytes = size_t{4} << 20, .depth = 4});
  if (!document.ok()) return ImageInvalid("manifest of a tree: a line is not JSON");
  JsonReader reader(*document, "manifest of a tree");
  TreeEntry entry;
  uint64_t mode = 0;
  uint64_t uid = 0;
  uint64_t gid = 0;
  uint64_t device_major = 0;
  uint64_t device_minor = 0;
  std::map<std::string, std::string> xattrs;
  ReadText(reader, "path", entry.path);
  ReadText(reader, "target", entry.target);
  reader.Read("type", entry.type);
  reader.Read("mode", mode);
  reader.Read("uid", uid);
  reader.Read("gid", gid);
  reader.Read("size", entry.size_bytes);
  reader.Read("sha256", entry.sha256);
  reader.Read("major", device_major);
  reader.Read("minor", device_minor);
  reader.Read("xattrs", xattrs);
  if (entry.path.empty() || entry.type.empty()) reader.Fail("path", "missing");
  if (!reader.status().ok()) return reader.status();
  entry.mode = static_cast<uint32_t>(mode);
  entry.uid = static_cast<uint32_t>(uid);
  entry.gid = static_cast<uint32_t>(gid);
  entry.major = static_cast<uint32_t>(device_major);
  entry.minor = static_cast<uint32_t>(device_minor);
  for (const auto& [escaped, hex] : xattrs) {
    std::string name;
    if (!absl::CUnescape(escaped, &name)) return ImageInvalid("manifest of a tree: xattrs");
    entry.xattrs[name] = absl::HexStringToBytes(hex);
  }
  return entry;
}

std::string Printable(const std::string& path) { return absl::CHexEscape(path); }

void CompareXattrs(const TreeEntry& expected, const TreeEntry& actual,
                   std::vector<TreeDifference>& differences) {
  const auto value = [](const TreeEntry& entry, const std::string& name) {
    const auto found = entry.xattrs.find(name);
    return found == entry.xattrs.end() ? std::string() : "0x" + absl::BytesToHexString(found->second);
  };
  std::set<std::string> names;
  for (const TreeEntry* entry : {&expected, &actual}) {
    for (const auto& [name, bytes] : entry->xattrs) names.insert(name);
  }
  for (const std::string& name : names) {
    const std::string was = value(expected, name);
    const std::string is = value(actual, name);
    if (was == is) continue;
    differences.push_back({Printable(expected.path), "xattr " + Printable(name), was, is});
  }
}

void CompareEntries(const TreeEntry& expected, const TreeEntry& actual,
                    std::vector<TreeDifference>& differences) {
  const auto compare = [&](const char* what, const std::string& was, const std::string& is) {
    if (is == was) return;
    differences.push_back({Printable(expected.path), what, Printable(was), Printable(is)});
  };
  compare("type", expected.type, actual.type);
  if (actual.type != expected.type) return;
  compare("target", expected.target, actual.target);
  if (expected.type == "hardlink") return;
  compare("mode", absl::StrFormat("%04o", expected.mode), absl::StrFormat("%04o", actual.mode));
  compare("owner", absl::StrCat(expected.uid, ":", expected.gid),
          absl::StrCat(actual.uid, ":", actual.gid));
  compare("size", absl::StrCat(expected.size_bytes), absl::StrCat(actual.size_bytes));
  compare("digest", expected.sha256, actual.sha256);
  compare("device", absl::StrCat(expected.major, ":", expected.minor),
          absl::StrCat(actual.major, ":", actual.minor));
  CompareXattrs(expected, actual, differences);
}

}  // namespace

absl::StatusOr<TreeManifest> ReadTree(BorrowedFd root) { return TreeReader().Read(root); }

std::string SerializeTree(const TreeManifest& manifest) {
  std::string text;
  for (const TreeEntry& entry : manifest) {
    text += Line(entry);
    text += '\n';
  }
  return text;
}

absl::StatusOr<TreeManifest> ParseTree(std::string_view text) {
  TreeManifest manifest;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (line.empty()) continue;
    if (manifest.size() == kMaxManifestLines) return ImageInvalid("manifest of a tree: too long");
    absl::StatusOr<TreeEntry> entry = ParseLine(line);
    if (!entry.ok()) return entry.status();
    manifest.push_back(*std::move(entry));
  }
  const auto later = [](const TreeEntry& a, const TreeEntry& b) { return a.path >= b.path; };
  if (std::adjacent_find(manifest.begin(), manifest.end(), later) != manifest.end()) {
    return ImageInvalid("manifest of a tree: not in order");
  }
  return manifest;
}

Digest TreeDigest(const TreeManifest& manifest) {
  DigestHasher hasher;
  for (const TreeEntry& entry : manifest) hasher.Update(Digest::Sha256Of(Line(entry)).hex());
  return std::move(hasher).Finish();
}

std::vector<TreeDifference> CompareTrees(const TreeManifest& expected,
                                         const TreeManifest& actual) {
  std::vector<TreeDifference> differences;
  const auto added = [&](const TreeEntry& entry) {
    differences.push_back({Printable(entry.path), "added", "", entry.type});
  };
  size_t at = 0;
  for (const TreeEntry& entry : expected) {
    for (; at < actual.size() && actual[at].path < entry.path; ++at) added(actual[at]);
    if (at == actual.size() || actual[at].path != entry.path) {
      differences.push_back({Printable(entry.path), "missing", entry.type, ""});
    } else {
      CompareEntries(entry, actual[at++], differences);
    }
  }
  for (; at < actual.size(); ++at) added(actual[at]);
  return differences;
}

}  // namespace ocid
