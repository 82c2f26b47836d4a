#include "daemon/spec/drift/mount_table.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace ocid {
namespace {

// "\040" is a space; the kernel writes three octal digits.
std::string Unescaped(absl::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '7'; };
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && digit(text[i + 1]) && digit(text[i + 2]) &&
        digit(text[i + 3])) {
      result.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                         (text[i + 3] - '0')));
      i += 3;
    } else {
      result.push_back(text[i]);
    }
  }
  return result;
}

}  // namespace

bool MountEntry::HasOption(std::string_view option) const {
  return std::find(options.begin(), options.end(), option) != options.end();
}

std::string MountEntry::Describe() const {
  return absl::StrCat(type, root == "/" ? "" : absl::StrCat(" ", root), " on ", mount_point, " (",
                      absl::StrJoin(options, ", "), ")");
}

std::vector<MountEntry> ParseMountTable(std::string_view text) {
  std::vector<MountEntry> mounts;
  for (const absl::string_view line :
       absl::StrSplit(absl::string_view(text.data(), text.size()), '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
    if (fields.size() < 10) continue;
    // Any number of optional fields, then a "-".
    const auto dash = std::find(fields.begin() + 6, fields.end(), "-");
    if (fields.end() - dash < 3) continue;
    MountEntry mount;
    if (!absl::SimpleAtoi(fields[0], &mount.id)) continue;
    mount.device = std::string(fields[2]);
    mount.root = Unescaped(fields[3]);
    mount.mount_point = Unescaped(fields[4]);
    mount.options = absl::StrSplit(fields[5], ',');
    mount.type = Unescaped(dash[1]);
    mount.source = Unescaped(dash[2]);
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

}  // namespace ocid
