#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/cli/commands.h"
#include "client/cli/container_flags.h"
#include "client/cli/proto_json.h"
#include "client/cli/text.h"

namespace ocid::cli {
namespace {

struct Flags {
  std::string interval;
  std::vector<std::string> ids;
};

// cgroup v2 says "max", v1 a number near 2^63, where there is no limit.
constexpr uint64_t kNoLimit = uint64_t{1} << 60;

std::string OfLimit(bool has_value, const std::string& value, bool has_limit, uint64_t limit,
                    const std::string& limit_text) {
  if (!has_value) return "";
  if (!has_limit || limit >= kNoLimit) return value;
  return absl::StrCat(value, " / ", limit_text);
}

std::string PressureText(bool has, const v1::ContainerStats::Pressure& pressure) {
  return has ? absl::StrFormat("%.1f%%", pressure.some_avg10()) : "";
}

std::vector<std::string> Row(const v1::ContainerStats& stats) {
  const v1::ContainerStats::Cpu& cpu = stats.cpu();
  const v1::ContainerStats::Memory& memory = stats.memory();
  const v1::ContainerStats::Pids& pids = stats.pids();
  uint64_t read_bytes = 0;
  uint64_t write_bytes = 0;
  for (const auto& device : stats.io().devices()) {
    read_bytes += device.read_bytes();
    write_bytes += device.write_bytes();
  }
  return {
      stats.container_id(),
      cpu.has_usage_ns() ? FormatShort(absl::Nanoseconds(cpu.usage_ns())) : "",
      OfLimit(memory.has_usage_bytes(), FormatSize(memory.usage_bytes()), memory.has_limit_bytes(),
              memory.limit_bytes(), FormatSize(memory.limit_bytes())),
      memory.has_peak_bytes() ? FormatSize(memory.peak_bytes()) : "",
      OfLimit(pids.has_current(), absl::StrCat(pids.current()), pids.has_limit(), pids.limit(),
              absl::StrCat(pids.limit())),
      stats.has_io() ? absl::StrCat(FormatSize(read_bytes), " / ", FormatSize(write_bytes)) : "",
      PressureText(cpu.has_pressure(), cpu.pressure()),
      PressureText(memory.has_pressure(), memory.pressure()),
      memory.has_oom_kills() ? absl::StrCat(memory.oom_kills()) : "",
  };
}

absl::StatusOr<std::vector<std::string>> RunningIds(Context& context) {
  const auto containers = context.client().containers().ListAll({}, context.call());
  if (!containers.ok()) return containers.status();
  std::vector<std::string> ids;
  for (const v1::Container& container : *containers) {
    const bool runs = container.state() == v1::CONTAINER_STATE_CREATED ||
                      container.state() == v1::CONTAINER_STATE_RUNNING ||
                      container.state() == v1::CONTAINER_STATE_PAUSED;
    if (runs) ids.push_back(container.id());
  }
  return ids;
}

int PrintOnce(Context& context, const Flags& flags) {
  std::vector<std::string> ids = flags.ids;
  if (ids.empty()) {
    auto running = RunningIds(context);
    if (!running.ok()) return context.Fail("", running.status());
    ids = *std::move(running);
  }
  Table table({"ID", "CPU TIME", "MEMORY", "PEAK", "PIDS", "READ / WRITTEN", "CPU PRESSURE",
               "MEMORY PRESSURE", "OOM KILLS"});
  auto list = nlohmann::ordered_json::array();
  const int code = ForEachId(context, ids, [&](const std::string& id) {
    v1::GetStatsRequest request;
    request.set_container_id(id);
    const auto stats = context.client().containers().GetStats(request, context.call());
    if (!stats.ok()) return stats.status();
    table.AddRow(Row(*stats));
    list.push_back(ToJson(*stats));
    return absl::OkStatus();
  });
  if (code == kSuccess || !list.empty()) {
    context.out().Write(context.json() ? PrettyJson(list) : table.Format());
  }
  return code;
}

int Run(Context& context, const Flags& flags) {
  if (flags.interval.empty()) return PrintOnce(context, flags);
  const absl::StatusOr<absl::Duration> interval = ParseDuration(flags.interval);
  if (!interval.ok()) return context.Usage(FlagError("interval", interval.status()));
  for (;;) {
    const int code = PrintOnce(context, flags);
    context.out().Flush();
    if (code != kSuccess || context.out().closed()) return code;
    absl::SleepFor(*interval);
  }
}

Action Define(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("--interval", flags->interval, "Print again after this long, until interrupted")
      ->type_name("SECONDS");
  app.add_option("ID", flags->ids, "Containers. Default: all that run");
  return [flags](Context& context) { return Run(context, *flags); };
}

}  // namespace

const CommandSpec kStatsCommand = {
    .name = "stats",
    .group = "Looking",
    .summary = "CPU time, memory, processes and I/O of containers",
    .details =
        "Read from the kernel now; a dash where it does not tell. Pressure is the share of the\n"
        "last ten seconds in which something waited. --format json has every number.",
    .examples =
        "$ ocictl stats\n"
        "$ ocictl stats --interval 2 web",
    .completes = Completes::kContainers,
    .define = Define,
};

}  // namespace ocid::cli
