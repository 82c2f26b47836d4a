#include "client/cli/spec_text.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/output.h"
#include "client/cli/proto_json.h"
#include "client/cli/text.h"
#include "runtime/oci/json_pointer.h"

namespace ocid::cli {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::string_view kBold = "\x1b[1m";
constexpr std::string_view kRed = "\x1b[31m";
constexpr std::string_view kGreen = "\x1b[32m";
constexpr std::string_view kYellow = "\x1b[33m";
constexpr std::string_view kMagenta = "\x1b[35m";
constexpr std::string_view kPlain = "\x1b[0m";

// Bytes of a value that still make a good line, and what the rest of a list may take: ", and 123 more]".
constexpr size_t kLongValue = 160;
constexpr size_t kElisionSize = 20;

std::string Compact(const json& value) {
  return Printable(value.dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace));
}

std::string Paint(bool color, std::string_view code, const std::string& text) {
  return color ? absl::StrCat(std::string(code), text, std::string(kPlain)) : text;
}

std::string ActorText(const v1::SpecStep& step) {
  return Printable(absl::StrCat(EnumText(step.actor_kind()), " ", step.actor()));
}

std::string Heading(const v1::SpecStep& step, bool color) {
  std::string text = Paint(color, kBold, ActorText(step));
  if (!step.actor_version().empty()) absl::StrAppend(&text, " ", Printable(step.actor_version()));
  if (!step.on_behalf_of().empty()) {
    absl::StrAppend(&text, ", for ", Printable(step.on_behalf_of()));
  }
  if (!step.source_file().empty()) absl::StrAppend(&text, "  ", Printable(step.source_file()));
  return text + "\n";
}

// A list of many simple values by its first ones; everything else whole.
std::string Shortened(const json& value) {
  std::string whole = Compact(value);
  if (whole.size() <= kLongValue || !value.is_array()) return whole;
  std::string text;
  size_t shown = 0;
  for (const json& member : value) {
    if (member.is_structured()) return whole;
    const std::string next = Compact(member);
    if (text.size() + next.size() > kLongValue) break;
    absl::StrAppend(&text, text.empty() ? "[" : ",", next);
    ++shown;
  }
  if (shown == 0) return whole;
  return absl::StrCat(text, ", and ", value.size() - shown, " more]");
}

// A line for the value, or one for each of its members where the line would be a long one.
void AppendValue(std::string_view mark, const std::string& pointer, const json& value,
                 std::string_view paint, bool color, std::string* text) {
  const std::string shown = Shortened(value);
  if (!value.is_structured() || value.empty() || shown.size() <= kLongValue + kElisionSize) {
    absl::StrAppend(
        text,
        Paint(color, paint,
              absl::StrCat(std::string(mark), pointer.empty() ? "/" : Printable(pointer), "  ", shown)),
        "\n");
    return;
  }
  if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) {
      AppendValue(mark, JoinPointer(pointer, i), value[i], paint, color, text);
    }
    return;
  }
  for (const auto& [name, member] : value.items()) {
    AppendValue(mark, JoinPointer(pointer, name), member, paint, color, text);
  }
}

std::string ChangeText(const SpecChange& change, bool color) {
  std::string text;
  switch (change.kind) {
    case SpecChange::Kind::kAdded:
      AppendValue("  + ", change.pointer, change.after, kGreen, color, &text);
      break;
    case SpecChange::Kind::kRemoved:
      AppendValue("  - ", change.pointer, change.before, kRed, color, &text);
      break;
    case SpecChange::Kind::kReplaced:
      if (std::max(Compact(change.before).size(), Compact(change.after).size()) > kLongValue &&
          (change.before.is_structured() || change.after.is_structured())) {
        if (!change.before.empty()) {
          AppendValue("  - ", change.pointer, change.before, kRed, color, &text);
        }
        AppendValue("  + ", change.pointer, change.after, kGreen, color, &text);
        break;
      }
      text = absl::StrCat(
          Paint(color, kYellow,
                absl::StrCat("  ~ ", change.pointer.empty() ? "/" : Printable(change.pointer), "  ",
                             Shortened(change.before), " -> ", Shortened(change.after))),
          "\n");
      break;
  }
  return text;
}

std::string Remarks(const v1::SpecStep& step, bool color) {
  std::string text;
  for (const v1::IgnoredEdit& edit : step.ignored()) {
    absl::StrAppend(
        &text,
        Paint(color, kMagenta,
              Printable(absl::StrCat("  ! ", edit.pointer(), "  ignored: ", edit.reason()))),
        "\n");
  }
  for (const v1::SpecConflict& conflict : step.conflicts()) {
    absl::StrAppend(&text,
                    Paint(color, kMagenta,
                          Printable(absl::StrCat("  ! ", conflict.pointer(), "  was written by ",
                                                 conflict.previous_actor(),
                                                 " before: ", conflict.resolution()))),
                    "\n");
  }
  return text;
}

bool SameActor(const v1::SpecStep& a, const v1::SpecStep& b) {
  return a.actor_kind() == b.actor_kind() && a.actor() == b.actor() &&
         a.source_file() == b.source_file();
}

ordered_json WriterJson(const v1::SpecStep& step) {
  return {{"step", step.index()},
          {"actor", step.actor()},
          {"actor_kind", EnumText(step.actor_kind())},
          {"source_file", step.source_file()}};
}

ordered_json Document(const v1::SpecDocument& document) { return ToJson(document)["json"]; }

ordered_json StepJson(const v1::SpecStep& step) {
  ordered_json object = {
      {"index", step.index()},
      {"actor", step.actor()},
      {"actor_kind", EnumText(step.actor_kind())},
      {"actor_version", step.actor_version()},
      {"source_file", step.source_file()},
      {"source_sha256", step.source_sha256()},
      {"time", FormatTime(step.time())},
      {"duration_ms", absl::ToDoubleMilliseconds(ToDuration(step.duration()))},
  };
  const ordered_json whole = ToJson(step);
  for (const char* name :
       {"json_patch", "changes", "ignored", "conflicts", "digest_before", "digest_after"}) {
    object[name] = whole.at(name);
  }
  if (!step.requested_json().empty()) object["requested"] = whole.at("requested");
  if (!step.on_behalf_of().empty()) object["on_behalf_of"] = step.on_behalf_of();
  if (step.has_document_after()) object["document_after"] = Document(step.document_after());
  return object;
}

}  // namespace

bool IsLateStep(const v1::SpecStep& step) {
  return step.actor_kind() == v1::SpecStep::CDI || step.actor_kind() == v1::SpecStep::NRI;
}

absl::StatusOr<std::string> FormatSpecDiff(const v1::OciSpecHistory& history,
                                           const DiffStyle& style) {
  const absl::StatusOr<std::vector<json>> documents = ReplayHistory(history);
  if (!documents.ok()) return documents.status();
  std::string text;
  const v1::SpecStep* previous = nullptr;
  for (int i = 0; i < history.steps_size(); ++i) {
    const v1::SpecStep& step = history.steps(i);
    if (!style.all_steps && !IsLateStep(step)) continue;
    const auto changes = DescribeStep((*documents)[static_cast<size_t>(i)], step);
    if (!changes.ok()) return changes.status();
    if (previous == nullptr || !SameActor(*previous, step)) text += Heading(step, style.color);
    previous = &step;
    for (const SpecChange& change : *changes) {
      text += ChangeText(change, style.color);
    }
    text += Remarks(step, style.color);
    if (changes->empty() && step.ignored().empty()) text += "  (nothing changed)\n";
  }
  return text;
}

std::string FormatFinalChanges(const v1::OciSpecHistory& from, const v1::OciSpecHistory& to,
                               const std::vector<FinalChange>& changes, bool color) {
  // In the order of the steps, what went first.
  std::map<std::pair<bool, int>, std::vector<const SpecChange*>> groups;
  for (const FinalChange& change : changes) {
    const bool stays = change.change.kind != SpecChange::Kind::kRemoved;
    groups[{stays, change.step}].push_back(&change.change);
  }
  std::string text;
  for (const auto& [group, members] : groups) {
    const auto& [stays, step] = group;
    if (step >= 0) text += Heading((stays ? to : from).steps(step), color);
    for (const SpecChange* change : members) {
      text += ChangeText(*change, color);
    }
  }
  return text;
}

ordered_json FinalChangesJson(const v1::OciSpecHistory& from, const v1::OciSpecHistory& to,
                              const std::vector<FinalChange>& changes, const json& patch) {
  const auto end = [](const v1::OciSpecHistory& history) {
    return ordered_json{{"container_id", history.container_id()},
                        {"generation", history.generation()},
                        {"final_sha256", history.final().sha256()}};
  };
  ordered_json list = ordered_json::array();
  for (const FinalChange& change : changes) {
    const bool removed = change.change.kind == SpecChange::Kind::kRemoved;
    const bool added = change.change.kind == SpecChange::Kind::kAdded;
    ordered_json object = {{"pointer", change.change.pointer},
                           {"kind", removed ? "removed" : added ? "added" : "replaced"}};
    if (!added) object["before"] = change.change.before;
    if (!removed) object["after"] = change.change.after;
    if (change.step >= 0) object.update(WriterJson((removed ? from : to).steps(change.step)));
    list.push_back(std::move(object));
  }
  return {{"from", end(from)}, {"to", end(to)}, {"json_patch", patch}, {"changes", list}};
}

std::string FormatBlame(const v1::OciSpecHistory& history, const std::vector<BlameLine>& lines) {
  Table table({"WRITTEN BY", "POINTER", "VALUE", "BEFORE"});
  for (const BlameLine& line : lines) {
    std::string before;
    for (const int step : line.before) {
      absl::StrAppend(&before, before.empty() ? "" : ", ", ActorText(history.steps(step)));
    }
    table.AddRow({line.step < 0 ? "" : ActorText(history.steps(line.step)),
                  line.pointer.empty() ? "/" : line.pointer, Compact(line.value), before});
  }
  return table.Format();
}

ordered_json BlameJson(const v1::OciSpecHistory& history, const std::vector<BlameLine>& lines) {
  ordered_json list = ordered_json::array();
  for (const BlameLine& line : lines) {
    ordered_json object = {{"pointer", line.pointer}, {"value", ordered_json(line.value)}};
    if (line.step >= 0) object.update(WriterJson(history.steps(line.step)));
    ordered_json before = ordered_json::array();
    for (const int step : line.before) before.push_back(WriterJson(history.steps(step)));
    object["before"] = std::move(before);
    list.push_back(std::move(object));
  }
  return list;
}

ordered_json HistoryJson(const v1::OciSpecHistory& history, v1::SpecView view) {
  if (view == v1::SPEC_VIEW_FINAL) return Document(history.final());
  if (view == v1::SPEC_VIEW_ORIGINAL) return Document(history.original());
  ordered_json object = {
      {"container_id", history.container_id()},   {"generation", history.generation()},
      {"redacted", history.redacted()},           {"original_sha256", history.original().sha256()},
      {"final_sha256", history.final().sha256()}, {"executor_sha256", history.executor_sha256()}};
  if (view == v1::SPEC_VIEW_FULL) {
    object["original"] = Document(history.original());
    object["final"] = Document(history.final());
  }
  ordered_json& steps = object["steps"] = ordered_json::array();
  for (const v1::SpecStep& step : history.steps()) steps.push_back(StepJson(step));
  return object;
}

}  // namespace ocid::cli
