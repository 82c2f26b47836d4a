// ocirun update: other limits for a container that runs.
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/cli/command.h"
#include "runtime/cli/files.h"
#include "runtime/oci/json_pointer.h"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

struct LimitFlag {
  const char* flag;
  const char* group;  // member of linux.resources
  const char* member;
};

constexpr LimitFlag kNumbers[] = {
    {"memory", "memory", "limit"},
    {"memory-reservation", "memory", "reservation"},
    {"memory-swap", "memory", "swap"},
    {"kernel-memory", "memory", "kernel"},
    {"kernel-memory-tcp", "memory", "kernelTCP"},
    {"cpu-period", "cpu", "period"},
    {"cpu-quota", "cpu", "quota"},
    {"cpu-burst", "cpu", "burst"},
    {"cpu-share", "cpu", "shares"},
    {"cpu-idle", "cpu", "idle"},
    {"cpu-rt-period", "cpu", "realtimePeriod"},
    {"cpu-rt-runtime", "cpu", "realtimeRuntime"},
    {"pids-limit", "pids", "limit"},
    {"blkio-weight", "blockIO", "weight"},
};

absl::StatusOr<Json> ResourcesOfFlags(const Flags& flags) {
  if (flags.Has("resources")) {
    const absl::StatusOr<std::string> text = ReadWholeFile(flags.Value("resources"));
    if (!text.ok()) return text.status();
    absl::StatusOr<Json> json = ParseJson(*text);
    if (!json.ok()) return Annotate(json.status(), "--resources");
    if (!json->is_object()) return absl::InvalidArgumentError("--resources: must be an object");
    return json;
  }
  Json resources = Json::object();
  for (const LimitFlag& limit : kNumbers) {
    const absl::StatusOr<std::optional<int64_t>> number = flags.Number(limit.flag);
    if (!number.ok()) return number.status();
    if (number->has_value()) resources[limit.group][limit.member] = **number;
  }
  if (flags.Has("cpuset-cpus")) resources["cpu"]["cpus"] = flags.Value("cpuset-cpus");
  if (flags.Has("cpuset-mems")) resources["cpu"]["mems"] = flags.Value("cpuset-mems");
  for (const char* flag : {"l3-cache-schema", "mem-bw-schema"}) {
    if (flags.Has(flag)) {
      return absl::UnimplementedError(absl::StrCat("--", flag, ": a group of resctrl is not changed"));
    }
  }
  if (resources.empty()) return absl::InvalidArgumentError("update: nothing to change");
  NormalizeNumbers(resources);
  return resources;
}

}  // namespace

std::vector<FlagSpec> UpdateFlags() {
  std::vector<FlagSpec> flags = {{"resources", "r", FlagKind::kValue,
                                  "file with linux.resources members, '-': standard input"},
                                 {"cpuset-cpus", "", FlagKind::kValue, "CPUs, as in 0-3,7"},
                                 {"cpuset-mems", "", FlagKind::kValue, "memory nodes"},
                                 {"l3-cache-schema", "", FlagKind::kValue, "not supported"},
                                 {"mem-bw-schema", "", FlagKind::kValue, "not supported"}};
  for (const LimitFlag& limit : kNumbers) {
    flags.push_back({limit.flag, "", FlagKind::kValue, ""});
  }
  return flags;
}

absl::StatusOr<int> RunUpdate(const Invocation& invocation) {
  const absl::StatusOr<std::string> id = OnlyArgument(invocation);
  if (!id.ok()) return id.status();
  const absl::StatusOr<Json> resources = ResourcesOfFlags(invocation.flags);
  if (!resources.ok()) return resources.status();
  absl::StatusOr<Container> container = Container::Open(invocation.runtime, *id);
  if (!container.ok()) return container.status();
  const absl::Status updated = container->Update(*resources);
  if (!updated.ok()) return updated;
  return 0;
}

}  // namespace ocid
