// ocirun events: statistics and out-of-memory kills, one JSON object a line, as runc prints them.
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "runtime/cgroup/cgroup_events.h"
#include "runtime/cli/command.h"

namespace ocid {
namespace {

using Json = nlohmann::ordered_json;

Json Memory(const MemoryStats& memory) {
  Json usage = {{"usage", memory.usage_bytes}, {"failcnt", memory.limit_hits}};
  if (memory.limit_bytes) usage["limit"] = *memory.limit_bytes;
  if (memory.peak_bytes) usage["max"] = *memory.peak_bytes;
  Json swap = Json::object();
  if (memory.swap_usage_bytes) swap["usage"] = *memory.swap_usage_bytes;
  if (memory.swap_limit_bytes) swap["limit"] = *memory.swap_limit_bytes;
  const auto cache = memory.details.find("cache");
  Json result = {{"usage", std::move(usage)}, {"swap", std::move(swap)}, {"raw", memory.details}};
  if (cache != memory.details.end()) result["cache"] = cache->second;
  return result;
}

Json Cpu(const CpuStats& cpu) {
  return {{"usage", {{"total", cpu.usage_ns}, {"kernel", cpu.system_ns}, {"user", cpu.user_ns}}},
          {"throttling",
           {{"periods", cpu.periods},
            {"throttledPeriods", cpu.throttled_periods},
            {"throttledTime", cpu.throttled_ns}}}};
}

Json Io(const std::vector<IoDeviceStats>& devices) {
  Json bytes = Json::array();
  Json operations = Json::array();
  const auto add = [](Json& list, const IoDeviceStats& device, const char* op, uint64_t value) {
    list.push_back(
        {{"major", device.major}, {"minor", device.minor}, {"op", op}, {"value", value}});
  };
  for (const IoDeviceStats& device : devices) {
    add(bytes, device, "Read", device.read_bytes);
    add(bytes, device, "Write", device.write_bytes);
    add(operations, device, "Read", device.read_operations);
    add(operations, device, "Write", device.write_operations);
  }
  return {{"ioServiceBytesRecursive", std::move(bytes)},
          {"ioServicedRecursive", std::move(operations)}};
}

Json Data(const CgroupStats& stats) {
  Json data = Json::object();
  if (stats.cpu) data["cpu"] = Cpu(*stats.cpu);
  if (stats.memory) data["memory"] = Memory(*stats.memory);
  if (stats.pids) {
    data["pids"] = {{"current", stats.pids->current}};
    if (stats.pids->limit) data["pids"]["limit"] = *stats.pids->limit;
  }
  if (stats.io) data["blkio"] = Io(*stats.io);
  for (const HugetlbStats& page : stats.hugetlb) {
    data["hugetlb"][page.page_size] = {{"usage", page.usage_bytes}, {"failcnt", page.limit_hits}};
  }
  return data;
}

void PrintEvent(const char* type, const std::string& id, Json data) {
  Json event = {{"type", type}, {"id", id}};
  if (!data.is_null()) event["data"] = std::move(data);
  Print(event.dump(-1, ' ', false, Json::error_handler_t::replace));
}

absl::Status PrintStats(const std::string& id, const Cgroup& cgroup) {
  const absl::StatusOr<CgroupStats> stats = cgroup.Stats();
  if (!stats.ok()) return stats.status();
  PrintEvent("stats", id, Data(*stats));
  return absl::OkStatus();
}

// Until the container is gone.
absl::Status Follow(const Container& container, const Cgroup& cgroup, absl::Duration interval) {
  const std::string& id = container.record().id;
  const absl::StatusOr<std::unique_ptr<CgroupEvents>> events = CgroupEvents::Open(cgroup.Paths());
  if (!events.ok()) return events.status();
  const UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, container.record().pid, 0)));
  if (!process.valid()) return absl::OkStatus();
  uint64_t oom_kills = 0;
  absl::Time next = absl::Now() + interval;
  for (;;) {
    pollfd items[2] = {{process.get(), POLLIN, 0}, {(*events)->fd().get(), POLLIN, 0}};
    const auto wait = absl::ToInt64Milliseconds(next - absl::Now());
    if (poll(items, 2, static_cast<int>(std::max<int64_t>(wait, 0))) < 0 && errno != EINTR) {
      return absl::ErrnoToStatus(errno, "poll");
    }
    const absl::StatusOr<CgroupEvents::State> state = (*events)->Read();
    if (!state.ok()) return state.status();
    for (; oom_kills < state->oom_kills; ++oom_kills) PrintEvent("oom", id, nullptr);
    if (items[0].revents != 0 || !state->exists) return absl::OkStatus();
    if (absl::Now() < next) continue;
    const absl::Status printed = PrintStats(id, cgroup);
    if (!printed.ok()) return printed;
    next += interval;
  }
}

}  // namespace

absl::StatusOr<int> RunEvents(const Invocation& invocation) {
  const absl::StatusOr<std::string> id = OnlyArgument(invocation);
  if (!id.ok()) return id.status();
  absl::Duration interval = absl::Seconds(5);
  const std::string text = invocation.flags.Value("interval", "5s");
  if (!absl::ParseDuration(text, &interval) || interval <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat("--interval ", text, ": must be a duration"));
  }
  const absl::StatusOr<Container> container = Container::Open(invocation.runtime, *id);
  if (!container.ok()) return container.status();
  if (container->Status() == ContainerStatus::kStopped) {
    return absl::FailedPreconditionError(
        absl::StrCat("container with id ", *id, " is not running"));
  }
  const absl::StatusOr<std::unique_ptr<Cgroup>> cgroup = container->OpenCgroup();
  if (!cgroup.ok()) return cgroup.status();
  const absl::Status done = invocation.flags.Switch("stats")
                                ? PrintStats(*id, **cgroup)
                                : Follow(*container, **cgroup, interval);
  if (!done.ok()) return done;
  return 0;
}

}  // namespace ocid
