#include "runtime/plan/mount_options.h"

#include <linux/mount.h>

#include <algorithm>

namespace ocid {
namespace {

enum class Effect {
  kNone,  // what the kernel does anyway, or does not know any more
  kSet,
  kClear,
  kAtime,
  kPropagation,
  kSuperblock,
  kNotSuperblock,
  kBind,
  kRemount,
  kCopyUp,
  kMapIds,
};

struct KnownOption {
  std::string_view name;
  Effect effect;
  uint64_t value = 0;
  bool below = false;
};

// sorted by name
constexpr KnownOption kOptions[] = {
    {"async", Effect::kNotSuperblock},
    {"atime", Effect::kAtime, MOUNT_ATTR_RELATIME},
    {"bind", Effect::kBind},
    {"defaults", Effect::kNone},
    {"dev", Effect::kClear, MOUNT_ATTR_NODEV},
    {"diratime", Effect::kClear, MOUNT_ATTR_NODIRATIME},
    {"dirsync", Effect::kSuperblock},
    {"exec", Effect::kClear, MOUNT_ATTR_NOEXEC},
    {"idmap", Effect::kMapIds},
    {"iversion", Effect::kNone},
    {"lazytime", Effect::kSuperblock},
    {"loud", Effect::kNone},
    {"mand", Effect::kNone},
    {"noatime", Effect::kAtime, MOUNT_ATTR_NOATIME},
    {"nodev", Effect::kSet, MOUNT_ATTR_NODEV},
    {"nodiratime", Effect::kSet, MOUNT_ATTR_NODIRATIME},
    {"noexec", Effect::kSet, MOUNT_ATTR_NOEXEC},
    {"noiversion", Effect::kNone},
    {"nolazytime", Effect::kNotSuperblock},
    {"nomand", Effect::kNone},
    {"norelatime", Effect::kAtime, MOUNT_ATTR_RELATIME},
    {"nostrictatime", Effect::kAtime, MOUNT_ATTR_RELATIME},
    {"nosuid", Effect::kSet, MOUNT_ATTR_NOSUID},
    {"nosymfollow", Effect::kSet, MOUNT_ATTR_NOSYMFOLLOW},
    {"private", Effect::kPropagation, MS_PRIVATE},
    {"ratime", Effect::kAtime, MOUNT_ATTR_RELATIME, true},
    {"rbind", Effect::kBind, MS_REC},
    {"rdev", Effect::kClear, MOUNT_ATTR_NODEV, true},
    {"rdiratime", Effect::kClear, MOUNT_ATTR_NODIRATIME, true},
    {"relatime", Effect::kAtime, MOUNT_ATTR_RELATIME},
    {"remount", Effect::kRemount},
    {"rexec", Effect::kClear, MOUNT_ATTR_NOEXEC, true},
    {"ridmap", Effect::kMapIds, 1},
    {"rnoatime", Effect::kAtime, MOUNT_ATTR_NOATIME, true},
    {"rnodev", Effect::kSet, MOUNT_ATTR_NODEV, true},
    {"rnodiratime", Effect::kSet, MOUNT_ATTR_NODIRATIME, true},
    {"rnoexec", Effect::kSet, MOUNT_ATTR_NOEXEC, true},
    {"rnorelatime", Effect::kAtime, MOUNT_ATTR_RELATIME, true},
    {"rnostrictatime", Effect::kAtime, MOUNT_ATTR_RELATIME, true},
    {"rnosuid", Effect::kSet, MOUNT_ATTR_NOSUID, true},
    {"rnosymfollow", Effect::kSet, MOUNT_ATTR_NOSYMFOLLOW, true},
    {"ro", Effect::kSet, MOUNT_ATTR_RDONLY},
    {"rprivate", Effect::kPropagation, MS_PRIVATE | MS_REC},
    {"rrelatime", Effect::kAtime, MOUNT_ATTR_RELATIME, true},
    {"rro", Effect::kSet, MOUNT_ATTR_RDONLY, true},
    {"rrw", Effect::kClear, MOUNT_ATTR_RDONLY, true},
    {"rshared", Effect::kPropagation, MS_SHARED | MS_REC},
    {"rslave", Effect::kPropagation, MS_SLAVE | MS_REC},
    {"rstrictatime", Effect::kAtime, MOUNT_ATTR_STRICTATIME, true},
    {"rsuid", Effect::kClear, MOUNT_ATTR_NOSUID, true},
    {"rsymfollow", Effect::kClear, MOUNT_ATTR_NOSYMFOLLOW, true},
    {"runbindable", Effect::kPropagation, MS_UNBINDABLE | MS_REC},
    {"rw", Effect::kClear, MOUNT_ATTR_RDONLY},
    {"shared", Effect::kPropagation, MS_SHARED},
    {"silent", Effect::kNone},
    {"slave", Effect::kPropagation, MS_SLAVE},
    {"strictatime", Effect::kAtime, MOUNT_ATTR_STRICTATIME},
    {"suid", Effect::kClear, MOUNT_ATTR_NOSUID},
    {"symfollow", Effect::kClear, MOUNT_ATTR_NOSYMFOLLOW},
    {"sync", Effect::kSuperblock},
    {"tmpcopyup", Effect::kCopyUp},
    {"unbindable", Effect::kPropagation, MS_UNBINDABLE},
};

// fsconfig(2) takes no longer strings.
constexpr size_t kMaxParameterBytes = 255;

const KnownOption* FindOption(std::string_view name) {
  const auto* found =
      std::lower_bound(std::begin(kOptions), std::end(kOptions), name,
                       [](const KnownOption& a, std::string_view b) { return a.name < b; });
  return found != std::end(kOptions) && found->name == name ? found : nullptr;
}

// The last word counts: "ro" after "rw" is read-only.
void Apply(const KnownOption& option, MountAttributes& attributes) {
  switch (option.effect) {
    case Effect::kSet:
      attributes.set |= option.value;
      attributes.clear &= ~option.value;
      break;
    case Effect::kClear:
      attributes.clear |= option.value;
      attributes.set &= ~option.value;
      break;
    default:  // kAtime: one of several, and the kernel wants all of them cleared to change it
      attributes.clear |= MOUNT_ATTR__ATIME;
      attributes.set = (attributes.set & ~uint64_t{MOUNT_ATTR__ATIME}) | option.value;
      break;
  }
}

void AddParameter(const JsonCursor& where, const std::string& text, MountOptions& options) {
  const size_t equals = text.find('=');
  const std::string key = text.substr(0, equals);
  if (key.empty()) return where.Invalid("an option without a name");
  std::string value = equals == std::string::npos ? "" : text.substr(equals);
  if (value.size() > kMaxParameterBytes + 1 || key.size() > kMaxParameterBytes) {
    return where.Unsupported("longer than the kernel's mount API takes");
  }
  options.parameters.emplace_back(key, std::move(value));
}

void ApplyKnown(const KnownOption& option, MountOptions& options) {
  switch (option.effect) {
    case Effect::kNone:
      break;
    case Effect::kBind:
      options.bind = true;
      options.recursive = option.value != 0;
      break;
    case Effect::kRemount:
      options.remount = true;
      break;
    case Effect::kPropagation:
      options.propagation = option.value;
      break;
    case Effect::kSuperblock:
      options.parameters.emplace_back(option.name, "");
      break;
    case Effect::kNotSuperblock:
      // What it is without the option: only a remount needs to be told.
      std::erase_if(options.parameters, [&option](const auto& parameter) {
        return parameter.first == (option.name == "async" ? "sync" : "lazytime");
      });
      options.cleared.emplace_back(option.name, "");
      break;
    case Effect::kCopyUp:
      options.copy_up = true;
      break;
    case Effect::kMapIds:
      options.map_ids = true;
      options.map_below = option.value != 0;
      break;
    default:
      Apply(option, option.below ? options.below : options.own);
      break;
  }
}

}  // namespace

MountOptions ReadMountOptions(const JsonCursor& list) {
  MountOptions options;
  for (const JsonCursor& element : list.Elements()) {
    const std::string text = element.String();
    if (text.empty()) continue;
    const KnownOption* known = FindOption(text);
    if (known != nullptr) {
      ApplyKnown(*known, options);
    } else {
      AddParameter(element, text, options);
    }
  }
  if (options.remount) {
    options.parameters.insert(options.parameters.end(), options.cleared.begin(),
                              options.cleared.end());
  }
  return options;
}

std::vector<std::string> KnownMountOptions() {
  std::vector<std::string> names;
  for (const KnownOption& option : kOptions) names.emplace_back(option.name);
  return names;
}

}  // namespace ocid
