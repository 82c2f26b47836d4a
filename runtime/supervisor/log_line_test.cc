#include "runtime/supervisor/log_line.h"

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace ocid {
namespace {

using nlohmann::json;

std::string Timestamp(int64_t seconds, int32_t nanoseconds) {
  char text[kTimestampSize];
  FormatTimestamp(seconds, nanoseconds, text);
  return std::string(text, sizeof(text));
}

std::string Encode(const std::string& bytes, bool partial = false,
                   LogStream stream = LogStream::kStdout) {
  char time[kTimestampSize];
  FormatTimestamp(0, 0, time);
  std::vector<char> out(kMaxLogRecord);
  const size_t size = EncodeLogLine(
      LogFileFormat::kJson, {.stream = stream, .bytes = bytes.data(), .size = bytes.size(), .partial = partial}, time,
      out.data());
  EXPECT_LE(size, kMaxLogRecord);
  return std::string(out.data(), size);
}

std::string Base64Decode(const std::string& text) {
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<uint32_t>(alphabet.find(c));
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out.push_back(static_cast<char>(bits >> count & 255));
  }
  return out;
}

// What a reader of the log gets back.
std::string Decode(const std::string& record) {
  const json parsed = json::parse(record);
  if (parsed.contains("log_base64")) return Base64Decode(parsed["log_base64"]);
  return parsed["log"];
}

TEST(FormatTimestamp, IsRfc3339WithNanosecondsInUtc) {
  EXPECT_EQ(Timestamp(0, 0), "1970-01-01T00:00:00.000000000Z");
  EXPECT_EQ(Timestamp(951782399, 999999999), "2000-02-28T23:59:59.999999999Z");
  EXPECT_EQ(Timestamp(951782400, 1), "2000-02-29T00:00:00.000000001Z");
  EXPECT_EQ(Timestamp(1795379187, 123456789), "2026-11-22T20:26:27.123456789Z");
  EXPECT_EQ(Timestamp(4107542400, 0), "2100-03-01T00:00:00.000000000Z");
  EXPECT_EQ(Timestamp(-1, 0), "1969-12-31T23:59:59.000000000Z");
}

TEST(EncodeLogLine, IsOneJsonObjectAndANewline) {
  EXPECT_EQ(Encode("hello\n"),
            "{\"time\":\"1970-01-01T00:00:00.000000000Z\",\"stream\":\"stdout\","
            "\"log\":\"hello\\n\"}\n");
}

TEST(EncodeLogLine, NamesTheStreamAndMarksPartialLines) {
  const json record = json::parse(Encode("x", /*partial=*/true, LogStream::kStderr));
  EXPECT_EQ(record["stream"], "stderr");
  EXPECT_EQ(record["partial"], true);
  EXPECT_FALSE(json::parse(Encode("x\n")).contains("partial"));
}

TEST(EncodeLogLine, EscapesWhatJsonMust) {
  const std::string bytes("quote \" slash \\ tab \t nul \0 bell \a del \x7f\r\n", 42);
  const std::string record = Encode(bytes);
  EXPECT_EQ(json::parse(record)["log"], bytes);
  EXPECT_EQ(record.find('\n'), record.size() - 1);
}

TEST(EncodeLogLine, KeepsUtf8AsItIs) {
  const std::string text = "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xb3\n";
  const json record = json::parse(Encode(text));
  EXPECT_EQ(record["log"], text);
  EXPECT_FALSE(record.contains("log_base64"));
}

TEST(EncodeLogLine, ReplacesStrayBytesAndKeepsTheExactOnesBeside) {
  const json record = json::parse(Encode("caf\xe9\n"));
  EXPECT_EQ(record["log"], "caf\xef\xbf\xbd\n");
  EXPECT_EQ(record["log_base64"], "Y2Fm6Qo=");
}

TEST(EncodeLogLine, RefusesOverlongSurrogateAndTooLargeSequences) {
  for (const std::string bad : {"\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                "\xf8\x88\x80\x80\x80", "\xc3", "\xe2\x82", "\x80"}) {
    const json record = json::parse(Encode(bad + "\n"));
    EXPECT_TRUE(record.contains("log_base64"));
    EXPECT_EQ(Decode(Encode(bad + "\n")), bad + "\n");
  }
}

TEST(EncodeLogLine, RandomBytesComeBackExactly) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::string bytes(random() % 200, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    EXPECT_EQ(Decode(Encode(bytes)), bytes);
  }
}

TEST(EncodeLogLine, TheWorstLineFitsIntoARecord) {
  EXPECT_LE(Encode(std::string(kMaxLogLine, '\x01')).size(), kMaxLogRecord);
  EXPECT_LE(Encode(std::string(kMaxLogLine, '\xff')).size(), kMaxLogRecord);
  std::string both(kMaxLogLine, '\x01');
  both.back() = '\xff';
  EXPECT_LE(Encode(both).size(), kMaxLogRecord);
}

TEST(EncodeDropMarker, SaysHowMuchIsMissing) {
  char time[kTimestampSize];
  FormatTimestamp(0, 0, time);
  char out[256];
  const size_t size = EncodeDropMarker(LogFileFormat::kJson, 12345, time, out);
  const json record = json::parse(std::string(out, size));
  EXPECT_EQ(record["stream"], "supervisor");
  EXPECT_EQ(record["dropped_bytes"], 12345);
}

TEST(CutAtCharacter, LeavesAnUnfinishedCharacterForTheNextRecord) {
  const auto cut = [](const char* text) { return CutAtCharacter(text, std::strlen(text)); };
  EXPECT_EQ(cut("abc"), 3u);
  EXPECT_EQ(cut("ab\xc3"), 2u);
  EXPECT_EQ(cut("ab\xc3\xa9"), 4u);
  EXPECT_EQ(cut("ab\xe2\x82"), 2u);
  EXPECT_EQ(cut("ab\xf0\x9f\x90"), 2u);
  EXPECT_EQ(cut("ab\xf0\x9f\x90\xb3"), 6u);
  EXPECT_EQ(cut("\x80\x80\x80\x80\x80"), 5u);
  EXPECT_EQ(cut("\xe2"), 1u);
}

}  // namespace
}  // namespace ocid
