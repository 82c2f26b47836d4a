#include "runtime/supervisor/log_writer.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/base/unique_fd.h"
#include "runtime/supervisor/clock.h"

namespace ocid {
namespace {

using nlohmann::json;

class LogWriterTest : public testing::Test {
 protected:
  LogWriterTest() {
    path_ = testing::TempDir() + "/log_writer_XXXXXX";
    EXPECT_NE(mkdtemp(path_.data()), nullptr);
    OpenDir();
  }

  void OpenDir() { dir_.reset(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)); }

  void Append(const std::string& bytes, LogStream stream = LogStream::kStdout) {
    log_->Append(stream, bytes.data(), bytes.size());
  }

  std::vector<json> Read(const std::string& name = "log") const {
    std::ifstream file(path_ + "/" + name);
    std::vector<json> records;
    for (std::string line; std::getline(file, line);) records.push_back(json::parse(line));
    return records;
  }

  std::string Text(const std::string& name = "log") const {
    std::string text;
    for (const json& record : Read(name)) text += record["log"].get<std::string>();
    return text;
  }

  bool Exists(const std::string& name) const {
    return access((path_ + "/" + name).c_str(), F_OK) == 0;
  }

  std::string path_;
  UniqueFd dir_;
  std::unique_ptr<LogWriter> log_ = std::make_unique<LogWriter>();
};

TEST_F(LogWriterTest, WritesOneRecordForEachLine) {
  ASSERT_EQ(log_->Open(dir_.get(), 0, 1), 0);
  Append("one\ntwo\n");
  Append("oops\n", LogStream::kStderr);
  log_->Flush();
  const std::vector<json> records = Read();
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[0]["log"], "one\n");
  EXPECT_EQ(records[1]["log"], "two\n");
  EXPECT_EQ(records[2]["log"], "oops\n");
  EXPECT_EQ(records[2]["stream"], "stderr");
}

TEST_F(LogWriterTest, JoinsALineThatCameInPieces) {
  ASSERT_EQ(log_->Open(dir_.get(), 0, 1), 0);
  for (const char* piece : {"he", "ll", "o\nwor"}) {
    Append(piece);
    log_->Flush();
  }
  ASSERT_EQ(Read().size(), 1u);
  EXPECT_EQ(Read()[0]["log"], "hello\n");
  log_->Finish(LogStream::kStdout);
  log_->Flush();
  ASSERT_EQ(Read().size(), 2u);
  EXPECT_EQ(Read()[1]["log"], "wor");
  EXPECT_FALSE(Read()[1].contains("partial"));
}

TEST_F(LogWriterTest, StreamsDoNotMixWithinALine) {
  ASSERT_EQ(log_->Open(dir_.get(), 0, 1), 0);
  Append("out-");
  Append("err-", LogStream::kStderr);
  Append("put\n");
  Append("or\n", LogStream::kStderr);
  log_->Flush();
  EXPECT_EQ(Read()[0]["log"], "out-put\n");
  EXPECT_EQ(Read()[1]["log"], "err-or\n");
}

TEST_F(LogWriterTest, SplitsALongLineIntoPartialRecordsThatAddUp) {
  ASSERT_EQ(log_->Open(dir_.get(), 0, 1), 0);
  std::string line;
  while (line.size() < 50000) line += "\xe2\x82\xac";  // never cut within a character
  line += "\n";
  for (size_t at = 0; at < line.size(); at += 7000) Append(line.substr(at, 7000));
  log_->Flush();
  const std::vector<json> records = Read();
  ASSERT_EQ(records.size(), 4u);
  for (const json& record : records) {
    EXPECT_EQ(record.contains("partial"), &record != &records.back());
    EXPECT_FALSE(record.contains("log_base64"));
  }
  EXPECT_EQ(Text(), line);
}

TEST_F(LogWriterTest, WritesAPromptThatHasWaitedLongEnough) {
  ASSERT_EQ(log_->Open(dir_.get(), 0, 1), 0);
  EXPECT_EQ(log_->WriteTails(MonotonicNow()), -1);
  Append("$ ");
  const int64_t wait = log_->WriteTails(MonotonicNow());
  EXPECT_GT(wait, 0);
  EXPECT_LE(wait, kTailDelayNs);
  EXPECT_TRUE(Read().empty());
  EXPECT_EQ(log_->WriteTails(MonotonicNow() + kTailDelayNs), -1);
  ASSERT_EQ(Read().size(), 1u);
  EXPECT_EQ(Read()[0]["partial"], true);
}

TEST_F(LogWriterTest, RotatesBetweenRecordsAndKeepsSoManyFiles) {
  ASSERT_EQ(log_->Open(dir_.get(), 1000, 3), 0);
  std::string expected;
  for (int i = 0; i < 100; ++i) {
    const std::string line = "line " + std::to_string(i) + "\n";
    expected += line;
    Append(line);
    if (i % 3 == 0) log_->Flush();
  }
  log_->Flush();
  EXPECT_TRUE(Exists("log.2"));
  EXPECT_FALSE(Exists("log.3"));
  const std::string kept = Text("log.2") + Text("log.1") + Text("log");
  EXPECT_EQ(kept, expected.substr(expected.size() - kept.size()));
  for (const char* name : {"/log", "/log.1", "/log.2"}) {
    struct stat status = {};
    ASSERT_EQ(stat((path_ + name).c_str(), &status), 0);
    EXPECT_LE(status.st_size, 1000);
  }
}

TEST_F(LogWriterTest, OneFileIsReplacedByAnEmptyOne) {
  ASSERT_EQ(log_->Open(dir_.get(), 200, 1), 0);
  for (int i = 0; i < 20; ++i) {
    Append("line " + std::to_string(i) + "\n");
    log_->Flush();
  }
  EXPECT_FALSE(Exists("log.1"));
  EXPECT_EQ(Read().back()["log"], "line 19\n");
  EXPECT_LT(Read().size(), 3u);
}

TEST_F(LogWriterTest, ClosesOffTheLineOfAWriterThatWasKilled) {
  std::ofstream(path_ + "/log") << "{\"time\":\"20";
  ASSERT_EQ(log_->Open(dir_.get(), 0, 1), 0);
  Append("next\n");
  log_->Flush();
  std::ifstream file(path_ + "/log");
  std::string first, second;
  std::getline(file, first);
  std::getline(file, second);
  EXPECT_EQ(first, "{\"time\":\"20");
  EXPECT_EQ(json::parse(second)["log"], "next\n");
}

TEST_F(LogWriterTest, CountsWhatAFullDiskLosesAndSaysSoAfterwards) {
  if (mount("none", path_.c_str(), "tmpfs", 0, "size=64k") != 0) {
    GTEST_SKIP() << "needs the right to mount a tmpfs";
  }
  OpenDir();
  ASSERT_EQ(log_->Open(dir_.get(), 0, 1), 0);
  std::string kept;
  for (int i = 0; i < 3000; ++i) {
    Append("line " + std::to_string(i) + "\n");
    log_->Flush();
  }
  const uint64_t dropped = log_->dropped_bytes();
  EXPECT_GT(dropped, 0u);
  uint64_t before = 0;
  for (const json& record : Read()) before += record["log"].get<std::string>().size();
  EXPECT_EQ(before + dropped, log_->accepted_bytes());

  ASSERT_EQ(mount("none", path_.c_str(), "tmpfs", MS_REMOUNT, "size=1m"), 0);
  Append("there is space again\n");
  log_->Flush();
  const std::vector<json> records = Read();
  EXPECT_EQ(records[records.size() - 2]["dropped_bytes"], dropped);
  EXPECT_EQ(records.back()["log"], "there is space again\n");
  EXPECT_EQ(log_->dropped_bytes(), dropped);
  dir_.reset();
  log_.reset();
  umount2(path_.c_str(), MNT_DETACH);
}

}  // namespace
}  // namespace ocid
