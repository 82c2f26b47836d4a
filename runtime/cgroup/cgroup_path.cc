#include "runtime/cgroup/cgroup_path.h"

#include <limits.h>

#include <algorithm>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "runtime/base/error_details.h"
#include "runtime/cgroup/text.h"

namespace ocid {
namespace {

// PATH_MAX less a mount point and the longest file name below.
constexpr size_t kMaxPathBytes = PATH_MAX - 512;
// Of a unit's name, systemd.unit(5).
constexpr size_t kMaxUnitNameBytes = 255;

absl::Status Invalid(std::string_view path, std::string_view why) {
  const std::string shown = absl::CHexEscape(AsAbsl(path.substr(0, 128)));
  absl::Status status = MakeError(absl::StatusCode::kInvalidArgument, "CGROUP_PATH_INVALID",
                                  absl::StrCat("linux.cgroupsPath \"", shown, "\": ", AsAbsl(why)));
  AddFieldViolation(status, "/linux/cgroupsPath", why);
  return status;
}

// Checks a relative path and gives it back without empty and "." components.
absl::StatusOr<std::string> CleanPath(std::string_view path) {
  if (path.size() > kMaxPathBytes) return Invalid(path, "is too long");
  std::string clean;
  for (const std::string_view component : SplitText(path, '/')) {
    if (component == ".") continue;
    if (component == "..") return Invalid(path, "must not contain \"..\"");
    if (component.size() > NAME_MAX) return Invalid(path, "has a component that is too long");
    for (const char c : component) {
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
        return Invalid(path, "must not contain control characters");
      }
    }
    // A name like a kernel file's would hide it, or fail in a way that is hard to read.
    if (component.starts_with("cgroup.")) {
      return Invalid(path, "must not have a component that starts with \"cgroup.\"");
    }
    absl::StrAppend(&clean, clean.empty() ? "" : "/", AsAbsl(component));
  }
  return clean;
}

bool IsUnitNameText(std::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter && std::string_view(":_.-\\@").find(c) == std::string_view::npos) return false;
  }
  return true;
}

// What an id may have and a unit's name may not, as systemd escapes it: systemd.unit(5).
std::string EscapeUnitName(std::string_view text) {
  return absl::StrReplaceAll(AsAbsl(text), {{"+", "\\x2b"}});
}

// "-.slice", or "a-b-c.slice" without empty parts: the dashes are its place in the tree.
bool IsSliceName(std::string_view name) {
  if (!name.ends_with(".slice") || name.size() > kMaxUnitNameBytes) return false;
  const std::string_view stem = name.substr(0, name.size() - 6);
  if (stem == "-") return true;
  return IsUnitNameText(stem) && !stem.starts_with('-') && !stem.ends_with('-') &&
         stem.find("--") == std::string_view::npos;
}

}  // namespace

absl::StatusOr<std::string> ResolveCgroupPath(std::string_view parent, std::string_view id,
                                              std::string_view cgroups_path) {
  if (cgroups_path.find('\0') != std::string_view::npos) {
    return Invalid(cgroups_path, "must not contain NUL");
  }
  if (cgroups_path.find(':') != std::string_view::npos && !cgroups_path.starts_with('/')) {
    return Invalid(cgroups_path, "slice:prefix:name needs the systemd cgroup manager");
  }
  const bool absolute = cgroups_path.starts_with('/');
  absl::StatusOr<std::string> below = CleanPath(cgroups_path.empty() ? id : cgroups_path);
  if (!below.ok()) return below;
  if (below->empty()) return Invalid(cgroups_path, "must not be the root");
  if (absolute) return below;
  absl::StatusOr<std::string> prefix = CleanPath(parent);
  if (!prefix.ok() || prefix->empty()) return prefix.ok() ? below : prefix;
  std::string joined = absl::StrCat(*prefix, "/", *below);
  if (joined.size() > kMaxPathBytes) return Invalid(cgroups_path, "is too long");
  return joined;
}

std::string ScopeName::CgroupPath() const {
  std::string path;
  const std::string_view stem = std::string_view(slice).substr(0, slice.size() - 6);
  if (stem != "-") {
    for (size_t dash = stem.find('-'); dash != std::string_view::npos;
         dash = stem.find('-', dash + 1)) {
      absl::StrAppend(&path, AsAbsl(stem.substr(0, dash)), ".slice/");
    }
    absl::StrAppend(&path, slice, "/");
  }
  return absl::StrCat(path, scope);
}

absl::StatusOr<ScopeName> ResolveScopeName(std::string_view default_slice, std::string_view id,
                                           std::string_view cgroups_path) {
  if (cgroups_path.find('\0') != std::string_view::npos) {
    return Invalid(cgroups_path, "must not contain NUL");
  }
  ScopeName name{std::string(default_slice), absl::StrCat("ocid-", EscapeUnitName(id), ".scope")};
  if (!cgroups_path.empty()) {
    const size_t first = cgroups_path.find(':');
    const size_t second =
        first == std::string_view::npos ? first : cgroups_path.find(':', first + 1);
    if (second == std::string_view::npos) {
      return Invalid(cgroups_path, "the systemd cgroup manager needs the form slice:prefix:name");
    }
    const std::string_view slice = cgroups_path.substr(0, first);
    const std::string_view prefix = cgroups_path.substr(first + 1, second - first - 1);
    const std::string_view unit = cgroups_path.substr(second + 1);
    if (!slice.empty()) name.slice = slice;
    if (unit.empty()) return Invalid(cgroups_path, "has no name");
    if (unit.ends_with(".slice")) return Invalid(cgroups_path, "must name a scope, not a slice");
    name.scope = absl::StrCat(AsAbsl(prefix), prefix.empty() ? "" : "-", EscapeUnitName(unit), ".scope");
  }
  if (!IsSliceName(name.slice)) {
    return Invalid(cgroups_path, absl::StrCat("\"", name.slice, "\" is not the name of a slice"));
  }
  const std::string_view stem = std::string_view(name.scope).substr(0, name.scope.size() - 6);
  if (!IsUnitNameText(stem) || name.scope.size() > kMaxUnitNameBytes) {
    return Invalid(cgroups_path, absl::StrCat("\"", absl::CHexEscape(name.scope),
                                              "\" is not the name of a unit"));
  }
  return name;
}

ScopeName SupervisorScope(std::string_view slice) {
  std::string stem(slice.substr(0, slice.size() - std::string_view(".slice").size()));
  std::replace(stem.begin(), stem.end(), '-', '.');
  const bool own = stem != "system" && stem != ".";
  return {std::string(slice), absl::StrCat("ocid.supervisors", own ? "." : "", own ? stem : "",
                                           ".scope")};
}

}  // namespace ocid
