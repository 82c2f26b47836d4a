#include "daemon/base/filter.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

constexpr std::string_view kLabelPrefix = "label.";

absl::string_view AsAbsl(std::string_view text) { return {text.data(), text.size()}; }

absl::Status FilterError(size_t offset, std::string_view what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "INVALID_FILTER",
                   absl::StrCat("filter, byte ", offset, ": ", AsAbsl(what)));
}

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n'; }

// Reads the value that begins at text[*at]; leaves *at behind it.
absl::StatusOr<std::string> ReadValue(std::string_view text, size_t* at, bool* quoted) {
  std::string value;
  *quoted = *at < text.size() && text[*at] == '"';
  if (!*quoted) {
    while (*at < text.size() && !IsSpace(text[*at])) value.push_back(text[(*at)++]);
    if (value.find('"') != std::string::npos) {
      return FilterError(*at, "a quote inside a value; quote the whole value");
    }
    return value;
  }
  const size_t start = (*at)++;
  for (; *at < text.size(); ++*at) {
    char c = text[*at];
    if (c == '"') {
      ++*at;
      if (*at < text.size() && !IsSpace(text[*at])) {
        return FilterError(*at, "expected a space after the closing quote");
      }
      return value;
    }
    if (c == '\\') {
      if (++*at >= text.size()) break;
      c = text[*at];
      if (c != '"' && c != '\\') return FilterError(*at, "unknown escape");
    }
    value.push_back(c);
  }
  return FilterError(start, "no closing quote");
}

}  // namespace

absl::StatusOr<Filter> Filter::Parse(std::string_view text, const FilterKeys& keys) {
  if (text.size() > kMaxLength) {
    return FilterError(kMaxLength, absl::StrCat("more than ", kMaxLength, " characters"));
  }
  Filter filter;
  bool want_term = false;  // after AND
  size_t at = 0;
  for (;;) {
    while (at < text.size() && IsSpace(text[at])) ++at;
    if (at == text.size()) break;
    const size_t start = at;
    while (at < text.size() && !IsSpace(text[at]) && text[at] != '=' && text[at] != '!') ++at;
    const std::string_view key = text.substr(start, at - start);
    const bool bare = at == text.size() || IsSpace(text[at]);
    if (bare && key == "AND") {
      if (filter.terms_.empty() || want_term) return FilterError(start, "AND without a term before");
      want_term = true;
      continue;
    }
    Term term;
    term.key = std::string(key);
    term.ignore_case = Contains(keys.ignore_case, key);
    const bool label = keys.labels && key.substr(0, kLabelPrefix.size()) == kLabelPrefix &&
                       key.size() > kLabelPrefix.size();
    if (!label && !term.ignore_case && !Contains(keys.keys, key)) {
      return FilterError(start, absl::StrCat("unknown key \"", term.key, "\""));
    }
    if (!bare) {
      if (text[at] == '!') {
        term.negated = true;
        ++at;
      }
      if (at == text.size() || text[at] != '=') return FilterError(at, "expected '='");
      ++at;
      bool quoted = false;
      absl::StatusOr<std::string> value = ReadValue(text, &at, &quoted);
      if (!value.ok()) return value.status();
      if (!quoted && !value->empty() && value->back() == '*') {
        value->pop_back();
        term.prefix = true;
      }
      term.value = *std::move(value);
    }
    filter.terms_.push_back(std::move(term));
    want_term = false;
  }
  if (want_term) return FilterError(text.size(), "AND without a term after");
  return filter;
}

bool Filter::Matches(const Lookup& lookup) const {
  return std::all_of(terms_.begin(), terms_.end(), [&](const Term& term) {
    const std::optional<std::string> found = lookup(term.key);
    if (!term.value.has_value()) return found.has_value() && !found->empty();
    bool equal = false;
    if (found.has_value()) {
      const std::string_view head =
          term.prefix ? std::string_view(*found).substr(0, term.value->size()) : *found;
      equal = term.ignore_case ? absl::EqualsIgnoreCase(AsAbsl(head), *term.value)
                               : head == *term.value;
    }
    return equal != term.negated;
  });
}

}  // namespace ocid
