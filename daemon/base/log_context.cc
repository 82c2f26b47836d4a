#include "daemon/base/log_context.h"

#include <cstddef>

namespace ocid {
namespace {

constexpr size_t kTraceIdAt = 3;
constexpr size_t kParentIdAt = 36;
constexpr size_t kFlagsAt = 53;
constexpr size_t kVersion0Size = 55;

// Lower-case digits alone: others are malformed.
bool IsHex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool IsZero(std::string_view text) { return text.find_first_not_of('0') == std::string_view::npos; }

}  // namespace

std::string TraceIdOf(std::string_view traceparent) {
  if (traceparent.size() < kVersion0Size) return "";
  const std::string_view version = traceparent.substr(0, 2);
  if (!IsHex(version) || version == "ff") return "";
  // A later version may say more, behind another dash.
  if (traceparent.size() > kVersion0Size && (version == "00" || traceparent[kVersion0Size] != '-')) {
    return "";
  }
  if (traceparent[kTraceIdAt - 1] != '-' || traceparent[kParentIdAt - 1] != '-' ||
      traceparent[kFlagsAt - 1] != '-') {
    return "";
  }
  const std::string_view trace = traceparent.substr(kTraceIdAt, kParentIdAt - 1 - kTraceIdAt);
  const std::string_view parent = traceparent.substr(kParentIdAt, kFlagsAt - 1 - kParentIdAt);
  const bool valid = IsHex(trace) && !IsZero(trace) && IsHex(parent) && !IsZero(parent) &&
                     IsHex(traceparent.substr(kFlagsAt, 2));
  return valid ? std::string(trace) : "";
}

}  // namespace ocid
