#include "daemon/cdi/simple_yaml.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace ocid {
namespace {

using Kind = YamlNode::Kind;

constexpr size_t kManyKeys = 16;

bool IsWordCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool StartsPlain(std::string_view text) {
  const char c = text.front();
  if (IsWordCharacter(c) || c == '/' || c == '.' || c == '+') return true;
  // "-" begins a list where a space follows; "--option" does not.
  const size_t word = text.find_first_not_of('-');
  return c == '-' && word != text.npos && word <= 2 && IsWordCharacter(text[word]);
}

bool IsNull(std::string_view text) {
  return text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL";
}

std::string_view TrimRight(std::string_view text) {
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

struct Line {
  int number = 0;
  size_t indent = 0;
  std::string_view text;  // from the indent on, not empty, no comment line
};

// Every function gives false where the text is beyond this reader.
class Reader {
 public:
  explicit Reader(const YamlLimits& limits) : limits_(limits) {}

  bool Read(std::string_view text, YamlNode& root) {
    if (!SplitLines(text) || lines_.empty()) return false;
    return ReadBlock(lines_[0].indent, 0, root) && at_ == lines_.size();
  }

 private:
  bool SplitLines(std::string_view text) {
    int number = 0;
    bool begun = false;
    while (!text.empty()) {
      const size_t end = std::min(text.find('\n'), text.size());
      const std::string_view line = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      ++number;
      // Tabs, carriage returns and everything beyond ASCII have rules of their own.
      if (!std::all_of(line.begin(), line.end(), [](char c) { return c >= ' ' && c <= '~'; })) {
        return false;
      }
      const size_t indent = line.find_first_not_of(' ');
      if (indent == line.npos || line[indent] == '#') continue;
      if (line.starts_with("---") && !begun && lines_.empty() && TrimRight(line).size() == 3) {
        begun = true;
        continue;
      }
      // Another document, the end of this one, or a directive.
      if (line.starts_with("---") || line.starts_with("...") || line.front() == '%') return false;
      lines_.push_back({number, indent, line.substr(indent)});
    }
    return true;
  }

  const Line* Current() const { return at_ < lines_.size() ? &lines_[at_] : nullptr; }

  static bool IsItem(std::string_view text) { return text == "-" || text.starts_with("- "); }

  // The length of the key that the text begins with, or 0. A colon must follow, and then a space or
  // the end.
  static size_t KeyLength(std::string_view text) {
    size_t size = 0;
    while (size < text.size() && (IsWordCharacter(text[size]) || text[size] == '.' ||
                                  text[size] == '/' || (text[size] == '-' && size > 0))) {
      ++size;
    }
    const bool is_key = size > 0 && size < text.size() && text[size] == ':' &&
                        (size + 1 == text.size() || text[size + 1] == ' ');
    return is_key && !IsNull(text.substr(0, size)) ? size : 0;
  }

  bool Count(size_t text_bytes) {
    text_bytes_ += text_bytes;
    return ++nodes_ <= limits_.nodes && text_bytes_ <= limits_.text_bytes;
  }

  bool Begin(Kind kind, int line, YamlNode& node) {
    node.kind = kind;
    node.line = line;
    return Count(0);
  }

  // What begins at the current line, all of whose lines have this indent or a larger one.
  bool ReadBlock(size_t indent, size_t depth, YamlNode& node) {
    if (depth >= limits_.depth) return false;
    if (IsItem(Current()->text)) {
      return ReadSequence(indent, depth, node) && (Current() == nullptr || Current()->indent < indent);
    }
    return KeyLength(Current()->text) > 0 && ReadMap(indent, depth, node);
  }

  bool ReadSequence(size_t indent, size_t depth, YamlNode& node) {
    if (!Begin(Kind::kSequence, Current()->number, node)) return false;
    while (const Line* line = Current()) {
      if (line->indent != indent || !IsItem(line->text)) break;
      YamlNode& element = node.elements.emplace_back();
      const size_t begin = line->text.find_first_not_of(' ', 1);
      if (begin == line->text.npos || line->text[begin] == '#') {
        if (!ReadBelow(indent, /*list_may_stand_here=*/false, line->number, depth, element)) {
          return false;
        }
        continue;
      }
      const std::string_view rest = line->text.substr(begin);
      if (IsItem(rest) || KeyLength(rest) > 0) {
        // The same line again, without the dash.
        lines_[at_].indent = indent + begin;
        lines_[at_].text = rest;
        if (!ReadBlock(indent + begin, depth + 1, element)) return false;
      } else if (!ReadInline(rest, indent, depth, element)) {
        return false;
      }
    }
    return true;
  }

  bool ReadMap(size_t indent, size_t depth, YamlNode& node) {
    if (!Begin(Kind::kMap, Current()->number, node)) return false;
    std::set<std::string, std::less<>> keys;
    while (const Line* line = Current()) {
      if (line->indent != indent) break;
      const size_t key_size = KeyLength(line->text);
      if (key_size == 0) return false;
      const std::string_view key = line->text.substr(0, key_size);
      if (!Count(key.size()) || !IsNewKey(key, node, keys)) return false;
      YamlNode& value = node.members.emplace_back(YamlMember{std::string(key), {}}).value;
      const size_t begin = line->text.find_first_not_of(' ', key_size + 1);
      if (begin == line->text.npos || line->text[begin] == '#') {
        if (!ReadBelow(indent, /*list_may_stand_here=*/true, line->number, depth, value)) {
          return false;
        }
      } else if (!ReadInline(line->text.substr(begin), indent, depth, value)) {
        return false;
      }
    }
    // It is over where a line stands further to the left.
    return Current() == nullptr || Current()->indent < indent;
  }

  // Few keys are looked through, many are kept sorted.
  static bool IsNewKey(std::string_view key, const YamlNode& map,
                       std::set<std::string, std::less<>>& keys) {
    if (map.members.size() < kManyKeys) {
      return std::none_of(map.members.begin(), map.members.end(),
                          [key](const auto& member) { return member.key == key; });
    }
    if (keys.empty()) {
      for (const auto& member : map.members) keys.insert(member.key);
    }
    return keys.emplace(key).second;
  }

  // The value of a line that ends with "-" or "key:".
  bool ReadBelow(size_t indent, bool list_may_stand_here, int line, size_t depth, YamlNode& node) {
    ++at_;
    const Line* next = Current();
    const bool is_list_here = list_may_stand_here && next != nullptr && next->indent == indent &&
                              IsItem(next->text);
    // Then the map's next key stands in the same column.
    if (is_list_here) {
      return depth + 1 < limits_.depth && ReadSequence(indent, depth + 1, node) &&
             (Current() == nullptr || Current()->indent <= indent);
    }
    if (next != nullptr && next->indent > indent) return ReadBlock(next->indent, depth + 1, node);
    return Begin(Kind::kNull, line, node);
  }

  // The value that stands on the line. One that goes on below is beyond this reader.
  bool ReadInline(std::string_view text, size_t indent, size_t depth, YamlNode& node) {
    const int line = Current()->number;
    ++at_;
    if (Current() != nullptr && Current()->indent > indent) return false;
    if (!ReadValue(text, /*in_flow=*/false, line, depth + 1, node)) return false;
    const size_t rest = text.find_first_not_of(' ');
    return rest == text.npos || (rest > 0 && text[rest] == '#');
  }

  // Takes the value off the front of `text`.
  bool ReadValue(std::string_view& text, bool in_flow, int line, size_t depth, YamlNode& node) {
    if (text.empty()) return false;
    if (text.front() == '"' || text.front() == '\'') return ReadQuoted(text, line, node);
    if (text.front() == '[') return ReadFlowSequence(text, line, depth, node);
    if (text.front() == '{') return ReadFlowMap(text, line, depth, node);
    return ReadPlain(text, in_flow, line, node);
  }

  bool ReadQuoted(std::string_view& text, int line, YamlNode& node) {
    const char quote = text.front();
    const size_t end = text.find(quote, 1);
    if (end == text.npos) return false;
    const std::string_view value = text.substr(1, end - 1);
    const bool escaped = quote == '"' ? value.find('\\') != value.npos
                                      : end + 1 < text.size() && text[end + 1] == '\'';
    if (escaped || !Begin(Kind::kScalar, line, node)) return false;
    node.quoted = true;
    node.text = value;
    text_bytes_ += value.size();
    text.remove_prefix(end + 1);
    return true;
  }

  bool ReadPlain(std::string_view& text, bool in_flow, int line, YamlNode& node) {
    if (!StartsPlain(text)) return false;
    size_t end = 0;
    for (; end < text.size(); ++end) {
      const char c = text[end];
      if (in_flow && (c == ',' || c == ']' || c == '}')) break;
      if (in_flow && (c == '[' || c == '{' || c == '?')) return false;
      if (c == '#' && text[end - 1] == ' ') break;
      if (c == ':' && (end + 1 == text.size() || text[end + 1] == ' ' ||
                       (in_flow && std::string_view(",[]{}").find(text[end + 1]) !=
                                       std::string_view::npos))) {
        return false;
      }
    }
    const std::string_view value = TrimRight(text.substr(0, end));
    const bool is_null = IsNull(value);
    if (!Begin(is_null ? Kind::kNull : Kind::kScalar, line, node)) return false;
    if (!is_null) node.text = value;
    text_bytes_ += value.size();
    text.remove_prefix(value.size());
    return true;
  }

  static void SkipSpaces(std::string_view& text) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  }

  // After a value of a flow collection: "," with another value behind it, or the end.
  static bool TakeSeparator(std::string_view& text, char end, bool& ended) {
    SkipSpaces(text);
    if (text.empty()) return false;
    ended = text.front() == end;
    if (!ended && text.front() != ',') return false;
    text.remove_prefix(1);
    if (!ended) SkipSpaces(text);
    return true;
  }

  bool ReadFlowSequence(std::string_view& text, int line, size_t depth, YamlNode& node) {
    if (depth >= limits_.depth || !Begin(Kind::kSequence, line, node)) return false;
    text.remove_prefix(1);
    SkipSpaces(text);
    if (text.starts_with(']')) {
      text.remove_prefix(1);
      return true;
    }
    for (bool ended = false; !ended;) {
      if (!ReadValue(text, /*in_flow=*/true, line, depth + 1, node.elements.emplace_back()) ||
          !TakeSeparator(text, ']', ended)) {
        return false;
      }
    }
    return true;
  }

  bool ReadFlowMap(std::string_view& text, int line, size_t depth, YamlNode& node) {
    if (depth >= limits_.depth || !Begin(Kind::kMap, line, node)) return false;
    text.remove_prefix(1);
    SkipSpaces(text);
    if (text.starts_with('}')) {
      text.remove_prefix(1);
      return true;
    }
    for (bool ended = false; !ended;) {
      const size_t key_size = KeyLength(text);
      if (key_size == 0 || key_size + 1 >= text.size()) return false;
      const std::string_view key = text.substr(0, key_size);
      if (!Count(key.size()) || node.members.size() >= kManyKeys) return false;
      for (const auto& member : node.members) {
        if (member.key == key) return false;
      }
      text.remove_prefix(key_size + 1);
      SkipSpaces(text);
      YamlNode& value = node.members.emplace_back(YamlMember{std::string(key), {}}).value;
      if (!ReadValue(text, /*in_flow=*/true, line, depth + 1, value) ||
          !TakeSeparator(text, '}', ended)) {
        return false;
      }
    }
    return true;
  }

  const YamlLimits limits_;
  std::vector<Line> lines_;
  size_t at_ = 0;
  size_t nodes_ = 0;
  size_t text_bytes_ = 0;
};

}  // namespace

std::optional<YamlNode> ParseSimpleYaml(std::string_view text, const YamlLimits& limits) {
  YamlNode root;
  if (!Reader(limits).Read(text, root)) return std::nullopt;
  return root;
}

}  // namespace ocid
