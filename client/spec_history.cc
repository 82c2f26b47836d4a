#include "client/spec_history.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <exception>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "runtime/oci/json_identity.h"

namespace ocid {
namespace {

using nlohmann::json;

// Runs `work`, which may throw (nlohmann does, and at() of containers), and returns what it
// returns.
template <typename Work>
auto Guard(std::string_view subject, Work work) -> absl::StatusOr<decltype(work())> {
  try {
    return work();
  } catch (const std::exception& error) {
    return absl::DataLossError(absl::StrCat(std::string(subject), ": ", error.what()));
  }
}

std::string StepName(const v1::SpecStep& step) {
  return absl::StrCat("step ", step.index(), " (",
                      absl::AsciiStrToLower(v1::SpecStep::ActorKind_Name(step.actor_kind())), " ",
                      step.actor(), ")");
}

// Who wrote which value: a tree of the document's shape with the steps at every node, last first.
struct Writers {
  std::vector<int> steps = {};
  std::map<std::string, Writers> members = {};
  std::vector<Writers> elements = {};
};

Writers WrittenBy(const json& value, int step) {
  Writers writers{.steps = {step}, .members = {}, .elements = {}};
  if (value.is_object()) {
    for (const auto& [key, member] : value.items()) writers.members[key] = WrittenBy(member, step);
  } else if (value.is_array()) {
    for (const json& element : value) writers.elements.push_back(WrittenBy(element, step));
  }
  return writers;
}

// A value in the place of another one has that one's writers before it, part by part; a part that is
// new has those of what it came into the place of.
void Inherit(Writers& value, const Writers& old) {
  value.steps.insert(value.steps.end(), old.steps.begin(), old.steps.end());
  for (auto& [name, member] : value.members) {
    const auto found = old.members.find(name);
    Inherit(member, found == old.members.end() ? Writers{.steps = old.steps} : found->second);
  }
  for (size_t i = 0; i < value.elements.size(); ++i) {
    Inherit(value.elements[i],
            i < old.elements.size() ? old.elements[i] : Writers{.steps = old.steps});
  }
}

// The children of a node by pointer token. Callers follow pointers that the document was just
// patched by, so that what does not exist cannot be asked for; at() says so if it ever is.
Writers& Child(Writers& parent, const std::string& token) {
  if (!parent.elements.empty()) return parent.elements.at(std::stoul(token));
  return parent.members.at(token);
}

Writers& Find(Writers& root, json::json_pointer pointer) {
  if (pointer.empty()) return root;
  const std::string last = pointer.back();
  pointer.pop_back();
  return Child(Find(root, pointer), last);
}

void Remove(Writers& root, json::json_pointer pointer) {
  if (pointer.empty()) {
    root = Writers{};
    return;
  }
  const std::string last = pointer.back();
  pointer.pop_back();
  Writers& parent = Find(root, pointer);
  if (parent.elements.empty()) {
    parent.members.erase(last);
  } else {
    parent.elements.erase(parent.elements.begin() + static_cast<std::ptrdiff_t>(std::stoul(last)));
  }
}

// `parent_is_array` as in the document: a tree node of an empty array looks like one of an object.
void Add(Writers& root, json::json_pointer pointer, Writers value, bool parent_is_array) {
  if (pointer.empty()) {
    root = std::move(value);
    return;
  }
  const std::string last = pointer.back();
  pointer.pop_back();
  Writers& parent = Find(root, pointer);
  if (!parent_is_array) {
    const auto replaced = parent.members.find(last);
    if (replaced != parent.members.end()) Inherit(value, replaced->second);
    parent.members[last] = std::move(value);
    return;
  }
  const size_t at = last == "-" ? parent.elements.size() : std::stoul(last);
  parent.elements.insert(parent.elements.begin() + static_cast<std::ptrdiff_t>(at),
                         std::move(value));
}

bool ParentIsArray(const json& document, const json::json_pointer& pointer) {
  return !pointer.empty() && document.at(pointer.parent_pointer()).is_array();
}

// Applies one operation to the document and to the tree of its writers.
void ApplyTracked(json& document, Writers& writers, const json& operation, int step) {
  const json before = document;
  document = before.patch(json::array({operation}));
  const std::string op = operation.at("op");
  const json::json_pointer path(operation.at("path").get<std::string>());
  if (op == "remove") {
    Remove(writers, path);
  } else if (op == "replace") {
    Writers value = WrittenBy(operation.at("value"), step);
    Writers& place = Find(writers, path);
    Inherit(value, place);
    place = std::move(value);
  } else if (op == "add") {
    Add(writers, path, WrittenBy(operation.at("value"), step), ParentIsArray(before, path));
  } else if (op == "move" || op == "copy") {
    // What was moved is still what its writer wrote.
    const json::json_pointer from(operation.at("from").get<std::string>());
    Writers value = Find(writers, from);
    if (op == "move") Remove(writers, from);
    Add(writers, path, std::move(value), ParentIsArray(document, path));
  }
}

void CollectLeaves(const json& value, const Writers& writers, const std::string& pointer,
                   std::vector<BlameLine>& lines) {
  if (value.is_object() && !value.empty()) {
    for (const auto& [key, member] : value.items()) {
      const std::string below = pointer + (json::json_pointer() / key).to_string();
      CollectLeaves(member, writers.members.at(key), below, lines);
    }
  } else if (value.is_array() && !value.empty()) {
    for (size_t i = 0; i < value.size(); ++i) {
      CollectLeaves(value[i], writers.elements.at(i), absl::StrCat(pointer, "/", i), lines);
    }
  } else {
    BlameLine line{.pointer = pointer, .value = value, .step = -1, .before = writers.steps};
    if (!line.before.empty()) {
      line.step = line.before.front();
      line.before.erase(line.before.begin());
    }
    lines.push_back(std::move(line));
  }
}

SpecCheck Compare(std::string subject, const std::string& want, const std::string& got,
                  std::string_view what) {
  if (want == got) return {.subject = std::move(subject), .passed = true, .detail = got};
  return {.subject = std::move(subject),
          .passed = false,
          .detail =
              absl::StrCat(std::string(what), " is ", got.empty() ? "empty" : got, ", not ", want)};
}

// The replayed documents' digests, step by step. Returns false where the replay breaks off.
bool VerifySteps(const v1::OciSpecHistory& history, std::vector<std::string>& digests,
                 std::vector<SpecCheck>& checks) {
  json document = json::object();
  digests.push_back(Sha256Digest(CanonicalJson(document)));
  for (const v1::SpecStep& step : history.steps()) {
    const absl::StatusOr<json> after = ApplyStep(document, step);
    if (!after.ok()) {
      checks.push_back({.subject = StepName(step),
                        .passed = false,
                        .detail = std::string(after.status().message())});
      return false;
    }
    document = *after;
    const std::string before_digest = digests.back();
    digests.push_back(Sha256Digest(CanonicalJson(document)));
    if (step.digest_before() != before_digest) {
      checks.push_back(
          Compare(StepName(step), before_digest, step.digest_before(), "digest_before"));
    } else {
      checks.push_back(
          Compare(StepName(step), digests.back(), step.digest_after(), "digest_after"));
    }
  }
  return true;
}

SpecCheck VerifyDocument(std::string subject, const v1::SpecDocument& document) {
  const absl::StatusOr<json> parsed = Guard(subject, [&] { return json::parse(document.json()); });
  if (!parsed.ok()) {
    return {.subject = std::move(subject),
            .passed = false,
            .detail = std::string(parsed.status().message())};
  }
  if (CanonicalJson(*parsed) != document.json()) {
    return {.subject = std::move(subject), .passed = false, .detail = "not in canonical form"};
  }
  return Compare(std::move(subject), Sha256Digest(document.json()), document.sha256(), "sha256");
}

}  // namespace

std::string Sha256Digest(std::string_view text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return absl::StrCat("sha256:", absl::BytesToHexString(absl::string_view(
                                     reinterpret_cast<const char*>(digest.data()), digest.size())));
}

std::string CanonicalJson(const json& document) { return document.dump(); }

absl::StatusOr<json> ApplyStep(const json& document, const v1::SpecStep& step) {
  return Guard(StepName(step), [&] { return document.patch(json::parse(step.json_patch())); });
}

absl::StatusOr<std::vector<SpecChange>> DescribeStep(const json& document,
                                                     const v1::SpecStep& step) {
  return Guard(StepName(step), [&] {
    std::vector<SpecChange> changes;
    json current = document;
    const auto at = [&](const std::string& pointer) {
      return current.at(json::json_pointer(pointer));
    };
    for (const json& operation : json::parse(step.json_patch())) {
      const std::string op = operation.at("op");
      const std::string path = operation.at("path");
      if (op == "remove") {
        changes.push_back({SpecChange::Kind::kRemoved, path, at(path), {}});
      } else if (op == "replace") {
        changes.push_back({SpecChange::Kind::kReplaced, path, at(path), operation.at("value")});
      } else if (op == "add") {
        // RFC 6902, 4.1: adding a member that exists replaces it.
        const json::json_pointer pointer(path);
        const bool inserts = ParentIsArray(current, pointer);
        if (!inserts && current.contains(pointer)) {
          changes.push_back({SpecChange::Kind::kReplaced, path, at(path), operation.at("value")});
        } else {
          changes.push_back({SpecChange::Kind::kAdded, path, {}, operation.at("value")});
        }
      } else if (op == "move" || op == "copy") {
        const std::string from = operation.at("from");
        const json value = at(from);
        if (op == "move") changes.push_back({SpecChange::Kind::kRemoved, from, value, {}});
        changes.push_back({SpecChange::Kind::kAdded, path, {}, value});
      }
      current = current.patch(json::array({operation}));
    }
    return changes;
  });
}

absl::StatusOr<std::vector<json>> ReplayHistory(const v1::OciSpecHistory& history) {
  std::vector<json> documents = {json::object()};
  for (const v1::SpecStep& step : history.steps()) {
    absl::StatusOr<json> next = ApplyStep(documents.back(), step);
    if (!next.ok()) return next.status();
    documents.push_back(*std::move(next));
  }
  return documents;
}

std::vector<SpecCheck> VerifyHistory(const v1::OciSpecHistory& history) {
  std::vector<SpecCheck> checks;
  if (history.redacted()) {
    checks.push_back({.subject = "history",
                      .passed = false,
                      .detail = "redacted: digests cannot be computed from it"});
    return checks;
  }
  std::vector<std::string> digests;
  if (!VerifySteps(history, digests, checks)) return checks;
  checks.push_back(VerifyDocument("original", history.original()));
  bool original_seen = false;
  for (const std::string& digest : digests) original_seen |= digest == history.original().sha256();
  checks.push_back({.subject = "original in the replay",
                    .passed = original_seen,
                    .detail = original_seen ? history.original().sha256()
                                            : "no step ends with " + history.original().sha256()});
  checks.push_back(VerifyDocument("final", history.final()));
  checks.push_back(
      Compare("final in the replay", digests.back(), history.final().sha256(), "its digest"));
  if (history.executor_sha256().empty()) {
    checks.push_back(
        {.subject = "executor", .passed = true, .detail = "has not run this spec yet"});
  } else {
    checks.push_back(Compare("executor", history.final().sha256(), history.executor_sha256(),
                             "the digest it reports"));
  }
  return checks;
}

absl::StatusOr<std::vector<BlameLine>> BlameHistory(const v1::OciSpecHistory& history,
                                                    const std::string& pointer) {
  json document = json::object();
  Writers writers;
  for (int i = 0; i < history.steps_size(); ++i) {
    const v1::SpecStep& step = history.steps(i);
    const absl::StatusOr<bool> applied = Guard(StepName(step), [&] {
      for (const json& operation : json::parse(step.json_patch())) {
        ApplyTracked(document, writers, operation, i);
      }
      return true;
    });
    if (!applied.ok()) return applied.status();
  }
  const auto below = Guard(absl::StrCat("pointer ", pointer),
                           [&] { return document.at(json::json_pointer(pointer)); });
  if (!below.ok()) {
    return absl::NotFoundError(
        absl::StrCat("pointer \"", pointer, "\": the spec has nothing there"));
  }
  std::vector<BlameLine> lines;
  CollectLeaves(*below, Find(writers, json::json_pointer(pointer)), pointer, lines);
  return lines;
}

absl::StatusOr<std::vector<FinalChange>> CompareFinals(const v1::OciSpecHistory& from,
                                                       const v1::OciSpecHistory& to,
                                                       json& patch) {
  const absl::StatusOr<std::vector<json>> old_documents = ReplayHistory(from);
  if (!old_documents.ok()) return old_documents.status();
  const absl::StatusOr<std::vector<json>> new_documents = ReplayHistory(to);
  if (!new_documents.ok()) return new_documents.status();
  patch = Diff(old_documents->back(), new_documents->back());
  v1::SpecStep step;
  step.set_json_patch(patch.dump());
  absl::StatusOr<std::vector<SpecChange>> changes = DescribeStep(old_documents->back(), step);
  if (!changes.ok()) return changes.status();
  std::vector<FinalChange> result;
  for (SpecChange& change : *changes) {
    FinalChange final_change{.change = std::move(change), .step = -1};
    const bool removed = final_change.change.kind == SpecChange::Kind::kRemoved;
    // What was added or replaced stands in the new document, what was removed in the old one.
    const auto lines = BlameHistory(removed ? from : to, final_change.change.pointer);
    if (lines.ok()) {
      for (const BlameLine& line : *lines) {
        final_change.step = std::max(final_change.step, line.step);
      }
    }
    result.push_back(std::move(final_change));
  }
  return result;
}

}  // namespace ocid
