#include "daemon/cdi/yaml_tree.h"

#include <algorithm>
#include <istream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <streambuf>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "daemon/cdi/simple_yaml.h"
#include "runtime/oci/json_text.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/exceptions.h"
#include "yaml-cpp/mark.h"
#include "yaml-cpp/parser.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

// Thrown through yaml-cpp, which has no other way to stop it.
struct Refused {
  int line;
  std::string why;
};

class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(const YamlLimits& limits) : limits_(limits) {}

  void OnDocumentStart(const YAML::Mark& /*mark*/) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Add(Make(mark, YamlNode::Kind::kNull), anchor);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode node = Make(mark, YamlNode::Kind::kScalar);
    node.quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
    CheckTag(tag, mark);
    const bool is_null = !node.quoted && (value == "~" || value == "null" || value == "Null" ||
                                          value == "NULL" || value.empty());
    if (is_null) node.kind = YamlNode::Kind::kNull;
    node.text = value;
    Add(std::move(node), anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto it = anchors_.find(anchor);
    if (it == anchors_.end()) throw Refused{mark.line + 1, "an alias of what contains it"};
    Add(it->second, YAML::NullAnchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    CheckTag(tag, mark);
    Open(Make(mark, YamlNode::Kind::kSequence), anchor);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    CheckTag(tag, mark);
    Open(Make(mark, YamlNode::Kind::kMap), anchor);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapEnd() override { Close(); }

  YamlNode Take() { return std::move(root_); }

 private:
  struct Frame {
    YamlNode node;
    YAML::anchor_t anchor;
    std::optional<std::string> key;  // of a map: read, and waiting for its value
    std::set<std::string> keys;
  };

  static YamlNode Make(const YAML::Mark& mark, YamlNode::Kind kind) {
    YamlNode node;
    node.kind = kind;
    node.line = mark.line + 1;
    return node;
  }

  static void CheckTag(const std::string& tag, const YAML::Mark& mark) {
    if (tag.empty() || tag == "?" || tag == "!" || tag.starts_with("tag:yaml.org,2002:")) return;
    throw Refused{mark.line + 1, absl::StrCat("unknown tag ", tag.substr(0, 100))};
  }

  void Count(const YamlNode& node) {
    nodes_ += 1;
    text_bytes_ += node.text.size();
    if (nodes_ > limits_.nodes || text_bytes_ > limits_.text_bytes) {
      throw Refused{node.line, "too large, with its aliases put in"};
    }
    for (const YamlNode& element : node.elements) Count(element);
    for (const auto& [key, member] : node.members) Count(member);
  }

  void Open(YamlNode node, YAML::anchor_t anchor) {
    if (frames_.size() >= limits_.depth) {
      throw Refused{node.line, absl::StrCat("nested deeper than ", limits_.depth)};
    }
    frames_.push_back({std::move(node), anchor, std::nullopt, {}});
  }

  void Close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    // Its parts were counted as they came.
    nodes_ += 1;
    Store(std::move(frame.node), frame.anchor);
  }

  void Add(YamlNode node, YAML::anchor_t anchor) {
    Count(node);
    Store(std::move(node), anchor);
  }

  void Store(YamlNode node, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) {
      // The copy is memory too.
      if (node.kind != YamlNode::Kind::kScalar) Count(node);
      anchors_[anchor] = node;
    }
    if (frames_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = frames_.back();
    if (frame.node.kind == YamlNode::Kind::kSequence) {
      frame.node.elements.push_back(std::move(node));
      return;
    }
    if (!frame.key.has_value()) {
      if (node.kind != YamlNode::Kind::kScalar) throw Refused{node.line, "a key must be a string"};
      if (!frame.keys.insert(node.text).second) {
        throw Refused{node.line,
                      absl::StrCat("key \"", node.text.substr(0, 100), "\" occurs twice")};
      }
      frame.key = std::move(node.text);
      return;
    }
    frame.node.members.push_back({*std::move(frame.key), std::move(node)});
    frame.key.reset();
  }

  const YamlLimits limits_;
  YamlNode root_;
  std::vector<Frame> frames_;
  std::map<YAML::anchor_t, YamlNode> anchors_;
  size_t nodes_ = 0;
  size_t text_bytes_ = 0;
};

// Reads from where the text is; std::istringstream would copy it.
class ViewBuffer final : public std::streambuf {
 public:
  explicit ViewBuffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());  // NOLINT: the get area is never written to
    setg(begin, begin, begin + text.size());
  }
};

YamlNode FromJson(const Json& value) {
  YamlNode node;
  switch (value.type()) {
    case Json::value_t::object:
      node.kind = YamlNode::Kind::kMap;
      for (const auto& [name, member] : value.get_ref<const Json::object_t&>()) {
        node.members.push_back({name, FromJson(member)});
      }
      return node;
    case Json::value_t::array:
      node.kind = YamlNode::Kind::kSequence;
      for (const Json& element : value) node.elements.push_back(FromJson(element));
      return node;
    case Json::value_t::null:
      return node;
    case Json::value_t::string:
      node.kind = YamlNode::Kind::kScalar;
      node.quoted = true;
      node.text = value.get_ref<const std::string&>();
      return node;
    default:
      node.kind = YamlNode::Kind::kScalar;
      node.text = CanonicalJson(value);
      return node;
  }
}

absl::Status LineError(int line, std::string_view why) {
  const absl::string_view text(why.data(), why.size());
  if (line <= 0) return absl::InvalidArgumentError(text);
  return absl::InvalidArgumentError(absl::StrCat("line ", line, ": ", text));
}

// The scanner underneath looks at all that is open again with each token of a flow collection: it
// must not get to see what would be refused anyway. Brackets in strings and comments count too,
// which only makes the limit a little tighter for them.
std::optional<int> LineNestedTooDeep(std::string_view text, size_t depth) {
  size_t open = 0;
  int line = 1;
  for (const char c : text) {
    if (c == '\n') ++line;
    if (c == '[' || c == '{') {
      if (++open > depth) return line;
    } else if ((c == ']' || c == '}') && open > 0) {
      --open;
    }
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<YamlNode> ParseYaml(std::string_view text, const YamlLimits& limits) {
  if (text.size() > limits.bytes) {
    return LineError(0, absl::StrCat(text.size(), " bytes, the limit is ", limits.bytes));
  }
  if (!IsValidUtf8(text)) return LineError(0, "not valid UTF-8");
  if (text.find('\0') != text.npos) return LineError(0, "holds a NUL byte");
  // JSON with tabs or escaped slashes is no YAML to every parser; and this way is faster.
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != text.npos && text[first] == '{') {
    const absl::StatusOr<Json> json =
        ParseJson(text, {.bytes = limits.bytes, .depth = limits.depth, .values = limits.nodes});
    if (json.ok()) return FromJson(*json);
  }
  if (std::optional<YamlNode> simple = ParseSimpleYaml(text, limits)) return *std::move(simple);
  return ParseAnyYaml(text, limits);
}

absl::StatusOr<YamlNode> ParseAnyYaml(std::string_view text, const YamlLimits& limits) {
  if (const std::optional<int> line = LineNestedTooDeep(text, limits.depth)) {
    return LineError(*line, absl::StrCat("nested deeper than ", limits.depth));
  }
  TreeBuilder builder(limits);
  try {
    ViewBuffer buffer(text);
    std::istream stream(&buffer);
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) return LineError(0, "empty");
  } catch (const Refused& refused) {
    return LineError(refused.line, refused.why);
  } catch (const YAML::Exception& error) {
    return LineError(error.mark.line + 1, error.msg);
  }
  return builder.Take();
}

}  // namespace ocid
