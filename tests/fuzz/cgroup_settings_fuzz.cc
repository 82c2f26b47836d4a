// linux.resources to cgroup files and to unit properties, on hosts of every kind.
#include <nlohmann/json.hpp>

#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/cgroup/cgroup_resources.h"
#include "runtime/cgroup/cgroup_settings.h"
#include "runtime/cgroup/unit_settings.h"
#include "runtime/oci/json_text.h"
#include "tests/fuzz/fuzz_input.h"

namespace ocid {
namespace {

std::vector<CgroupLayout> Layouts() {
  CgroupLayout unified;
  unified.unified_mount = "/sys/fs/cgroup";
  unified.unified_controllers = {"cpu", "cpuset", "io", "memory", "pids", "hugetlb", "rdma"};
  CgroupLayout legacy;
  for (const char* controller : {"cpu", "cpuset", "blkio", "memory", "pids", "hugetlb", "devices",
                                 "net_cls", "net_prio", "rdma", "freezer"}) {
    legacy.v1.push_back({.controllers = {controller},
                         .name = "",
                         .mount_point = std::string("/sys/fs/cgroup/") + controller});
  }
  CgroupLayout hybrid = legacy;
  hybrid.unified_mount = "/sys/fs/cgroup/unified";
  return {CgroupLayout(), unified, legacy, hybrid};
}

void Compile(const Resources& resources) {
  static const auto* const layouts = new std::vector<CgroupLayout>(Layouts());
  for (const CgroupLayout& layout : *layouts) {
    for (const CgroupSetting& setting : CompileSettings(resources, layout).settings) {
      const std::string text = DescribeCgroupSetting(setting);
      // A setting names one file of the container's own cgroup.
      FUZZ_CHECK(!setting.file.empty() && setting.file[0] != '.', text);
      FUZZ_CHECK(setting.file.find('/') == std::string::npos, text);
    }
    CompileUnitSettings(resources, layout);
  }
}

}  // namespace
}  // namespace ocid

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<nlohmann::json> document = ocid::ParseJson(text);
  if (!document.ok() || !document->is_object()) return 0;
  const absl::StatusOr<ocid::Resources> resources = ocid::ParseResources(*document);
  if (resources.ok()) ocid::Compile(*resources);
  std::map<std::string, std::string> annotations;
  for (const auto& [name, value] : document->items()) {
    if (value.is_string()) annotations[name] = value.get<std::string>();
  }
  ocid::ParseUnitAnnotations(annotations).IgnoreError();
  return 0;
}
