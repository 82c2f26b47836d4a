#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "client/cli/container_flags.h"
#include "client/cli/proto_json.h"
#include "client/cli/text.h"
#include "client/error.h"

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

// Reads a log, and after the loss of the daemon on from where it was. Of the entries of one time, which
// a batch of output has, it counts those that it has.
class Follower {
 public:
  Follower(Context& context, const Flags& flags, v1::ReadLogRequest request)
      : context_(context), flags_(flags), request_(std::move(request)), errors_(context.stdio().err) {}

  absl::Status Read() {
    uint64_t skip = seen_at_last_time_;
    ServerStream<v1::LogEntry> stream = context_.client().ReadLog(request_, context_.call());
    v1::LogEntry entry;
    while (stream.Next(entry)) {
      const bool at_last_time = has_last_time_ && SameTime(entry.time(), last_time_);
      if (at_last_time && skip > 0) {
        --skip;
        continue;
      }
      Print(entry);
      if (!at_last_time) seen_at_last_time_ = 0;
      ++seen_at_last_time_;
      has_last_time_ = true;
      last_time_ = entry.time();
      if (context_.out().closed()) {
        stream.Cancel();
        break;
      }
    }
    return stream.Finish();
  }

  void GoOn() {
    if (!has_last_time_) return;
    request_.clear_tail();
    *request_.mutable_since() = last_time_;
  }

 private:
  static bool SameTime(const google::protobuf::Timestamp& a, const google::protobuf::Timestamp& b) {
    return a.seconds() == b.seconds() && a.nanos() == b.nanos();
  }

  void Print(const v1::LogEntry& entry) {
    Output& out = context_.out();
    if (context_.json()) {
      out.Write(LineJson(ToJson(entry)));
    } else if (entry.lost_bytes() > 0) {
      errors_.Write(absl::StrCat("ocictl: logs ", flags_.id, ": ", entry.lost_bytes(),
                                 " bytes could not be written here\n"));
    } else {
      Output& stream = entry.stream() == v1::LOG_STREAM_STDERR ? errors_ : out;
      if (flags_.timestamps) stream.Write(FormatTime(entry.time()) + " ");
      stream.Write(entry.data());
    }
    // Lines of the two streams come out in the order in which they were written.
    if (flags_.follow || entry.stream() == v1::LOG_STREAM_STDERR) {
      out.Flush();
      errors_.Flush();
    }
  }

  Context& context_;
  const Flags& flags_;
  v1::ReadLogRequest request_;
  Output errors_;
  bool has_last_time_ = false;
  google::protobuf::Timestamp last_time_;  // of the newest entry
  uint64_t seen_at_last_time_ = 0;         // entries of that time
};

int Run(Context& context, const Flags& flags) {
  absl::StatusOr<v1::ReadLogRequest> request = BuildRequest(flags);
  if (!request.ok()) return context.Usage(request.status());
  Follower follower(context, flags, *std::move(request));
  for (;;) {
    const absl::Status status = follower.Read();
    if (context.out().closed() || status.ok()) return kSuccess;
    if (flags.follow && IsAway(DecodeError(status)) && context.AwaitDaemon()) {
      follower.GoOn();
      continue;
    }
    context.out().Flush();
    return context.Fail(flags.id, status);
  }
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
        "object a line, with time and stream. With -f a daemon that restarts is waited for.",
    .examples =
        "$ ocictl logs web\n"
        "$ ocictl logs -f --tail 20 web\n"
        "$ ocictl logs --since 10m --stream stderr web",
    .completes = Completes::kContainers,
    .define = Define,
};

}  // namespace ocid::cli
