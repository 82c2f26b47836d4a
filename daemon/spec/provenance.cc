#include "daemon/spec/provenance.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/oci/json_patch.h"
#include "runtime/oci/json_pointer.h"
#include "runtime/oci/json_text.h"

namespace ocid {

using Json = nlohmann::json;

// Stands for one value of the document. Parts that nobody wrote apart from the whole have no node.
struct Provenance::Node {
  std::vector<size_t> writers;  // last one last
  bool fresh = false;           // came into being by its first writer: older ones wrote around it
  std::map<std::string, std::unique_ptr<Node>, std::less<>> members;
  std::vector<std::unique_ptr<Node>> elements;  // of an array: empty, or one for each element

  void WrittenWhole(size_t step) {
    writers.push_back(step);
    members.clear();
    elements.clear();
  }

  static std::unique_ptr<Node> Fresh(size_t step) {
    auto node = std::make_unique<Node>();
    node->fresh = true;
    node->writers.push_back(step);
    return node;
  }

  const Node* Child(const std::string& token) const {
    if (!elements.empty()) {
      const std::optional<size_t> index = ParseArrayIndex(token);
      return index.has_value() && *index < elements.size() ? elements[*index].get() : nullptr;
    }
    const auto it = members.find(token);
    return it == members.end() ? nullptr : it->second.get();
  }

  void Collect(std::vector<size_t>& steps) const {
    steps.insert(steps.end(), writers.begin(), writers.end());
    for (const auto& [name, member] : members) member->Collect(steps);
    for (const auto& element : elements) {
      if (element != nullptr) element->Collect(steps);
    }
  }

  // Walks to the node of a value, making those on the way; null if the document has no such place.
  static Node* Reach(Node* node, const std::vector<std::string>& tokens, size_t count,
                     const Json*& value) {
    for (size_t i = 0; i < count; ++i) {
      std::unique_ptr<Node>* child = nullptr;
      if (value->is_array()) {
        const std::optional<size_t> index = ParseArrayIndex(tokens[i]);
        if (!index.has_value() || *index >= value->size()) return nullptr;
        node->elements.resize(value->size());
        child = &node->elements[*index];
        value = &(*value)[*index];
      } else {
        value = FindMember(*value, tokens[i]);
        if (value == nullptr) return nullptr;
        child = &node->members[tokens[i]];
      }
      if (*child == nullptr) *child = std::make_unique<Node>();
      node = child->get();
    }
    return node;
  }
};

Provenance::Provenance() : root_(std::make_unique<Node>()) {}
Provenance::Provenance(Provenance&&) noexcept = default;
Provenance& Provenance::operator=(Provenance&&) noexcept = default;
Provenance::~Provenance() = default;

namespace {

std::string StringMember(const Json& operation, std::string_view name) {
  const Json* member = FindMember(operation, name);
  return member != nullptr && member->is_string() ? member->get_ref<const std::string&>() : "";
}

}  // namespace

void Provenance::Note(const Json& operation, const Json& before, size_t step) {
  const std::string op = StringMember(operation, "op");
  const std::string path = StringMember(operation, "path");
  if (op == "test") return;
  if (op == "move") {
    const std::string from = StringMember(operation, "from");
    if (!NoteMoveInArray(from, path, before)) {
      NoteWrite("remove", from, before, step);
      NoteWrite("add", path, before, step);
    }
    return;
  }
  NoteWrite(op, path, before, step);
}

// A change of place inside one array takes the history along.
bool Provenance::NoteMoveInArray(const std::string& from, const std::string& path,
                                 const Json& before) {
  const absl::StatusOr<std::vector<std::string>> source = SplitPointer(from);
  const absl::StatusOr<std::vector<std::string>> target = SplitPointer(path);
  if (!source.ok() || !target.ok() || source->empty() || source->size() != target->size() ||
      !std::equal(source->begin(), source->end() - 1, target->begin())) {
    return false;
  }
  const Json* array = &before;
  Node* parent = Node::Reach(root_.get(), *source, source->size() - 1, array);
  const std::optional<size_t> old_index = ParseArrayIndex(source->back());
  const std::optional<size_t> new_index = ParseArrayIndex(target->back());
  if (parent == nullptr || !array->is_array() || !old_index.has_value() || !new_index.has_value() ||
      *old_index >= array->size() || *new_index >= array->size()) {
    return false;
  }
  parent->elements.resize(array->size());
  const auto begin = parent->elements.begin();
  std::unique_ptr<Node> node = std::move(*(begin + static_cast<std::ptrdiff_t>(*old_index)));
  parent->elements.erase(begin + static_cast<std::ptrdiff_t>(*old_index));
  parent->elements.insert(parent->elements.begin() + static_cast<std::ptrdiff_t>(*new_index),
                          std::move(node));
  return true;
}

void Provenance::NoteWrite(std::string_view op, const std::string& path, const Json& before,
                           size_t step) {
  const absl::StatusOr<std::vector<std::string>> tokens = SplitPointer(path);
  if (!tokens.ok()) return;
  if (tokens->empty()) {
    root_->WrittenWhole(step);
    return;
  }
  const Json* value = &before;
  Node* parent = Node::Reach(root_.get(), *tokens, tokens->size() - 1, value);
  if (parent == nullptr) return;
  const std::string& last = tokens->back();
  if (value->is_array()) {
    const size_t size = value->size();
    parent->elements.resize(size);
    const std::optional<size_t> index = last == "-" ? size : ParseArrayIndex(last);
    if (!index.has_value() || *index > size) return;
    const auto position = parent->elements.begin() + static_cast<std::ptrdiff_t>(*index);
    if (op == "add" || op == "copy") {
      parent->elements.insert(position, Node::Fresh(step));
    } else if (op == "remove" && *index < size) {
      parent->elements.erase(position);
    } else if (*index < size) {
      if (*position == nullptr) *position = std::make_unique<Node>();
      (*position)->WrittenWhole(step);
    }
    return;
  }
  std::unique_ptr<Node>& member = parent->members[last];
  if (member == nullptr && FindMember(*value, last) == nullptr) {
    member = Node::Fresh(step);
    return;
  }
  if (member == nullptr) member = std::make_unique<Node>();
  member->WrittenWhole(step);
}

std::vector<size_t> Provenance::Writers(std::string_view pointer) const {
  const absl::StatusOr<std::vector<std::string>> tokens = SplitPointer(pointer);
  if (!tokens.ok()) return {};
  std::vector<const Node*> path = {root_.get()};
  for (const std::string& token : *tokens) {
    const Node* child = path.back()->Child(token);
    if (child == nullptr) break;
    path.push_back(child);
  }
  std::vector<size_t> steps;
  for (auto node = path.rbegin(); node != path.rend(); ++node) {
    steps.insert(steps.end(), (*node)->writers.rbegin(), (*node)->writers.rend());
    if ((*node)->fresh) break;
  }
  return steps;
}

std::optional<size_t> Provenance::LastWriterWithin(std::string_view pointer) const {
  std::vector<size_t> steps = Writers(pointer);
  const absl::StatusOr<std::vector<std::string>> tokens = SplitPointer(pointer);
  const Node* node = root_.get();
  for (size_t i = 0; tokens.ok() && node != nullptr && i < tokens->size(); ++i) {
    node = node->Child((*tokens)[i]);
  }
  if (node != nullptr) node->Collect(steps);
  const auto last = std::max_element(steps.begin(), steps.end());
  return last == steps.end() ? std::nullopt : std::optional(*last);
}

bool Provenance::HasParts(std::string_view pointer) const {
  const absl::StatusOr<std::vector<std::string>> tokens = SplitPointer(pointer);
  const Node* node = root_.get();
  for (size_t i = 0; tokens.ok() && node != nullptr && i < tokens->size(); ++i) {
    node = node->Child((*tokens)[i]);
  }
  if (node == nullptr) return false;
  std::vector<size_t> steps;
  node->Collect(steps);
  return steps.size() > node->writers.size();
}

namespace {

struct Replayed {
  OciSpec spec;
  Provenance provenance;
};

absl::StatusOr<Replayed> ReplayWithProvenance(const SpecJournal& journal) {
  Replayed replayed;
  absl::Status status = journal.Replay(
      [&replayed](const SpecStep& step, const Json& operation, const Json& before) {
        replayed.provenance.Note(operation, before, step.index);
      },
      [&](const SpecStep& step, const OciSpec& after) {
        if (step.index + 1 == journal.steps().size()) replayed.spec = after;
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  return replayed;
}

Blame MakeBlame(const SpecJournal& journal, const Provenance& provenance, std::string pointer,
                const Json& value) {
  Blame blame{.pointer = std::move(pointer), .value = CanonicalJson(value), .writers = {}};
  for (const size_t step : provenance.Writers(blame.pointer)) {
    blame.writers.push_back({step, journal.steps()[step].actor});
  }
  return blame;
}

void BlameWithin(const SpecJournal& journal, const Replayed& replayed, const std::string& pointer,
                 const Json& value, std::vector<Blame>& blames) {
  const bool split = value.is_structured() && !value.empty() &&
                     (pointer.empty() || replayed.provenance.HasParts(pointer));
  if (!split) {
    blames.push_back(MakeBlame(journal, replayed.provenance, pointer, value));
    return;
  }
  if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) {
      BlameWithin(journal, replayed, JoinPointer(pointer, i), value[i], blames);
    }
    return;
  }
  for (const auto& [name, member] : value.get_ref<const Json::object_t&>()) {
    BlameWithin(journal, replayed, JoinPointer(pointer, name), member, blames);
  }
}

}  // namespace

absl::StatusOr<Blame> BlamePointer(const SpecJournal& journal, std::string_view pointer) {
  absl::StatusOr<Replayed> replayed = ReplayWithProvenance(journal);
  if (!replayed.ok()) return replayed.status();
  const Json* value = ResolvePointer(std::as_const(replayed->spec).json(), pointer);
  if (value == nullptr) {
    return absl::NotFoundError(absl::StrCat("the final spec has no value at \"",
                                            absl::string_view(pointer.data(), pointer.size()),
                                            "\""));
  }
  return MakeBlame(journal, replayed->provenance, std::string(pointer), *value);
}

absl::StatusOr<std::vector<Blame>> BlameAll(const SpecJournal& journal) {
  absl::StatusOr<Replayed> replayed = ReplayWithProvenance(journal);
  if (!replayed.ok()) return replayed.status();
  std::vector<Blame> blames;
  BlameWithin(journal, *replayed, "", std::as_const(replayed->spec).json(), blames);
  return blames;
}

}  // namespace ocid
