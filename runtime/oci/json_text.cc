#include "runtime/oci/json_text.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/oci/json_pointer.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

// Builds the document while it keeps to the limits. The lexer underneath does not recurse, so that
// depth costs no stack.
class BoundedBuilder final : public nlohmann::json_sax<Json> {
 public:
  explicit BoundedBuilder(const JsonLimits& limits) : limits_(limits) {}

  bool null() override { return Add(nullptr) != nullptr; }
  bool boolean(bool value) override { return Add(value) != nullptr; }
  bool number_integer(number_integer_t value) override { return Add(value) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return Add(value) != nullptr; }
  bool number_float(number_float_t value, const string_t& text) override {
    // The lexer falls back to a double for an integer that does not fit: silently another number.
    if (text.find_first_of(".eE") == std::string::npos) {
      return Fail(absl::StrCat("integer ", text.substr(0, 40), " does not fit 64 bits"));
    }
    return Add(value) != nullptr;
  }
  bool string(string_t& value) override { return Add(std::move(value)) != nullptr; }
  bool binary(binary_t& /*value*/) override { return Fail("binary value"); }

  bool start_object(size_t /*elements*/) override { return Open(Json::object()); }
  bool start_array(size_t /*elements*/) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(string_t& name) override {
    Frame& frame = frames_.back();
    frame.member = std::move(name);
    if (frame.container->contains(frame.member)) return Fail("member occurs twice");
    return true;
  }

  bool parse_error(size_t position, const std::string& /*last_token*/,
                   const nlohmann::detail::exception& error) override {
    std::string_view what = error.what();
    // "[json.exception.parse_error.101] parse error at line 1, column 2: <what is meant>"
    if (const size_t colon = what.find(": "); colon != what.npos) what.remove_prefix(colon + 2);
    offset_ = position;
    return Fail(what.substr(0, 300));
  }

  absl::Status Error() const {
    std::string where = "JSON";
    if (offset_ != 0) absl::StrAppend(&where, " at byte ", offset_);
    const std::string pointer = Pointer();
    if (!pointer.empty()) absl::StrAppend(&where, " in ", pointer);
    return absl::InvalidArgumentError(absl::StrCat(where, ": ", error_));
  }

  Json Take() { return std::move(root_); }

 private:
  struct Frame {
    Json* container;
    std::string member;  // of an object: the name that was read last
  };

  Json* Add(Json value) {
    if (++values_ > limits_.values) {
      Fail(absl::StrCat("more than ", limits_.values, " values"));
      return nullptr;
    }
    if (frames_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Frame& frame = frames_.back();
    if (frame.container->is_array()) {
      auto& array = frame.container->get_ref<Json::array_t&>();
      array.push_back(std::move(value));
      return &array.back();
    }
    auto& object = frame.container->get_ref<Json::object_t&>();
    return &(object[frame.member] = std::move(value));
  }

  bool Open(Json empty) {
    if (frames_.size() >= limits_.depth) {
      return Fail(absl::StrCat("nested deeper than ", limits_.depth));
    }
    Json* container = Add(std::move(empty));
    if (container == nullptr) return false;
    frames_.push_back({container, {}});
    return true;
  }

  bool Close() {
    frames_.pop_back();
    return true;
  }

  bool Fail(std::string_view why) {
    if (error_.empty()) error_ = why;
    return false;
  }

  std::string Pointer() const {
    std::string pointer;
    for (const Frame& frame : frames_) {
      if (frame.container->is_array()) {
        absl::StrAppend(&pointer, "/", frame.container->size());
      } else if (!frame.member.empty()) {
        AppendPointerToken(frame.member, pointer);
      }
      if (pointer.size() > 1000) return pointer;
    }
    return pointer;
  }

  const JsonLimits limits_;
  Json root_;
  std::vector<Frame> frames_;
  size_t values_ = 0;
  size_t offset_ = 0;
  std::string error_;
};

void AppendDouble(double value, std::string& out) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  std::array<char, 40> digits;
  const auto result = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  const std::string_view text(digits.data(), static_cast<size_t>(result.ptr - digits.data()));
  out += text;
  // It must read back as what it is.
  if (text.find_first_of(".e") == text.npos) out += ".0";
}

template <typename Integer>
void AppendInteger(Integer value, std::string& out) {
  std::array<char, 24> digits;
  const auto result = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  out.append(digits.data(), result.ptr);
}

}  // namespace

absl::StatusOr<Json> ParseJson(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("JSON: ", text.size(), " bytes, the limit is ", limits.bytes));
  }
  BoundedBuilder builder(limits);
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) return builder.Error();
  return builder.Take();
}

void NormalizeNumbers(Json& value) {
  if (value.is_structured()) {
    for (Json& part : value) NormalizeNumbers(part);
  } else if (value.type() == Json::value_t::number_integer && value.get<int64_t>() >= 0) {
    value = static_cast<uint64_t>(value.get<int64_t>());
  }
}

void AppendJsonString(std::string_view text, std::string& out) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out.push_back('"');
  size_t plain = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
    out.append(text, plain, i - plain);
    plain = i + 1;
    out.push_back('\\');
    switch (byte) {
      case '"':
      case '\\':
        out.push_back(static_cast<char>(byte));
        break;
      case '\b':
        out.push_back('b');
        break;
      case '\f':
        out.push_back('f');
        break;
      case '\n':
        out.push_back('n');
        break;
      case '\r':
        out.push_back('r');
        break;
      case '\t':
        out.push_back('t');
        break;
      default:
        out += "u00";
        out.push_back(kHex[byte >> 4]);
        out.push_back(kHex[byte & 15]);
    }
  }
  out.append(text, plain, text.size() - plain);
  out.push_back('"');
}

void AppendCanonicalJson(const Json& value, std::string& out) {
  switch (value.type()) {
    case Json::value_t::object: {
      char separator = '{';
      for (const auto& [name, member] : value.get_ref<const Json::object_t&>()) {
        out.push_back(separator);
        AppendJsonString(name, out);
        out.push_back(':');
        AppendCanonicalJson(member, out);
        separator = ',';
      }
      out += separator == '{' ? "{}" : "}";
      return;
    }
    case Json::value_t::array: {
      char separator = '[';
      for (const Json& element : value.get_ref<const Json::array_t&>()) {
        out.push_back(separator);
        AppendCanonicalJson(element, out);
        separator = ',';
      }
      out += separator == '[' ? "[]" : "]";
      return;
    }
    case Json::value_t::string:
      AppendJsonString(value.get_ref<const std::string&>(), out);
      return;
    case Json::value_t::boolean:
      out += value.get<bool>() ? "true" : "false";
      return;
    case Json::value_t::number_integer:
      AppendInteger(value.get<int64_t>(), out);
      return;
    case Json::value_t::number_unsigned:
      AppendInteger(value.get<uint64_t>(), out);
      return;
    case Json::value_t::number_float:
      AppendDouble(value.get<double>(), out);
      return;
    case Json::value_t::null:
    case Json::value_t::binary:
    case Json::value_t::discarded:
      out += "null";
      return;
  }
}

std::string CanonicalJson(const Json& value) {
  std::string text;
  AppendCanonicalJson(value, text);
  return text;
}

bool IsValidUtf8(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const unsigned char* const end = p + text.size();
  while (p < end) {
    const unsigned char lead = *p++;
    if (lead < 0x80) continue;
    int more = 0;
    unsigned char low = 0x80;   // bounds of the second byte: what would be overlong,
    unsigned char high = 0xbf;  // a surrogate or above U+10FFFF is out
    if (lead >= 0xc2 && lead <= 0xdf) {
      more = 1;
    } else if (lead >= 0xe0 && lead <= 0xef) {
      more = 2;
      if (lead == 0xe0) low = 0xa0;
      if (lead == 0xed) high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      more = 3;
      if (lead == 0xf0) low = 0x90;
      if (lead == 0xf4) high = 0x8f;
    } else {
      return false;
    }
    for (int i = 0; i < more; ++i, low = 0x80, high = 0xbf) {
      if (p == end || *p < low || *p > high) return false;
      ++p;
    }
  }
  return true;
}

}  // namespace ocid
