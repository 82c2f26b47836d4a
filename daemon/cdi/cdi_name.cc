#include "daemon/cdi/cdi_name.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace ocid {
namespace {

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

bool IsAlphanumeric(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); }

absl::Status CheckPart(std::string_view what, std::string_view part, bool digit_may_lead,
                       std::string_view punctuation) {
  const auto fail = [&](std::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat(View(what), " \"", View(part.substr(0, 100)), "\": ", View(why)));
  };
  if (part.empty()) return fail("must not be empty");
  const char first = part.front();
  if (!IsAlphanumeric(first) || (!digit_may_lead && absl::ascii_isdigit(first))) {
    return fail(digit_may_lead ? "must begin with a letter or digit" : "must begin with a letter");
  }
  if (!std::all_of(part.begin(), part.end(), [punctuation](char c) {
        return IsAlphanumeric(c) || punctuation.find(c) != punctuation.npos;
      })) {
    return fail("holds a character that is not allowed");
  }
  if (!IsAlphanumeric(part.back())) return fail("must end with a letter or digit");
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckCdiVendor(std::string_view vendor) {
  return CheckPart("vendor", vendor, /*digit_may_lead=*/false, "_-.");
}

absl::Status CheckCdiClass(std::string_view device_class) {
  return CheckPart("class", device_class, /*digit_may_lead=*/false, "_-.");
}

absl::Status CheckCdiDeviceName(std::string_view name) {
  return CheckPart("device name", name, /*digit_may_lead=*/true, "_-.:");
}

absl::StatusOr<CdiName> ParseCdiName(std::string_view text) {
  const auto unqualified = [text] {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", View(text.substr(0, 100)), "\" is not of the form vendor/class=device"));
  };
  const size_t equals = text.find('=');
  if (text.empty() || text.front() == '/' || equals == text.npos) return unqualified();
  const std::string_view kind = text.substr(0, equals);
  const size_t slash = kind.find('/');
  if (slash == kind.npos) return unqualified();
  CdiName name{.vendor = std::string(kind.substr(0, slash)),
               .device_class = std::string(kind.substr(slash + 1)),
               .device = std::string(text.substr(equals + 1))};
  if (name.vendor.empty() || name.device_class.empty() || name.device.empty()) return unqualified();
  for (const absl::Status& status : {CheckCdiVendor(name.vendor), CheckCdiClass(name.device_class),
                                     CheckCdiDeviceName(name.device)}) {
    if (!status.ok()) return status;
  }
  return name;
}

absl::StatusOr<std::vector<std::string>> CdiDevicesOfAnnotations(
    const std::map<std::string, std::string>& annotations) {
  std::vector<std::string> devices;
  for (const auto& [key, value] : annotations) {
    if (!key.starts_with(kCdiAnnotationPrefix)) continue;
    std::string_view rest = value;
    while (true) {
      const std::string_view name = rest.substr(0, rest.find(','));
      const absl::StatusOr<CdiName> parsed = ParseCdiName(name);
      if (!parsed.ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat("annotation ", key, ": ", parsed.status().message()));
      }
      devices.emplace_back(name);
      if (name.size() == rest.size()) break;
      rest.remove_prefix(name.size() + 1);
    }
  }
  return devices;
}

}  // namespace ocid
