#include "client/cli/output.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>

#include "client/cli/proto_json.h"
#include "gtest/gtest.h"
#include "proto/ocid/v1/container.pb.h"
#include "proto/ocid/v1/log.pb.h"
#include "proto/ocid/v1/spec.pb.h"
#include "runtime/base/unique_fd.h"

namespace ocid::cli {
namespace {

TEST(Table, ColumnsAreAsWideAsTheirWidestCell) {
  Table table({"ID", "STATE"});
  table.AddRow({"web", "running"});
  table.AddRow({"a-long-one", ""});
  EXPECT_EQ(table.Format(),
            "ID          STATE\n"
            "web         running\n"
            "a-long-one  -\n");
}

TEST(Table, CellsCannotDriveTheTerminal) {
  Table table({"COMMAND"});
  table.AddRow({"a\x1b[2J\n"});
  EXPECT_EQ(table.Format(), "COMMAND\na\\x1b[2J\\x0a\n");
}

TEST(Output, AReaderThatIsGoneIsNoError) {
  std::signal(SIGPIPE, SIG_IGN);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const UniqueFd write_end(ends[1]);
  close(ends[0]);
  Output out(write_end.get());
  out.Write("lost");
  out.Flush();
  EXPECT_TRUE(out.closed());
  EXPECT_EQ(out.error(), 0);
}

TEST(Output, ADiskThatIsFullIsAnError) {
  const UniqueFd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(full.valid());
  Output out(full.get());
  out.Write("lost");
  out.Flush();
  EXPECT_FALSE(out.closed());
  EXPECT_EQ(out.error(), ENOSPC);
}

TEST(ToJson, ScalarsAreThereEvenWhenZeroAndMessagesWhereSet) {
  v1::Container container;
  container.set_id("web");
  container.set_state(v1::CONTAINER_STATE_RUNNING);
  const auto json = ToJson(container);
  EXPECT_EQ(json["state"], "running");
  EXPECT_EQ(json["pid"], 0);
  EXPECT_EQ(json["args"], nlohmann::ordered_json::array());
  EXPECT_FALSE(json.contains("exit_status"));
  container.mutable_exit_status();
  EXPECT_EQ(ToJson(container)["exit_status"]["code"], 0);
}

TEST(ToJson, TimesAreRfc3339AndBigNumbersAreNumbers) {
  v1::ContainerStats stats;
  stats.mutable_time()->set_seconds(1'700'000'000);
  stats.mutable_time()->set_nanos(5);
  stats.mutable_cpu()->set_usage_ns(uint64_t{1} << 60);
  const auto json = ToJson(stats);
  EXPECT_EQ(json["time"], "2023-11-14T22:13:20.000000005Z");
  EXPECT_EQ(json["cpu"]["usage_ns"], uint64_t{1} << 60);
  EXPECT_FALSE(json["cpu"].contains("user_ns"));
}

TEST(ToJson, DocumentsAreJsonAndNotStringsOfIt) {
  v1::SpecStep step;
  step.set_json_patch(R"([{"op":"test","path":"","value":1}])");
  step.set_actor_kind(v1::SpecStep::CDI);
  const auto json = ToJson(step);
  EXPECT_EQ(json["json_patch"][0]["op"], "test");
  EXPECT_EQ(json["actor_kind"], "cdi");
}

TEST(ToJson, BytesThatAreNoTextAreBase64) {
  v1::LogEntry entry;
  entry.set_data("plain\n");
  EXPECT_EQ(ToJson(entry)["data"], "plain\n");
  entry.set_data("\xff\xfe");
  EXPECT_EQ(ToJson(entry)["data"], "base64://4=");
}

TEST(ToJson, MapsAreInTheOrderOfTheirKeys) {
  v1::Container container;
  for (const char* key : {"b", "c", "a"}) (*container.mutable_labels())[key] = key;
  EXPECT_EQ(ToJson(container)["labels"].dump(), R"({"a":"a","b":"b","c":"c"})");
}

TEST(EnumText, AValueOfANewerDaemonIsItsNumber) {
  EXPECT_EQ(EnumText(static_cast<v1::ContainerState>(99)), "99");
}

}  // namespace
}  // namespace ocid::cli
