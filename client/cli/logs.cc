#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "client/cli/container_flags.h"
#include "client/cli/proto_json.h"
#include "client/cli/text.h"

namespace ocid::cli {
namespace {

struct Flags {
  bool follow = false;
  bool timestamps = false;
  std::string tail;
  std::string since;
  std::string until;
  std::string stream;
  std::string id;
};

absl::StatusOr<v1::ReadLogRequest> BuildRequest(const Flags& flags) {
  v1::ReadLogRequest request;
  request.set_container_id(flags.id);
  request.set_follow(flags.follow);
  if (!flags.tail.empty() && flags.tail != "all") {
    uint64_t tail = 0;
    if (!absl::SimpleAtoi(flags.tail, &tail)) {
      return absl::InvalidArgumentError("--tail \"" + flags.tail + "\": expected a number or all");
    }
    request.set_tail(tail);
  }
  const absl::Time now = absl::Now();
  if (!flags.since.empty()) {
    const absl::StatusOr<absl::Time> since = ParseTime(flags.since, now);
    if (!since.ok()) return FlagError("since", since.status());
    SetTimestamp(*since, *request.mutable_since());
  }
  if (!flags.until.empty()) {
    const absl::StatusOr<absl::Time> until = ParseTime(flags.until, now);
    if (!until.ok()) return FlagError("until", until.status());
    SetTimestamp(*until, *request.mutable_until());
  }
  if (flags.stream == "stdout") request.set_stream(v1::LOG_STREAM_STDOUT);
  if (flags.stream == "stderr") request.set_stream(v1::LOG_STREAM_STDERR);
  return request;
}

int Run(Context& context, const Flags& flags) {
  const absl::StatusOr<v1::ReadLogRequest> request = BuildRequest(flags);
  if (!request.ok()) return context.Usage(request.status());
  ServerStream<v1::LogEntry> stream = context.client().ReadLog(*request, context.call());
  Output errors(context.stdio().err);
  v1::LogEntry entry;
  while (stream.Next(entry)) {
    if (context.json()) {
      context.out().Write(LineJson(ToJson(entry)));
    } else if (entry.lost_bytes() > 0) {
      errors.Write(absl::StrCat("ocictl: logs ", flags.id, ": ", entry.lost_bytes(),
                                " bytes could not be written here\n"));
    } else {
      Output& out = entry.stream() == v1::LOG_STREAM_STDERR ? errors : context.out();
      if (flags.timestamps) out.Write(FormatTime(entry.time()) + " ");
      out.Write(entry.data());
    }
    // Lines of the two streams come out in the order in which they were written.
    if (flags.follow || entry.stream() == v1::LOG_STREAM_STDERR) {
      context.out().Flush();
      errors.Flush();
    }
    if (context.out().closed()) {
      stream.Cancel();
      break;
    }
  }
  const bool reader_gone = context.out().closed();
  const absl::Status status = stream.Finish();
  if (!status.ok() && !reader_gone) {
    context.out().Flush();
    return context.Fail(flags.id, status);
  }
  return kSuccess;
}

Action Define(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_flag("-f,--follow", flags->follow, "Go on with what comes, until the container stops");
  app.add_option("--tail", flags->tail, "Only the newest N lines")->type_name("N");
  app.add_option("--since", flags->since,
                 "Only lines from then on: 10m (ago), 2026-11-22T20:00:00Z, seconds since 1970")
      ->type_name("TIME");
  app.add_option("--until", flags->until, "Only lines from before then")->type_name("TIME");
  app.add_option("--stream", flags->stream, "Only stdout or stderr")
      ->type_name("STREAM")
      ->check(CLI::IsMember({"stdout", "stderr"}))
      ->type_name("STREAM");
  app.add_flag("--timestamps", flags->timestamps, "Begin each line with its time");
  app.add_option("ID", flags->id, "A container")->required();
  return [flags](Context& context) { return Run(context, *flags); };
}

}  // namespace

const CommandSpec kLogsCommand = {
    .name = "logs",
    .group = "Looking",
    .summary = "What a container's main process wrote",
    .details =
        "Its standard output goes to ours, its standard error to ours. With --format json one\n"
        "object a line, with time and stream.",
    .examples =
        "$ ocictl logs web\n"
        "$ ocictl logs -f --tail 20 web\n"
        "$ ocictl logs --since 10m --stream stderr web",
    .completes = Completes::kContainers,
    .define = Define,
};

}  // namespace ocid::cli
