#include "runtime/oci/json_identity.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/oci/json_pointer.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

// A more thorough shuffle is told as a new array: moving is quadratic, and nobody reads that.
constexpr std::ptrdiff_t kMostMoves = 100;

struct PatternRule {
  std::string_view pattern;  // tokens; "*" stands for any one
  ArrayRule rule;
};

constexpr ArrayRule kByValue = {ArrayIdentity::kValue, {}};
constexpr ArrayRule kByEnvName = {ArrayIdentity::kEnvName, {}};
constexpr ArrayRule kWholeArray = {ArrayIdentity::kWhole, {}};

constexpr ArrayRule ByMember(std::string_view member) { return {ArrayIdentity::kMember, member}; }

constexpr std::array kRules = {
    PatternRule{"/process/env", kByEnvName},
    PatternRule{"/process/args", kWholeArray},
    PatternRule{"/process/rlimits", ByMember("type")},
    PatternRule{"/process/capabilities/*", kByValue},
    PatternRule{"/process/user/additionalGids", kByValue},
    PatternRule{"/mounts", ByMember("destination")},
    PatternRule{"/mounts/*/options", kByValue},
    PatternRule{"/hooks/*/*/args", kWholeArray},
    PatternRule{"/hooks/*/*/env", kByEnvName},
    PatternRule{"/linux/namespaces", ByMember("type")},
    PatternRule{"/linux/devices", ByMember("path")},
    PatternRule{"/linux/maskedPaths", kByValue},
    PatternRule{"/linux/readonlyPaths", kByValue},
    PatternRule{"/linux/resources/hugepageLimits", ByMember("pageSize")},
    PatternRule{"/linux/resources/network/priorities", ByMember("name")},
    PatternRule{"/linux/seccomp/architectures", kByValue},
    PatternRule{"/linux/seccomp/flags", kByValue},
};

bool Matches(std::string_view pattern, const std::vector<std::string>& tokens) {
  for (const std::string& token : tokens) {
    if (pattern.empty()) return false;
    pattern.remove_prefix(1);
    const std::string_view wanted = pattern.substr(0, pattern.find('/'));
    if (wanted != "*" && wanted != token) return false;
    pattern.remove_prefix(wanted.size());
  }
  return pattern.empty();
}

// Writes the operations that make one document of another. Walks both; `tokens_` is where it is.
class Differ {
 public:
  explicit Differ(Json& patch, size_t same_front = 0) : patch_(patch), same_front_(same_front) {}

  void Enter(std::string_view token) { tokens_.emplace_back(token); }
  void Leave() { tokens_.pop_back(); }

  void DiffValue(const Json& before, const Json& after) {
    if (before.is_object() && after.is_object()) {
      DiffObject(before, after);
    } else if (before.is_array() && after.is_array()) {
      DiffArray(before.get_ref<const Json::array_t&>(), after.get_ref<const Json::array_t&>(),
                after);
    } else if (!SameValue(before, after)) {
      Emit("replace", Path(), &after);
    }
  }

 private:
  // One element of the array as it is while the operations before are applied.
  struct Slot {
    std::string identity;
    const Json* value;
  };

  // nlohmann's == calls 1 and 1.0 equal; as text they differ, and so does their digest.
  static bool SameValue(const Json& a, const Json& b) {
    if (a.is_number_float() != b.is_number_float() || a != b) return false;
    return !a.is_number_float() || std::signbit(a.get<double>()) == std::signbit(b.get<double>());
  }

  std::string Path() const {
    std::string path;
    for (const std::string& token : tokens_) AppendPointerToken(token, path);
    return path;
  }

  void Emit(const char* op, std::string path, const Json* value) {
    Json operation = {{"op", op}, {"path", std::move(path)}};
    if (value != nullptr) operation["value"] = *value;
    patch_.push_back(std::move(operation));
  }

  void EmitMove(size_t from, size_t to) {
    const std::string path = Path();
    patch_.push_back(
        {{"op", "move"}, {"from", JoinPointer(path, from)}, {"path", JoinPointer(path, to)}});
  }

  void DiffObject(const Json& before, const Json& after) {
    const auto& old_members = before.get_ref<const Json::object_t&>();
    const auto& new_members = after.get_ref<const Json::object_t&>();
    // Both are sorted by name.
    auto a = old_members.begin();
    auto b = new_members.begin();
    while (a != old_members.end() || b != new_members.end()) {
      if (b == new_members.end() || (a != old_members.end() && a->first < b->first)) {
        Emit("remove", JoinPointer(Path(), a->first), nullptr);
        ++a;
      } else if (a == old_members.end() || b->first < a->first) {
        Emit("add", JoinPointer(Path(), b->first), &b->second);
        ++b;
      } else {
        Enter(a->first);
        DiffValue(a->second, b->second);
        Leave();
        ++a;
        ++b;
      }
    }
  }

  void DiffArray(const Json::array_t& before, const Json::array_t& after, const Json& whole) {
    const size_t shorter = std::min(before.size(), after.size());
    size_t front = tokens_.size() == 1 ? std::min(same_front_, shorter) : 0;
    while (front < shorter && Identical(before[front], after[front])) ++front;
    if (front == before.size() && front == after.size()) return;
    size_t back = 0;
    while (back < shorter - front &&
           Identical(before[before.size() - 1 - back], after[after.size() - 1 - back])) {
      ++back;
    }

    const ArrayRule rule = ArrayRuleFor(tokens_);
    const size_t old_end = before.size() - back;
    const size_t new_end = after.size() - back;
    if (rule.identity == ArrayIdentity::kWhole) {
      Emit("replace", Path(), &whole);
      return;
    }
    std::vector<Slot> old_slots;
    std::vector<Slot> new_slots;
    if (rule.identity == ArrayIdentity::kPosition ||
        !Identify(rule, before, front, old_end, old_slots) ||
        !Identify(rule, after, front, new_end, new_slots)) {
      DiffByPosition(before, after, front, old_end, new_end);
      return;
    }
    if (front == 0 && back == 0 && !old_slots.empty() && !new_slots.empty() &&
        !AnyInCommon(old_slots, new_slots)) {
      Emit("replace", Path(), &whole);
      return;
    }
    DiffByIdentity(std::move(old_slots), new_slots, front, whole);
  }

  // Equal as text; an array or object with a difference somewhere inside is found by its diff.
  static bool Identical(const Json& a, const Json& b) {
    // Most values are strings, and the library's == takes a detour to them.
    if (a.is_string() && b.is_string()) {
      return a.get_ref<const std::string&>() == b.get_ref<const std::string&>();
    }
    if (!a.is_structured() || !b.is_structured()) return SameValue(a, b);
    if (a.type() != b.type()) return false;
    if (a.is_array()) {
      const auto& left = a.get_ref<const Json::array_t&>();
      const auto& right = b.get_ref<const Json::array_t&>();
      return std::equal(left.begin(), left.end(), right.begin(), right.end(), Identical);
    }
    const auto& left = a.get_ref<const Json::object_t&>();
    const auto& right = b.get_ref<const Json::object_t&>();
    return left.size() == right.size() &&
           std::equal(left.begin(), left.end(), right.begin(), [](const auto& x, const auto& y) {
             return x.first == y.first && Identical(x.second, y.second);
           });
  }

  void DiffByPosition(const Json::array_t& before, const Json::array_t& after, size_t front,
                      size_t old_end, size_t new_end) {
    const size_t shared_end = std::min(old_end, new_end);
    for (size_t i = front; i < shared_end; ++i) {
      Enter(absl::StrCat(i));
      DiffValue(before[i], after[i]);
      Leave();
    }
    const std::string path = Path();
    for (size_t i = old_end; i > shared_end; --i) Emit("remove", JoinPointer(path, i - 1), nullptr);
    for (size_t i = shared_end; i < new_end; ++i) Emit("add", JoinPointer(path, i), &after[i]);
  }

  // The identities of [begin, end); the n-th element of one identity is told apart by its n. False
  // if an element has none.
  static bool Identify(const ArrayRule& rule, const Json::array_t& array, size_t begin, size_t end,
                       std::vector<Slot>& slots) {
    std::unordered_map<std::string, int> seen;
    for (size_t i = begin; i < end; ++i) {
      std::optional<std::string> identity = ElementIdentity(rule, array[i]);
      if (!identity.has_value()) return false;
      const int occurrence = seen[*identity]++;
      // What follows the last NUL is the number, whatever the identity itself holds.
      identity->push_back('\0');
      absl::StrAppend(&*identity, occurrence);
      slots.push_back({*std::move(identity), &array[i]});
    }
    return true;
  }

  static bool AnyInCommon(const std::vector<Slot>& a, const std::vector<Slot>& b) {
    std::unordered_set<std::string_view> known;
    for (const Slot& slot : a) known.insert(slot.identity);
    return std::any_of(b.begin(), b.end(),
                       [&known](const Slot& slot) { return known.contains(slot.identity); });
  }

  void DiffByIdentity(std::vector<Slot> slots, const std::vector<Slot>& wanted, size_t front,
                      const Json& whole);

  Json& patch_;
  const size_t same_front_;  // elements of the array that the walk began at
  std::vector<std::string> tokens_;
};

// Marks a longest increasing subsequence of `values`: what may stay where it is.
std::vector<bool> LongestIncreasing(const std::vector<size_t>& values) {
  std::vector<size_t> tails;  // tails[k]: index of the smallest end of a run of k + 1
  std::vector<size_t> previous(values.size(), values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const auto it = std::lower_bound(tails.begin(), tails.end(), i, [&values](size_t a, size_t b) {
      return values[a] < values[b];
    });
    if (it != tails.begin()) previous[i] = *(it - 1);
    if (it == tails.end()) {
      tails.push_back(i);
    } else {
      *it = i;
    }
  }
  std::vector<bool> stays(values.size(), false);
  for (size_t i = tails.empty() ? values.size() : tails.back(); i < values.size();
       i = previous[i]) {
    stays[i] = true;
  }
  return stays;
}

// Four passes, each of which sees the array as the one before left it: remove from the back, move
// what is out of order, add from the front, then go into the elements that are in both.
void Differ::DiffByIdentity(std::vector<Slot> slots, const std::vector<Slot>& wanted, size_t front,
                            const Json& whole) {
  std::unordered_map<std::string_view, size_t> wanted_at;
  for (size_t i = 0; i < wanted.size(); ++i) wanted_at[wanted[i].identity] = i;
  std::vector<size_t> targets;  // of the elements that are in both: where they belong
  for (const Slot& slot : slots) {
    if (const auto it = wanted_at.find(slot.identity); it != wanted_at.end()) {
      targets.push_back(it->second);
    }
  }
  const std::vector<bool> stays = LongestIncreasing(targets);
  if (std::count(stays.begin(), stays.end(), false) > kMostMoves) {
    Emit("replace", Path(), &whole);
    return;
  }
  const std::string path = Path();

  for (size_t i = slots.size(); i-- > 0;) {
    if (!wanted_at.contains(slots[i].identity))
      Emit("remove", JoinPointer(path, front + i), nullptr);
  }
  std::erase_if(slots, [&](const Slot& slot) { return !wanted_at.contains(slot.identity); });

  std::vector<std::optional<bool>> moves(wanted.size());  // nothing: is not in the array yet
  for (size_t i = 0; i < targets.size(); ++i) moves[targets[i]] = !stays[i];
  const auto find = [&slots](std::string_view identity) {
    return std::find_if(slots.begin(), slots.end(),
                        [identity](const Slot& slot) { return slot.identity == identity; }) -
           slots.begin();
  };
  std::optional<std::string_view> predecessor;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (!moves[i].has_value()) continue;
    if (*moves[i]) {
      const std::ptrdiff_t from = find(wanted[i].identity);
      Slot slot = std::move(slots[static_cast<size_t>(from)]);
      slots.erase(slots.begin() + from);
      const std::ptrdiff_t to = predecessor.has_value() ? find(*predecessor) + 1 : 0;
      slots.insert(slots.begin() + to, std::move(slot));
      EmitMove(front + static_cast<size_t>(from), front + static_cast<size_t>(to));
    }
    predecessor = wanted[i].identity;
  }

  std::vector<std::pair<size_t, const Json*>> shared;  // index in the new array, old value
  for (size_t i = 0, old = 0; i < wanted.size(); ++i) {
    if (moves[i].has_value()) {
      shared.emplace_back(i, slots[old++].value);
    } else {
      Emit("add", JoinPointer(path, front + i), wanted[i].value);
    }
  }
  for (const auto& [index, old_value] : shared) {
    Enter(absl::StrCat(front + index));
    DiffValue(*old_value, *wanted[index].value);
    Leave();
  }
}

}  // namespace

ArrayRule ArrayRuleFor(const std::vector<std::string>& tokens) {
  for (const PatternRule& candidate : kRules) {
    if (Matches(candidate.pattern, tokens)) return candidate.rule;
  }
  return {};
}

std::optional<std::string> ElementIdentity(const ArrayRule& rule, const Json& element) {
  switch (rule.identity) {
    case ArrayIdentity::kValue:
      if (element.is_string()) return element.get_ref<const std::string&>();
      if (element.is_number_unsigned()) return absl::StrCat(element.get<uint64_t>());
      return std::nullopt;
    case ArrayIdentity::kEnvName:
      if (!element.is_string()) return std::nullopt;
      return element.get_ref<const std::string&>().substr(
          0, element.get_ref<const std::string&>().find('='));
    case ArrayIdentity::kMember: {
      const Json* member = FindMember(element, rule.member);
      if (member == nullptr || !member->is_string()) return std::nullopt;
      return member->get_ref<const std::string&>();
    }
    case ArrayIdentity::kPosition:
    case ArrayIdentity::kWhole:
      return std::nullopt;
  }
  return std::nullopt;
}

Json Diff(const Json& before, const Json& after) {
  Json patch = Json::array();
  Differ(patch).DiffValue(before, after);
  return patch;
}

void AppendMemberDiff(std::string_view member, const Json& before, const Json& after, Json& patch,
                      size_t same_front) {
  const Json* old_value = FindMember(before, member);
  const Json* new_value = FindMember(after, member);
  if (old_value == nullptr && new_value == nullptr) return;
  const std::string path = JoinPointer("", member);
  if (old_value == nullptr) {
    patch.push_back({{"op", "add"}, {"path", path}, {"value", *new_value}});
  } else if (new_value == nullptr) {
    patch.push_back({{"op", "remove"}, {"path", path}});
  } else {
    Differ differ(patch, same_front);
    differ.Enter(member);
    differ.DiffValue(*old_value, *new_value);
  }
}

}  // namespace ocid
