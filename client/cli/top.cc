#include <algorithm>
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

constexpr absl::Duration kFirstLook = absl::Milliseconds(200);

struct Flags {
  LiveFlags live;
  std::string sort = "cpu";
  std::string id;
};

struct Row {
  v1::ListProcessesResponse::Process process;
  std::optional<double> cpu_percent;  // of one CPU, since the look before
};

class Looker {
 public:
  Looker(Context& context, const Flags& flags) : context_(context), flags_(flags) {}

  absl::StatusOr<std::vector<Row>> Look() {
    v1::ListProcessesRequest request;
    request.set_container_id(flags_.id);
    const auto response = context_.client().containers().ListProcesses(request, context_.call());
    if (!response.ok()) return response.status();
    const absl::Time now = absl::Now();
    std::map<int32_t, absl::Duration> cpu_times;
    std::vector<Row> rows;
    for (const auto& process : response->processes()) {
      Row row;
      row.process = process;
      const absl::Duration cpu = ToDuration(process.cpu_time());
      cpu_times[process.pid()] = cpu;
      const auto before = cpu_times_.find(process.pid());
      if (before != cpu_times_.end() && cpu >= before->second) {
        row.cpu_percent = 100 * absl::FDivDuration(cpu - before->second, now - last_look_);
      }
      rows.push_back(std::move(row));
    }
    cpu_times_ = std::move(cpu_times);
    last_look_ = now;
    std::stable_sort(rows.begin(), rows.end(),
                     [this](const Row& a, const Row& b) { return Key(a) > Key(b); });
    return rows;
  }

 private:
  double Key(const Row& row) const {
    if (flags_.sort == "pid") return -static_cast<double>(row.process.pid());
    if (flags_.sort == "memory") return static_cast<double>(row.process.resident_bytes());
    if (flags_.sort == "time") return absl::ToDoubleSeconds(ToDuration(row.process.cpu_time()));
    return row.cpu_percent.value_or(0);
  }

  Context& context_;
  const Flags& flags_;
  std::map<int32_t, absl::Duration> cpu_times_;
  absl::Time last_look_;
};

std::string Format(const std::vector<Row>& rows) {
  Table table({"PID", "PPID", "UID", "STATE", "CPU", "TIME", "RSS", "EXEC", "COMMAND"});
  for (const auto& [process, cpu_percent] : rows) {
    table.AddRow({absl::StrCat(process.pid()), absl::StrCat(process.parent_pid()),
                  absl::StrCat(process.uid()), process.state(),
                  cpu_percent.has_value() ? absl::StrFormat("%.1f%%", *cpu_percent) : "",
                  FormatShort(ToDuration(process.cpu_time())), FormatSize(process.resident_bytes()),
                  process.exec_id(), process.command()});
  }
  return table.Format();
}

int Run(Context& context, const Flags& flags) {
  Looker looker(context, flags);
  const auto first = looker.Look();
  if (!first.ok()) return context.Fail(flags.id, first.status());
  if (context.json()) {
    auto list = nlohmann::ordered_json::array();
    for (const Row& row : *first) list.push_back(ToJson(row.process));
    context.out().Write(PrettyJson(list));
    return kSuccess;
  }
  absl::SleepFor(kFirstLook);
  return ShowLive(context, flags.live, [&]() -> absl::StatusOr<std::string> {
    const auto rows = looker.Look();
    if (!rows.ok()) return rows.status();
    return Format(*rows);
  });
}

Action Define(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  AddLiveFlags(app, flags->live);
  app.add_option("--sort", flags->sort, "cpu, memory, time or pid")
      ->type_name("COLUMN")
      ->check(CLI::IsMember({"cpu", "memory", "time", "pid"}))
      ->type_name("COLUMN");
  app.add_option("ID", flags->id, "A container that runs, or was created")->required();
  return [flags](Context& context) { return Run(context, *flags); };
}

}  // namespace

const CommandSpec kTopCommand = {
    .name = "top",
    .group = "Looking",
    .summary = "The processes of a container, with their CPU and memory, as they change",
    .details =
        "On a terminal shown again every second, until Ctrl-C. CPU is the share of one CPU since the\n"
        "look before. Pids and uids are the host's.",
    .examples =
        "$ ocictl top web\n"
        "$ ocictl top --sort memory --no-stream web",
    .completes = Completes::kContainers,
    .define = Define,
};

}  // namespace ocid::cli
