#include "daemon/logs/log_reader.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/logs/log_record.h"

namespace ocid {
namespace {

std::string Record(int second, const std::string& text, const std::string& stream = "stdout") {
  return absl::StrCat("{\"time\":\"2026-01-01T00:00:", second < 10 ? "0" : "", second,
                      ".000000001Z\",\"stream\":\"", stream, "\",\"log\":\"", text, "\\n\"}\n");
}

class LogReaderTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/ocid-logs-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  void Append(const std::string& name, const std::string& text) const {
    std::ofstream(Path(name), std::ios::app | std::ios::binary) << text;
  }
  void Rotate(int files) const {
    for (int i = files; i > 0; --i) {
      const std::string from = Path(i == 1 ? "log" : absl::StrCat("log.", i - 1));
      if (std::filesystem::exists(from)) {
        std::filesystem::rename(from, Path(absl::StrCat("log.", i)));
      }
    }
  }

  std::unique_ptr<LogReader> Open(const LogQuery& query = {}) const {
    auto reader = LogReader::Open(directory_, query);
    EXPECT_TRUE(reader.ok()) << reader.status();
    return *std::move(reader);
  }

  // Everything that is there, as "text text ..." without newlines; lost bytes as "?N".
  static std::string ReadAll(LogReader& reader) {
    std::vector<v1::LogEntry> entries;
    for (absl::StatusOr<bool> more = true; more.ok() && *more;) {
      more = reader.Read(3, 1 << 20, entries);
      EXPECT_TRUE(more.ok()) << more.status();
    }
    std::string text;
    for (const v1::LogEntry& entry : entries) {
      absl::StrAppend(&text, text.empty() ? "" : " ");
      if (entry.lost_bytes() > 0) {
        absl::StrAppend(&text, "?", entry.lost_bytes());
      } else {
        text += entry.data().substr(0, entry.data().find('\n'));
      }
    }
    return text;
  }

  std::string directory_;
};

TEST(LogRecord, HasAllThatTheSupervisorWrites) {
  const v1::LogEntry entry = ParseLogRecord(
      R"({"time":"2026-11-22T20:26:27.123456789Z","stream":"stderr","log":"a\"b","partial":true})");
  EXPECT_EQ(entry.time().nanos(), 123456789);
  EXPECT_EQ(entry.stream(), v1::LOG_STREAM_STDERR);
  EXPECT_EQ(entry.data(), "a\"b");
  EXPECT_TRUE(entry.partial());
}

TEST(LogRecord, ExactBytesWinOverTheirPrintableForm) {
  const v1::LogEntry entry = ParseLogRecord(
      R"({"time":"2026-01-01T00:00:00.000000000Z","stream":"stdout","log":"caf\ufffd\n","log_base64":"Y2Fm6Qo="})");
  EXPECT_EQ(entry.data(), "caf\xe9\n");
}

TEST(LogRecord, DroppedBytesAndBrokenLinesAreLossesNotSilence) {
  EXPECT_EQ(
      ParseLogRecord(
          R"({"time":"2026-01-01T00:00:00.0Z","stream":"supervisor","log":"","dropped_bytes":4096})")
          .lost_bytes(),
      4096u);
  for (const char* line :
       {"{\"time\":\"2026-01", "[]", "{}", "\x01\xff", R"({"time":"x","stream":"stdout","log":""})",
        R"({"time":"2026-01-01T00:00:00.0Z","stream":"stdin","log":""})",
        R"({"time":"2026-01-01T00:00:00.0Z","stream":"stdout","log":1})"}) {
    EXPECT_EQ(ParseLogRecord(line).lost_bytes(), std::string_view(line).size()) << line;
  }
}

TEST(LogRecord, OfTheCriFormatHasTheSame) {
  const v1::LogEntry whole = ParseLogRecord("2026-11-22T20:26:27.000000001Z stderr F a b  c");
  EXPECT_EQ(whole.stream(), v1::LOG_STREAM_STDERR);
  EXPECT_EQ(whole.data(), "a b  c\n");
  EXPECT_EQ(whole.time().nanos(), 1);
  EXPECT_FALSE(whole.partial());
  const v1::LogEntry part = ParseLogRecord("2026-11-22T20:26:27.000000001Z stdout P part");
  EXPECT_EQ(part.data(), "part");
  EXPECT_TRUE(part.partial());
  EXPECT_EQ(ParseLogRecord("2026-11-22T20:26:27.000000001Z stdout F ").data(), "\n");
  EXPECT_EQ(ParseLogRecord("2026-11-22T20:26:27.1Z stderr F:ocid.dropped=77 77 bytes").lost_bytes(),
            77u);
  for (const std::string broken :
       {"2026-11-22T20:26:27.1Z stdout F", "2026-11-22T20:26:27.1Z stdout X text",
        "2026-11-22T20:26:27.1Z other F text", "yesterday stdout F text"}) {
    EXPECT_EQ(ParseLogRecord(broken).lost_bytes(), broken.size()) << broken;
  }
}

TEST_F(LogReaderTest, NoLogIsAnEmptyOne) {
  const auto reader = Open();
  EXPECT_EQ(ReadAll(*reader), "");
  EXPECT_TRUE(reader->PastOpeningEnd());
  Append("log", Record(1, "a"));
  EXPECT_EQ(ReadAll(*reader), "a");
}

TEST_F(LogReaderTest, ReadsRotatedFilesFromTheOldest) {
  Append("log.2", Record(1, "a") + Record(2, "b"));
  Append("log.1", Record(3, "c"));
  Append("log", Record(4, "d"));
  EXPECT_EQ(ReadAll(*Open()), "a b c d");
}

TEST_F(LogReaderTest, GoesOnWhereItStoppedAsTheFileGrows) {
  Append("log", Record(1, "a"));
  const auto reader = Open();
  EXPECT_EQ(ReadAll(*reader), "a");
  EXPECT_EQ(ReadAll(*reader), "");
  Append("log", Record(2, "b"));
  EXPECT_EQ(ReadAll(*reader), "b");
}

TEST_F(LogReaderTest, AnIncompleteLastLineWaitsForItsEnd) {
  const std::string record = Record(2, "b");
  Append("log", Record(1, "a") + record.substr(0, 20));
  const auto reader = Open();
  EXPECT_EQ(ReadAll(*reader), "a");
  Append("log", record.substr(20));
  EXPECT_EQ(ReadAll(*reader), "b");
}

TEST_F(LogReaderTest, AnIncompleteLineThatIsTakenBackIsForgotten) {
  Append("log", Record(1, "a"));
  const auto size = std::filesystem::file_size(Path("log"));
  Append("log", "{\"time\":\"20");
  const auto reader = Open();
  EXPECT_EQ(ReadAll(*reader), "a");
  std::filesystem::resize_file(Path("log"), size);
  Append("log", Record(2, "b"));
  EXPECT_EQ(ReadAll(*reader), "b");
}

TEST_F(LogReaderTest, ARotationInTheMiddleLosesAndRepeatsNothing) {
  Append("log", Record(1, "a"));
  const auto reader = Open();
  EXPECT_EQ(ReadAll(*reader), "a");
  Append("log", Record(2, "b"));
  Rotate(2);
  EXPECT_EQ(ReadAll(*reader), "b") << "`log` is not there yet";
  Append("log", Record(3, "c"));
  EXPECT_EQ(ReadAll(*reader), "c");
  Rotate(2);
  Append("log", Record(4, "d"));
  Rotate(2);
  Append("log", Record(5, "e"));
  EXPECT_EQ(ReadAll(*reader), "d e");
}

TEST_F(LogReaderTest, AReaderThatWasLeftBehindGoesOnWithTheOldestFile) {
  Append("log", Record(1, "a"));
  const auto reader = Open();
  EXPECT_EQ(ReadAll(*reader), "a");
  for (int i = 2; i <= 5; ++i) {
    Rotate(1);  // log.1 is overwritten
    Append("log", Record(i, std::string(1, static_cast<char>('a' + i - 1))));
  }
  EXPECT_EQ(ReadAll(*reader), "d e");
}

TEST_F(LogReaderTest, TailIsTheNewestEntriesAcrossFiles) {
  Append("log.1", Record(1, "a") + Record(2, "b"));
  Append("log", Record(3, "c") + Record(4, "d") + "{\"incomplete");
  EXPECT_EQ(ReadAll(*Open({.tail = 0})), "");
  EXPECT_EQ(ReadAll(*Open({.tail = 1})), "d");
  EXPECT_EQ(ReadAll(*Open({.tail = 2})), "c d");
  EXPECT_EQ(ReadAll(*Open({.tail = 3})), "b c d");
  EXPECT_EQ(ReadAll(*Open({.tail = 100})), "a b c d");
}

TEST_F(LogReaderTest, TailOfNothingStillFollows) {
  Append("log", Record(1, "a"));
  const auto reader = Open({.tail = 0});
  EXPECT_EQ(ReadAll(*reader), "");
  Append("log", Record(2, "b"));
  EXPECT_EQ(ReadAll(*reader), "b");
}

TEST_F(LogReaderTest, TailCountsWhatMatches) {
  Append("log", Record(1, "a", "stderr") + Record(2, "b") + Record(3, "c") +
                    Record(4, "d", "stderr") + Record(5, "e"));
  EXPECT_EQ(ReadAll(*Open({.tail = 2, .stream = v1::LOG_STREAM_STDERR})), "a d");
  EXPECT_EQ(ReadAll(*Open({.until = absl::FromUnixSeconds(1767225604), .tail = 2})), "b c");
}

TEST_F(LogReaderTest, SinceAndUntilBoundTheTime) {
  const absl::Time start = absl::FromUnixSeconds(1767225600);  // 2026-01-01
  for (int i = 1; i <= 5; ++i) Append("log", Record(i, absl::StrCat(i)));
  EXPECT_EQ(ReadAll(*Open({.since = start + absl::Seconds(3)})), "3 4 5");
  EXPECT_EQ(ReadAll(*Open({.until = start + absl::Seconds(3)})), "1 2");
  EXPECT_EQ(ReadAll(*Open({.since = start + absl::Seconds(2), .until = start + absl::Seconds(4)})),
            "2 3");
}

TEST_F(LogReaderTest, LargeLogsAndLongLinesGoThroughBlockBoundaries) {
  std::string all;
  std::string expected;
  for (int i = 0; i < 400; ++i) {
    const std::string text = absl::StrCat(i, std::string(static_cast<size_t>(i * 37 % 1500), 'x'));
    all += Record(i % 60, text);
    absl::StrAppend(&expected, expected.empty() ? "" : " ", text);
  }
  Append("log", all);
  EXPECT_EQ(ReadAll(*Open()), expected);
  EXPECT_EQ(ReadAll(*Open({.tail = 400})), expected);
  const std::string last = ReadAll(*Open({.tail = 150}));
  EXPECT_EQ(expected.substr(expected.size() - last.size()), last);
  EXPECT_EQ(std::count(last.begin(), last.end(), ' '), 149);
}

TEST_F(LogReaderTest, AMonstrousLineIsOneLossAndCostsNoMemory) {
  const std::string monster(3 << 20, 'x');
  Append("log", Record(1, "a") + monster + "\n" + Record(2, "b"));
  EXPECT_EQ(ReadAll(*Open()), absl::StrCat("a ?", monster.size(), " b"));
  EXPECT_EQ(ReadAll(*Open({.tail = 2})), absl::StrCat("?", monster.size(), " b"));
}

TEST_F(LogReaderTest, TheEndAtOpeningIsKnownWhileTheLogGrows) {
  Append("log", Record(1, "a") + Record(2, "b"));
  const auto reader = Open();
  std::vector<v1::LogEntry> entries;
  ASSERT_TRUE(reader->Read(1, 1 << 20, entries).ok());
  EXPECT_FALSE(reader->PastOpeningEnd());
  Append("log", Record(3, "c"));
  ASSERT_TRUE(reader->Read(1, 1 << 20, entries).ok());
  EXPECT_TRUE(reader->PastOpeningEnd());
}

TEST_F(LogReaderTest, ALinkInPlaceOfALogIsNotFollowed) {
  Append("secret", Record(1, "s"));
  std::filesystem::create_symlink("secret", Path("log"));
  EXPECT_FALSE(LogReader::Open(directory_, {}).ok());
}

}  // namespace
}  // namespace ocid
