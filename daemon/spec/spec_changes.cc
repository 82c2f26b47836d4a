#include "daemon/spec/spec_changes.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/oci/json_patch.h"
#include "runtime/oci/json_pointer.h"
#include "runtime/oci/json_text.h"
#include "runtime/oci/oci_spec.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

constexpr size_t kLongestValue = 200;

std::string StringMember(const Json& value, std::string_view name) {
  const Json* member = FindMember(value, name);
  return member != nullptr && member->is_string() ? member->get_ref<const std::string&>() : "";
}

std::string ShortText(const Json& value) {
  std::string text = value.is_string() ? value.get_ref<const std::string&>() : CanonicalJson(value);
  if (text.size() > kLongestValue) text = absl::StrCat(text.substr(0, kLongestValue), "...");
  return text;
}

std::string JoinStrings(const Json* array) {
  std::string joined;
  for (const std::string& text : StringsOf(array)) {
    absl::StrAppend(&joined, joined.empty() ? "" : ", ", text);
  }
  return joined;
}

std::string DescribeDeviceRule(const Json& rule) {
  const auto number = [&rule](std::string_view name) {
    const Json* member = FindMember(rule, name);
    return member == nullptr ? std::string("*") : CanonicalJson(*member);
  };
  const Json* allow = FindMember(rule, "allow");
  const bool allowed = allow != nullptr && allow->is_boolean() && allow->get<bool>();
  const std::string type = StringMember(rule, "type");
  return absl::StrCat("device rule ", allowed ? "allow " : "deny ", type.empty() ? "a" : type, " ",
                      number("major"), ":", number("minor"), " ", StringMember(rule, "access"));
}

// The name of the thing that the first tokens of a path stand for, and how many tokens that takes.
struct Named {
  std::string name;
  size_t tokens = 0;
};

std::optional<Named> NameOf(const std::vector<std::string>& tokens, const Json& element) {
  const size_t n = tokens.size();
  const auto is = [&tokens, n](size_t i, std::string_view token) {
    return i < n && tokens[i] == token;
  };
  if (is(0, "mounts") && n >= 2) return Named{"mount " + StringMember(element, "destination"), 2};
  if (is(0, "annotations") && n >= 2) return Named{"annotation " + tokens[1], 2};
  if (is(0, "hooks") && n >= 3) {
    return Named{absl::StrCat(tokens[1], " hook ", StringMember(element, "path")), 3};
  }
  if (is(0, "process") && n >= 3) {
    if (tokens[1] == "env" && element.is_string()) {
      const std::string& entry = element.get_ref<const std::string&>();
      return Named{"environment variable " + entry.substr(0, entry.find('=')), 3};
    }
    if (tokens[1] == "rlimits") return Named{"rlimit " + StringMember(element, "type"), 3};
    if (tokens[1] == "user" && is(2, "additionalGids") && n >= 4) {
      return Named{"additional group " + CanonicalJson(element), 4};
    }
    if (tokens[1] == "capabilities" && n >= 4) {
      return Named{absl::StrCat(tokens[2], " capability ", ShortText(element)), 4};
    }
  }
  if (is(0, "linux") && n >= 3) {
    if (tokens[1] == "devices") return Named{"device " + StringMember(element, "path"), 3};
    if (tokens[1] == "namespaces") return Named{StringMember(element, "type") + " namespace", 3};
    if (tokens[1] == "maskedPaths") return Named{"masked path " + ShortText(element), 3};
    if (tokens[1] == "readonlyPaths") return Named{"read-only path " + ShortText(element), 3};
    if (tokens[1] == "sysctl") return Named{"sysctl " + tokens[2], 3};
    if (tokens[1] == "netDevices") return Named{"network device " + tokens[2], 3};
    if (tokens[1] == "resources" && is(2, "devices") && n >= 4) {
      return Named{DescribeDeviceRule(element), 4};
    }
  }
  return std::nullopt;
}

// How many tokens the pointer of a thing that NameOf knows has, for a path that may be deeper.
size_t ThingDepth(const std::vector<std::string>& tokens) {
  if (tokens.empty()) return 0;
  if (tokens[0] == "mounts" || tokens[0] == "annotations") return 2;
  if (tokens[0] == "hooks") return 3;
  if (tokens.size() < 2) return 3;
  if (tokens[0] == "process") {
    return tokens[1] == "capabilities" || tokens[1] == "user" ? 4 : 3;
  }
  if (tokens[0] == "linux") return tokens[1] == "resources" ? 4 : 3;
  return 0;
}

std::string Path(const std::vector<std::string>& tokens, size_t count) {
  std::string path;
  for (size_t i = 0; i < count; ++i) AppendPointerToken(tokens[i], path);
  return path;
}

std::string Describe(const Json& document, const std::vector<std::string>& tokens,
                     const Json* value) {
  const size_t depth = ThingDepth(tokens);
  const Json* element = nullptr;
  if (tokens.size() == depth) element = value;
  if (depth > 0 && element == nullptr && tokens.size() >= depth) {
    element = ResolvePointer(document, Path(tokens, depth));
  }
  if (element != nullptr) {
    if (const std::optional<Named> named = NameOf(tokens, *element)) {
      std::string text = named->name;
      for (size_t i = named->tokens; i < tokens.size(); ++i) {
        absl::StrAppend(&text, i == named->tokens ? ": " : " ", tokens[i]);
      }
      return text;
    }
  }
  return tokens.empty() ? "the document" : Path(tokens, tokens.size());
}

// What is worth saying about a value beyond its name.
std::string Details(const std::vector<std::string>& tokens, const Json& value) {
  if (tokens.size() == 2 && tokens[0] == "mounts") {
    std::string details = StringMember(value, "type");
    const std::vector<std::string> options = StringsOf(FindMember(value, "options"));
    std::string rest;
    for (const std::string& option : options) {
      if (details.empty() && (option == "bind" || option == "rbind")) {
        details = "bind";
      } else if (option != "bind" && option != "rbind") {
        absl::StrAppend(&rest, ", ", option);
      }
    }
    if (details.empty()) details = "mount";
    const std::string source = StringMember(value, "source");
    if (!source.empty()) absl::StrAppend(&details, " from ", source);
    return absl::StrCat(" (", details, rest, ")");
  }
  if (tokens.size() == 3 && tokens[0] == "process" && tokens[1] == "env" && value.is_string()) {
    const std::string& entry = value.get_ref<const std::string&>();
    const size_t equals = entry.find('=');
    if (equals == std::string::npos) return "";
    return absl::StrCat(" (", ShortText(Json(entry.substr(equals + 1))), ")");
  }
  if (tokens.size() == 3 && tokens[0] == "linux" && tokens[1] == "devices") {
    const Json* major = FindMember(value, "major");
    const Json* minor = FindMember(value, "minor");
    return absl::StrCat(" (", StringMember(value, "type"), " ",
                        major == nullptr ? "?" : CanonicalJson(*major), ":",
                        minor == nullptr ? "?" : CanonicalJson(*minor), ")");
  }
  if (tokens.size() == 3 && tokens[0] == "hooks") {
    const std::string args = JoinStrings(FindMember(value, "args"));
    return args.empty() ? "" : absl::StrCat(" (", args, ")");
  }
  if (tokens.size() == 3 && tokens[0] == "process" && tokens[1] == "rlimits") {
    const Json* soft = FindMember(value, "soft");
    const Json* hard = FindMember(value, "hard");
    return absl::StrCat(" (", soft == nullptr ? "?" : CanonicalJson(*soft), ":",
                        hard == nullptr ? "?" : CanonicalJson(*hard), ")");
  }
  if (tokens.size() == 3 && tokens[0] == "linux" && tokens[1] == "namespaces") {
    const std::string path = StringMember(value, "path");
    return path.empty() ? "" : absl::StrCat(" (", path, ")");
  }
  // Capabilities, groups, rules and the like are named by what they are.
  if (tokens.size() == 4 || (tokens.size() == 3 && tokens[1].ends_with("Paths"))) {
    if (tokens[1] == "capabilities" || tokens[2] == "additionalGids" || tokens[2] == "devices" ||
        tokens[1].ends_with("Paths")) {
      return "";
    }
  }
  return absl::StrCat(" (", ShortText(value), ")");
}

// True for containers that are told element by element.
bool IsGroup(const std::vector<std::string>& tokens, const Json& value) {
  if (!value.is_structured() || value.empty()) return false;
  if (tokens.empty()) return true;
  const std::string& first = tokens[0];
  if (tokens.size() == 1) {
    return first == "process" || first == "linux" || first == "hooks" || first == "mounts" ||
           first == "annotations" || first == "root";
  }
  if (tokens.size() == 2) {
    return first == "hooks" || (first == "process" && tokens[1] != "args") ||
           (first == "linux" && tokens[1] != "seccomp");
  }
  return tokens.size() == 3 &&
         (tokens[2] == "additionalGids" || tokens[1] == "resources" || tokens[1] == "capabilities");
}

void AddedChanges(std::vector<std::string>& tokens, const Json& document, const Json& value,
                  std::vector<SpecChange>& changes) {
  if (!IsGroup(tokens, value)) {
    changes.push_back(
        {SpecChangeKind::kAdded, Path(tokens, tokens.size()),
         absl::StrCat(Describe(document, tokens, &value), " added", Details(tokens, value))});
    return;
  }
  const auto descend = [&](std::string token, const Json& part) {
    tokens.push_back(std::move(token));
    AddedChanges(tokens, document, part, changes);
    tokens.pop_back();
  };
  if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) descend(absl::StrCat(i), value[i]);
  } else {
    for (const auto& [name, member] : value.get_ref<const Json::object_t&>()) descend(name, member);
  }
}

}  // namespace

void AppendChanges(const Json& operation, const Json& document, std::vector<SpecChange>& changes) {
  const std::string op = StringMember(operation, "op");
  const std::string path = StringMember(operation, op == "move" ? "from" : "path");
  absl::StatusOr<std::vector<std::string>> tokens = SplitPointer(path);
  if (!tokens.ok()) return;
  const Json* old_value = ResolvePointer(document, path);
  const Json* new_value = FindMember(operation, "value");
  if (op == "add" && new_value != nullptr) {
    AddedChanges(*tokens, document, *new_value, changes);
  } else if (op == "remove") {
    changes.push_back(
        {SpecChangeKind::kRemoved, path, Describe(document, *tokens, old_value) + " removed"});
  } else if (op == "move") {
    changes.push_back({SpecChangeKind::kMoved, path,
                       absl::StrCat(Describe(document, *tokens, old_value), " moved to position ",
                                    StringMember(operation, "path")
                                        .substr(StringMember(operation, "path").rfind('/') + 1))});
  } else if (op == "replace" && old_value != nullptr && new_value != nullptr) {
    std::string what = Describe(document, *tokens, old_value);
    std::string from = Details(*tokens, *old_value);
    std::string to = Details(*tokens, *new_value);
    changes.push_back(
        {SpecChangeKind::kChanged, path, absl::StrCat(what, " changed:", from, " ->", to)});
  }
}

std::string DescribeValue(const Json& document, std::string_view pointer) {
  const absl::StatusOr<std::vector<std::string>> tokens = SplitPointer(pointer);
  if (!tokens.ok()) return std::string(pointer);
  return Describe(document, *tokens, ResolvePointer(document, pointer));
}

std::string ThingAround(std::string_view pointer) {
  const absl::StatusOr<std::vector<std::string>> tokens = SplitPointer(pointer);
  if (!tokens.ok()) return {};
  const size_t depth = ThingDepth(*tokens);
  const bool within =
      depth > 0 && tokens->size() > depth && ParseArrayIndex((*tokens)[depth - 1]).has_value();
  return within ? Path(*tokens, depth) : std::string();
}

}  // namespace ocid
