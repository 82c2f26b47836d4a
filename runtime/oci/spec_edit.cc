#include "runtime/oci/spec_edit.h"

#include <algorithm>
#include <map>
#include <set>
#include <iterator>
#include <functional>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/oci/json_pointer.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

absl::StatusOr<Json*> Ensure(std::initializer_list<std::string_view> path, Json::value_t last,
                             Json& document) {
  Json* value = &document;
  std::string pointer;
  size_t depth = 0;
  for (const std::string_view name : path) {
    ++depth;
    AppendPointerToken(name, pointer);
    const Json::value_t wanted = depth == path.size() ? last : Json::value_t::object;
    auto& object = value->get_ref<Json::object_t&>();
    const auto it = object.try_emplace(std::string(name), wanted).first;
    if (it->second.type() != wanted) {
      return absl::InvalidArgumentError(
          absl::StrCat(pointer, ": is ", it->second.type_name(), ", must be ",
                       wanted == Json::value_t::array ? "array" : "object"));
    }
    value = &it->second;
  }
  return value;
}

const Json* Find(std::initializer_list<std::string_view> path, const Json& document) {
  const Json* value = &document;
  for (const std::string_view name : path) {
    value = FindMember(*value, name);
    if (value == nullptr) return nullptr;
  }
  return value;
}

Json::array_t* FindArray(std::initializer_list<std::string_view> path, Json& document) {
  Json* value = const_cast<Json*>(Find(path, document));
  return value != nullptr && value->is_array() ? &value->get_ref<Json::array_t&>() : nullptr;
}

bool MemberIs(const Json& element, std::string_view key, std::string_view value) {
  const Json* member = FindMember(element, key);
  return member != nullptr && member->is_string() && member->get_ref<const std::string&>() == value;
}

bool IsVariable(const Json& entry, std::string_view name) {
  if (!entry.is_string()) return false;
  const std::string_view text = entry.get_ref<const std::string&>();
  return text.starts_with(name) && (text.size() == name.size() || text[name.size()] == '=');
}

bool IsMountAt(const Json& mount, std::string_view cleaned) {
  const Json* destination = FindMember(mount, "destination");
  if (destination == nullptr || !destination->is_string()) return false;
  const auto& path = destination->get_ref<const std::string&>();
  return IsCleanPath(path) ? path == cleaned : CleanPath(path) == cleaned;
}

size_t MountDepth(const Json& mount) {
  const Json* destination = FindMember(mount, "destination");
  if (destination == nullptr || !destination->is_string()) return 0;
  const auto& path = destination->get_ref<const std::string&>();
  const auto slashes = [](const std::string& text) {
    return static_cast<size_t>(std::count(text.begin(), text.end(), '/'));
  };
  return IsCleanPath(path) ? slashes(path) : slashes(CleanPath(path));
}

}  // namespace

absl::StatusOr<Json*> EnsureObject(std::initializer_list<std::string_view> path, Json& document) {
  return Ensure(path, Json::value_t::object, document);
}

absl::StatusOr<Json*> EnsureArray(std::initializer_list<std::string_view> path, Json& document) {
  return Ensure(path, Json::value_t::array, document);
}

absl::Status SetEnv(std::string_view name, std::string_view value, Json& document) {
  const absl::StatusOr<Json*> env = EnsureArray({"process", "env"}, document);
  if (!env.ok()) return env.status();
  auto& entries = (*env)->get_ref<Json::array_t&>();
  const auto it = std::find_if(entries.begin(), entries.end(),
                               [name](const Json& entry) { return IsVariable(entry, name); });
  std::string text = absl::StrCat(View(name), "=", View(value));
  if (it == entries.end()) {
    entries.emplace_back(std::move(text));
  } else {
    *it = std::move(text);
  }
  return absl::OkStatus();
}

bool RemoveEnv(std::string_view name, Json& document) {
  Json::array_t* entries = FindArray({"process", "env"}, document);
  return entries != nullptr &&
         std::erase_if(*entries, [name](const Json& entry) { return IsVariable(entry, name); }) > 0;
}

absl::Status PutByMember(std::initializer_list<std::string_view> path, std::string_view key,
                         Json element, Json& document) {
  const absl::StatusOr<Json*> array = EnsureArray(path, document);
  if (!array.ok()) return array.status();
  auto& elements = (*array)->get_ref<Json::array_t&>();
  const Json* wanted = FindMember(element, key);
  const auto it = std::find_if(elements.begin(), elements.end(), [&](const Json& candidate) {
    const Json* member = FindMember(candidate, key);
    return member != nullptr && wanted != nullptr && *member == *wanted;
  });
  if (it == elements.end()) {
    elements.push_back(std::move(element));
  } else {
    *it = std::move(element);
  }
  return absl::OkStatus();
}

bool RemoveByMember(std::initializer_list<std::string_view> path, std::string_view key,
                    std::string_view value, Json& document) {
  Json::array_t* elements = FindArray(path, document);
  if (elements == nullptr) return false;
  const auto it = std::find_if(elements->begin(), elements->end(), [&](const Json& candidate) {
    return MemberIs(candidate, key, value);
  });
  if (it == elements->end()) return false;
  elements->erase(it);
  return true;
}

absl::Status PutMount(Json mount, Json& document) {
  const absl::StatusOr<Json*> mounts = EnsureArray({"mounts"}, document);
  if (!mounts.ok()) return mounts.status();
  const Json* destination = FindMember(mount, "destination");
  if (destination == nullptr || !destination->is_string()) {
    return absl::InvalidArgumentError("mount: no destination");
  }
  const std::string cleaned = CleanPath(destination->get_ref<const std::string&>());
  auto& elements = (*mounts)->get_ref<Json::array_t&>();
  const auto it = std::find_if(elements.begin(), elements.end(), [&cleaned](const Json& candidate) {
    return IsMountAt(candidate, cleaned);
  });
  if (it == elements.end()) {
    elements.push_back(std::move(mount));
  } else {
    *it = std::move(mount);
  }
  return absl::OkStatus();
}

bool RemoveMount(std::string_view destination, Json& document) {
  Json::array_t* elements = FindArray({"mounts"}, document);
  if (elements == nullptr) return false;
  const std::string cleaned = CleanPath(destination);
  const auto it =
      std::find_if(elements->begin(), elements->end(),
                   [&cleaned](const Json& candidate) { return IsMountAt(candidate, cleaned); });
  if (it == elements->end()) return false;
  elements->erase(it);
  return true;
}

void SortMounts(Json& document) {
  Json::array_t* mounts = FindArray({"mounts"}, document);
  if (mounts == nullptr) return;
  std::vector<std::pair<size_t, Json*>> order;
  order.reserve(mounts->size());
  for (Json& mount : *mounts) order.emplace_back(MountDepth(mount), &mount);
  const auto shallower = [](const auto& a, const auto& b) { return a.first < b.first; };
  if (std::is_sorted(order.begin(), order.end(), shallower)) return;
  std::stable_sort(order.begin(), order.end(), shallower);
  Json::array_t sorted;
  sorted.reserve(mounts->size());
  for (const auto& [depth, mount] : order) sorted.push_back(std::move(*mount));
  *mounts = std::move(sorted);
}

absl::StatusOr<size_t> PutMountsByDepth(std::vector<Json> mounts, Json& document) {
  const absl::StatusOr<Json*> ensured = EnsureArray({"mounts"}, document);
  if (!ensured.ok()) return ensured.status();
  auto& all = (*ensured)->get_ref<Json::array_t&>();
  std::map<std::string, size_t, std::less<>> places;  // of the new ones: a later one wins
  for (size_t i = 0; i < mounts.size(); ++i) {
    const Json* destination = FindMember(mounts[i], "destination");
    if (destination == nullptr || !destination->is_string()) {
      return absl::InvalidArgumentError("mount: no destination");
    }
    places[CleanPath(destination->get_ref<const std::string&>())] = i;
  }

  // Each mount with its depth; of those that are there, the first of a destination goes.
  std::vector<std::pair<size_t, Json*>> order;
  order.reserve(all.size() + mounts.size());
  std::set<std::string, std::less<>> dropped;
  size_t kept = 0;
  bool sorted = true;
  const auto add = [&](size_t depth, Json& mount) {
    sorted = sorted && (order.empty() || order.back().first <= depth);
    order.emplace_back(depth, &mount);
  };
  for (Json& mount : all) {
    const Json* destination = FindMember(mount, "destination");
    const bool named = destination != nullptr && destination->is_string();
    const std::string_view path =
        named ? std::string_view(destination->get_ref<const std::string&>()) : std::string_view();
    const bool is_clean = !named || IsCleanPath(path);
    const std::string cleaned = is_clean ? std::string() : CleanPath(path);
    const std::string_view place = is_clean ? path : std::string_view(cleaned);
    if (named && places.contains(place) && dropped.insert(std::string(place)).second) continue;
    if (dropped.empty()) ++kept;
    add(static_cast<size_t>(std::count(place.begin(), place.end(), '/')), mount);
  }
  for (size_t i = 0; i < mounts.size(); ++i) {
    const std::string place =
        CleanPath(FindMember(mounts[i], "destination")->get_ref<const std::string&>());
    if (places[place] != i) continue;
    add(static_cast<size_t>(std::count(place.begin(), place.end(), '/')), mounts[i]);
  }

  if (!sorted) {
    const std::vector<std::pair<size_t, Json*>> before = order;
    std::stable_sort(order.begin(), order.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    const auto changed = std::mismatch(order.begin(), order.end(), before.begin()).first;
    kept = std::min(kept, static_cast<size_t>(changed - order.begin()));
  }
  Json::array_t result;
  result.reserve(order.size());
  for (size_t i = kept; i < order.size(); ++i) result.push_back(std::move(*order[i].second));
  all.resize(kept);
  std::move(result.begin(), result.end(), std::back_inserter(all));
  return kept;
}

absl::Status AddHook(std::string_view when, Json hook, Json& document) {
  const absl::StatusOr<Json*> hooks = EnsureArray({"hooks", when}, document);
  if (!hooks.ok()) return hooks.status();
  (*hooks)->get_ref<Json::array_t&>().push_back(std::move(hook));
  return absl::OkStatus();
}

absl::Status AddAdditionalGid(uint32_t gid, Json& document) {
  const absl::StatusOr<Json*> gids = EnsureArray({"process", "user", "additionalGids"}, document);
  if (!gids.ok()) return gids.status();
  auto& elements = (*gids)->get_ref<Json::array_t&>();
  if (std::find(elements.begin(), elements.end(), Json(gid)) == elements.end()) {
    elements.emplace_back(gid);
  }
  return absl::OkStatus();
}

absl::Status SetAnnotation(std::string_view name, std::string_view value, Json& document) {
  const absl::StatusOr<Json*> annotations = EnsureObject({"annotations"}, document);
  if (!annotations.ok()) return annotations.status();
  (**annotations)[std::string(name)] = std::string(value);
  return absl::OkStatus();
}

bool IsCleanPath(std::string_view path) {
  if (!path.starts_with('/')) return false;
  if (path.size() == 1) return true;
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] != '/') continue;
    const std::string_view rest = path.substr(i + 1);
    if (rest.empty() || rest[0] == '/') return false;
    if (rest[0] != '.') continue;
    if (rest.size() == 1 || rest[1] == '/' || rest == ".." || rest.starts_with("../")) return false;
  }
  return true;
}

std::string CleanPath(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const std::string_view part = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), part.size() + 1));
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
  }
  std::string cleaned;
  for (const std::string_view part : parts) absl::StrAppend(&cleaned, "/", View(part));
  return cleaned.empty() ? "/" : cleaned;
}

}  // namespace ocid
