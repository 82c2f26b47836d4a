#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/cli/commands.h"
#include "client/cli/live_view.h"
#include "client/cli/proto_json.h"
#include "client/cli/text.h"

namespace ocid::cli {
namespace {

struct Flags {
  LiveFlags live;
  std::string sort = "id";
  std::vector<std::string> ids;
};

// Of a container, between two looks.
struct Usage {
  v1::ContainerStats stats;
  std::optional<double> cpu_percent;  // of one CPU
  uint64_t io_bytes = 0;
};

constexpr absl::Duration kFirstLook = absl::Milliseconds(200);

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

std::string MemoryPercent(const v1::ContainerStats::Memory& memory) {
  const bool limited = memory.has_limit_bytes() && memory.limit_bytes() > 0 &&
                       memory.limit_bytes() < kNoLimit && memory.has_usage_bytes();
  if (!limited) return "";
  return absl::StrFormat("%.1f%%", 100.0 * static_cast<double>(memory.usage_bytes()) /
                                       static_cast<double>(memory.limit_bytes()));
}

std::vector<std::string> Row(const Usage& usage) {
  const v1::ContainerStats& stats = usage.stats;
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
      usage.cpu_percent.has_value() ? absl::StrFormat("%.1f%%", *usage.cpu_percent) : "",
      cpu.has_usage_ns() ? FormatShort(absl::Nanoseconds(cpu.usage_ns())) : "",
      OfLimit(memory.has_usage_bytes(), FormatSize(memory.usage_bytes()), memory.has_limit_bytes(),
              memory.limit_bytes(), FormatSize(memory.limit_bytes())),
      MemoryPercent(memory),
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

// Looks at containers again and again, and remembers the CPU time of the look before.
class Looker {
 public:
  Looker(Context& context, const Flags& flags) : context_(context), flags_(flags) {}

  absl::StatusOr<std::vector<Usage>> Look() {
    std::vector<std::string> ids = flags_.ids;
    if (ids.empty()) {
      auto running = RunningIds(context_);
      if (!running.ok()) return running.status();
      ids = *std::move(running);
    }
    std::vector<Usage> usages;
    std::map<std::string, Sample> samples;
    for (const std::string& id : ids) {
      v1::GetStatsRequest request;
      request.set_container_id(id);
      const auto stats = context_.client().containers().GetStats(request, context_.call());
      // One that has ended since it was listed is no failure.
      if (!stats.ok() && flags_.ids.empty() && !absl::IsUnavailable(stats.status())) continue;
      if (!stats.ok()) return stats.status();
      Usage usage;
      usage.stats = *stats;
      const Sample now = {ToTime(stats->time()), absl::Nanoseconds(stats->cpu().usage_ns())};
      if (stats->cpu().has_usage_ns()) samples.emplace(id, now);
      const auto before = samples_.find(id);
      if (before != samples_.end() && now.time > before->second.time) {
        usage.cpu_percent = 100 * absl::FDivDuration(now.cpu - before->second.cpu,
                                                     now.time - before->second.time);
      }
      for (const auto& device : stats->io().devices()) {
        usage.io_bytes += device.read_bytes() + device.write_bytes();
      }
      usages.push_back(std::move(usage));
    }
    samples_ = std::move(samples);
    Sort(usages);
    return usages;
  }

 private:
  struct Sample {
    absl::Time time;
    absl::Duration cpu;
  };

  // The largest first; equal ones stay in the order of their ids.
  void Sort(std::vector<Usage>& usages) const {
    if (flags_.sort == "id") return;
    const auto key = [this](const Usage& usage) -> double {
      if (flags_.sort == "memory") return static_cast<double>(usage.stats.memory().usage_bytes());
      if (flags_.sort == "pids") return static_cast<double>(usage.stats.pids().current());
      if (flags_.sort == "io") return static_cast<double>(usage.io_bytes);
      if (usage.cpu_percent.has_value()) return *usage.cpu_percent;
      return static_cast<double>(usage.stats.cpu().usage_ns());
    };
    std::stable_sort(usages.begin(), usages.end(),
                     [&](const Usage& a, const Usage& b) { return key(a) > key(b); });
  }

  Context& context_;
  const Flags& flags_;
  std::map<std::string, Sample> samples_;
};

std::string Format(Context& context, const std::vector<Usage>& usages) {
  if (context.json()) {
    auto list = nlohmann::ordered_json::array();
    for (const Usage& usage : usages) list.push_back(ToJson(usage.stats));
    return PrettyJson(list);
  }
  Table table({"ID", "CPU", "CPU TIME", "MEMORY", "OF LIMIT", "PEAK", "PIDS", "READ / WRITTEN",
               "CPU PRESSURE", "MEMORY PRESSURE", "OOM KILLS"});
  for (const Usage& usage : usages) table.AddRow(Row(usage));
  return table.Format();
}

int Run(Context& context, const Flags& flags) {
  Looker looker(context, flags);
  // A share of the CPU is between two looks; the numbers of JSON are those of one.
  if (!context.json()) {
    const auto first = looker.Look();
    if (!first.ok()) return context.Fail("", first.status());
    if (!first->empty()) absl::SleepFor(kFirstLook);
  }
  return ShowLive(context, flags.live, [&]() -> absl::StatusOr<std::string> {
    const auto usages = looker.Look();
    if (!usages.ok()) return usages.status();
    return Format(context, *usages);
  });
}

Action Define(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  AddLiveFlags(app, flags->live);
  app.add_option("--sort", flags->sort, "id, cpu, memory, pids or io; the largest first")
      ->type_name("COLUMN")
      ->check(CLI::IsMember({"id", "cpu", "memory", "pids", "io"}))
      ->type_name("COLUMN");
  app.add_option("ID", flags->ids, "Containers. Default: all that run");
  return [flags](Context& context) { return Run(context, *flags); };
}

}  // namespace

const CommandSpec kStatsCommand = {
    .name = "stats",
    .group = "Looking",
    .summary = "CPU time, memory, processes and I/O of containers",
    .details =
        "On a terminal shown again every second, until Ctrl-C. CPU is the share of one CPU since the\n"
        "look before; a dash where the kernel does not tell. Pressure is the share of the last ten\n"
        "seconds in which something waited. --format json has every number.",
    .examples =
        "$ ocictl stats\n"
        "$ ocictl stats --sort memory\n"
        "$ ocictl stats --no-stream web",
    .completes = Completes::kContainers,
    .define = Define,
};

}  // namespace ocid::cli
