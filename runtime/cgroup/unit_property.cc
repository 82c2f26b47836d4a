#include "runtime/cgroup/unit_property.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ocid {
namespace {

struct Describer {
  std::string operator()(bool value) const { return value ? "yes" : "no"; }
  std::string operator()(int32_t value) const { return absl::StrCat(value); }
  std::string operator()(uint32_t value) const { return absl::StrCat(value); }
  std::string operator()(uint64_t value) const {
    return value == UINT64_MAX ? "infinity" : absl::StrCat(value);
  }
  std::string operator()(const std::string& value) const { return value; }
  std::string operator()(const UnitProperty::Bytes& value) const {
    return absl::StrCat("[",
                        absl::StrJoin(value, " ",
                                      [](std::string* out, uint8_t byte) {
                                        absl::StrAppend(out, absl::Hex(byte, absl::kZeroPad2));
                                      }),
                        "]");
  }
  std::string operator()(const UnitProperty::Strings& value) const {
    return absl::StrCat("[", absl::StrJoin(value, ", "), "]");
  }
  template <typename Second>
  std::string operator()(const std::vector<std::pair<std::string, Second>>& value) const {
    return absl::StrCat("[", absl::StrJoin(value, ", ", absl::PairFormatter(" ")), "]");
  }
};

}  // namespace

std::string DescribeUnitProperty(const UnitProperty& property) {
  return absl::StrCat(property.name, "=", std::visit(Describer(), property.value));
}

}  // namespace ocid
