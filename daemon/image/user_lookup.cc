#include "daemon/image/user_lookup.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <set>

#include "daemon/image/image_errors.h"
#include "daemon/image/store_files.h"

namespace ocid {
namespace {

constexpr uint64_t kMaxUserId = std::numeric_limits<int32_t>::max();
constexpr size_t kMaxUserBytes = 512;

// With a sign, too: no account's name begins with one, and no id has one.
bool IsNumber(std::string_view text) {
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Nothing where it is no number or too large.
std::optional<uint32_t> ParseId(std::string_view text) {
  if (!IsNumber(text)) return std::nullopt;
  uint64_t value = 0;
  for (const char digit : text) {
    if (digit < '0') return std::nullopt;  // a sign
    value = value * 10 + static_cast<uint64_t>(digit - '0');
    if (value > kMaxUserId) return std::nullopt;
  }
  return static_cast<uint32_t>(value);
}

std::string_view TakeUntil(std::string_view& text, char separator) {
  const size_t end = text.find(separator);
  const std::string_view part = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  return part;
}

// Calls `visit` with the colon-separated fields of each line that has at least `kFields`, until it
// returns true.
template <size_t kFields, class Visitor>
void ForEachLine(std::string_view text, const Visitor& visit) {
  while (!text.empty()) {
    std::string_view line = TakeUntil(text, '\n');
    if (line.empty() || line.front() == '#' ||
        std::count(line.begin(), line.end(), ':') < static_cast<ptrdiff_t>(kFields) - 1) {
      continue;
    }
    std::array<std::string_view, kFields> fields;
    for (std::string_view& field : fields) field = TakeUntil(line, ':');
    if (visit(fields)) return;
  }
}

struct PasswdEntry {
  std::string_view name;
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::string_view home;
};

// The first entry with this name, or with this id.
std::optional<PasswdEntry> FindPasswd(std::string_view text, std::string_view name,
                                      std::optional<uint32_t> wanted_uid) {
  std::optional<PasswdEntry> found;
  ForEachLine<6>(text, [&](const std::array<std::string_view, 6>& fields) {
    const std::optional<uint32_t> uid = ParseId(fields[2]);
    const std::optional<uint32_t> gid = ParseId(fields[3]);
    if (!uid.has_value() || !gid.has_value()) return false;
    const bool matches = wanted_uid.has_value() ? uid == wanted_uid : fields[0] == name;
    if (!matches) return false;
    found = PasswdEntry{fields[0], *uid, *gid, fields[5]};
    return true;
  });
  return found;
}

std::optional<uint32_t> FindGroup(std::string_view text, std::string_view name) {
  std::optional<uint32_t> found;
  ForEachLine<3>(text, [&](const std::array<std::string_view, 3>& fields) {
    if (fields[0] != name) return false;
    found = ParseId(fields[2]);
    return found.has_value();
  });
  return found;
}

std::vector<uint32_t> GroupsOf(std::string_view text, std::string_view user, uint32_t gid) {
  std::set<uint32_t> gids;
  ForEachLine<4>(text, [&](const std::array<std::string_view, 4>& fields) {
    std::string_view members = fields[3];
    while (!members.empty()) {
      if (TakeUntil(members, ',') != user) continue;
      const std::optional<uint32_t> id = ParseId(fields[2]);
      if (id.has_value() && *id != gid) gids.insert(*id);
      break;
    }
    return false;
  });
  return {gids.begin(), gids.end()};
}

absl::Status BadUser(std::string_view user, std::string_view why) {
  return ImageInvalid("user \"" + std::string(user.substr(0, 100)) + "\": " + std::string(why));
}

}  // namespace

absl::StatusOr<std::optional<std::string>> ReadAccountFile(BorrowedFd root,
                                                           const std::string& path) {
  const UniqueFd found(OpenAt2(root.get(), path.c_str(), O_PATH | O_CLOEXEC, 0,
                               RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV));
  if (!found.valid()) {
    // Whatever stands in the way is the image's doing: it has no such file.
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EXDEV) {
      return std::nullopt;
    }
    return StoreFailed("open " + path, errno);
  }
  struct stat info;
  if (fstat(found.get(), &info) != 0) return StoreFailed("stat " + path, errno);
  if (!S_ISREG(info.st_mode) || static_cast<uint64_t>(info.st_size) > kMaxAccountFileBytes) {
    return std::nullopt;
  }
  const UniqueFd file(open(("/proc/self/fd/" + std::to_string(found.get())).c_str(),
                           O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return StoreFailed("open " + path, errno);
  absl::StatusOr<std::string> text = ReadAll(file, kMaxAccountFileBytes, path);
  if (!text.ok()) return text.status();
  return std::optional<std::string>(*std::move(text));
}

absl::StatusOr<ResolvedUser> ResolveUser(std::string_view user,
                                         const std::optional<std::string>& passwd,
                                         const std::optional<std::string>& group) {
  if (user.size() > kMaxUserBytes) return BadUser(user, "too long");
  const std::string_view passwd_text = passwd.has_value() ? *passwd : std::string_view();
  const std::string_view group_text = group.has_value() ? *group : std::string_view();
  const size_t colon = user.find(':');
  const std::string_view user_part = user.substr(0, colon);
  const std::string_view group_part =
      colon == std::string_view::npos ? std::string_view() : user.substr(colon + 1);
  if (group_part.find(':') != std::string_view::npos) return BadUser(user, "more than one colon");

  ResolvedUser resolved;
  std::string_view user_name;  // of a user that was given by name
  if (IsNumber(user_part) || user_part.empty()) {
    const std::optional<uint32_t> uid = ParseId(user_part.empty() ? "0" : user_part);
    if (!uid.has_value()) return BadUser(user, "the number is beyond 2147483647");
    resolved.uid = *uid;
    if (const auto entry = FindPasswd(passwd_text, "", uid); entry.has_value()) {
      resolved.gid = entry->gid;
      resolved.home = std::string(entry->home);
    }
  } else {
    const std::optional<PasswdEntry> entry = FindPasswd(passwd_text, user_part, std::nullopt);
    if (!entry.has_value()) {
      return BadUser(user, passwd.has_value() ? "not in the image's /etc/passwd"
                                              : "the image has no readable /etc/passwd");
    }
    user_name = entry->name;
    resolved.uid = entry->uid;
    resolved.gid = entry->gid;
    resolved.home = std::string(entry->home);
  }

  if (!group_part.empty()) {
    const std::optional<uint32_t> gid =
        IsNumber(group_part) ? ParseId(group_part) : FindGroup(group_text, group_part);
    if (!gid.has_value()) {
      return BadUser(user, IsNumber(group_part) ? "the group's number is beyond 2147483647"
                                                : "the group is not in the image's /etc/group");
    }
    resolved.gid = *gid;
  } else if (!user_name.empty()) {
    resolved.additional_gids = GroupsOf(group_text, user_name, resolved.gid);
  }
  return resolved;
}

}  // namespace ocid
