#include "daemon/access/role_table.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "daemon/base/log.h"

namespace ocid {
namespace {

constexpr std::array<std::string_view, 4> kRoleNames = {"none", "viewer", "operator", "admin"};
constexpr size_t kLookupBytes = 65536;

absl::Status Invalid(const std::string& line, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(QuoteForLog(line), ": ", why));
}

absl::StatusOr<uid_t> FindUser(const std::string& line, const std::string& name) {
  passwd entry;
  passwd* found = nullptr;
  std::vector<char> buffer(kLookupBytes);
  getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) return Invalid(line, "no such user");
  return found->pw_uid;
}

absl::StatusOr<gid_t> FindGroup(const std::string& line, const std::string& name) {
  group entry;
  group* found = nullptr;
  std::vector<char> buffer(kLookupBytes);
  getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) return Invalid(line, "no such group");
  return found->gr_gid;
}

bool FitsPattern(std::string_view pattern, std::string_view value) {
  if (value.empty()) return false;
  if (pattern.ends_with('*')) return value.starts_with(pattern.substr(0, pattern.size() - 1));
  return value == pattern;
}

bool FitsAny(std::string_view pattern, const std::vector<std::string>& values) {
  return std::any_of(values.begin(), values.end(),
                     [pattern](const std::string& value) { return FitsPattern(pattern, value); });
}

bool Has(const std::vector<gid_t>& gids, gid_t gid) {
  return std::find(gids.begin(), gids.end(), gid) != gids.end();
}

}  // namespace

std::string_view RoleName(Role role) { return kRoleNames[static_cast<size_t>(role)]; }

absl::StatusOr<RoleTable::Line> RoleTable::ParseLine(const std::string& text, bool look_up) {
  const size_t equals = text.find('=');
  const size_t colon = equals == std::string::npos ? equals : text.find(':', equals);
  if (colon == std::string::npos || colon + 1 == text.size()) {
    return Invalid(text, "is not ROLE=KIND:VALUE, such as operator=cn:ci");
  }
  Line line;
  const std::string_view role = std::string_view(text).substr(0, equals);
  const auto named = std::find(kRoleNames.begin(), kRoleNames.end(), role);
  if (named == kRoleNames.end()) {
    return Invalid(text, "the role is none of viewer, operator, admin, none");
  }
  line.role = static_cast<Role>(named - kRoleNames.begin());
  const std::string kind = text.substr(equals + 1, colon - equals - 1);
  line.text = text.substr(colon + 1);
  if (kind == "uid" || kind == "gid") {
    line.kind = kind == "uid" ? Line::Kind::kUid : Line::Kind::kGid;
    if (!absl::SimpleAtoi(line.text, &line.id)) return Invalid(text, "the id is not a number");
  } else if (kind == "user") {
    line.kind = Line::Kind::kUid;
    if (!look_up) return line;
    const absl::StatusOr<uid_t> uid = FindUser(text, line.text);
    if (!uid.ok()) return uid.status();
    line.id = *uid;
  } else if (kind == "group") {
    line.kind = Line::Kind::kGid;
    if (!look_up) return line;
    const absl::StatusOr<gid_t> gid = FindGroup(text, line.text);
    if (!gid.ok()) return gid.status();
    line.id = *gid;
  } else if (kind == "cn") {
    line.kind = Line::Kind::kCommonName;
  } else if (kind == "ou") {
    line.kind = Line::Kind::kUnit;
  } else if (kind == "san") {
    line.kind = Line::Kind::kAlternativeName;
  } else {
    return Invalid(text, "the kind is none of uid, gid, user, group, cn, ou, san");
  }
  return line;
}

absl::Status RoleTable::CheckForm(const std::string& line) {
  return ParseLine(line, /*look_up=*/false).status();
}

absl::StatusOr<RoleTable> RoleTable::Parse(const std::vector<std::string>& lines,
                                           std::vector<gid_t> socket_groups) {
  RoleTable table;
  table.socket_groups_ = std::move(socket_groups);
  for (const std::string& text : lines) {
    absl::StatusOr<Line> line = ParseLine(text, /*look_up=*/true);
    if (!line.ok()) return line.status();
    table.lines_.push_back(*std::move(line));
  }
  return table;
}

bool RoleTable::Fits(const Line& line, const Identity& identity) {
  const bool local = identity.source == Identity::Source::kUnixSocket;
  const bool remote = identity.source == Identity::Source::kCertificate;
  switch (line.kind) {
    case Line::Kind::kUid:
      return local && identity.uid == line.id;
    case Line::Kind::kGid:
      return local && Has(identity.gids, line.id);
    case Line::Kind::kCommonName:
      return remote && FitsPattern(line.text, identity.common_name);
    case Line::Kind::kUnit:
      return remote && FitsAny(line.text, identity.units);
    case Line::Kind::kAlternativeName:
      return remote && FitsAny(line.text, identity.alternative_names);
  }
  return false;
}

Role RoleTable::RoleOf(const Identity& identity) const {
  if (identity.source == Identity::Source::kSelf) return Role::kAdmin;
  for (const Line& line : lines_) {
    if (Fits(line, identity)) return line.role;
  }
  if (identity.source != Identity::Source::kUnixSocket) return Role::kNone;
  if (identity.uid == 0 || identity.uid == geteuid()) return Role::kAdmin;
  const bool in_group =
      std::any_of(socket_groups_.begin(), socket_groups_.end(),
                  [&identity](gid_t gid) { return Has(identity.gids, gid); });
  return in_group ? Role::kAdmin : Role::kNone;
}

}  // namespace ocid
