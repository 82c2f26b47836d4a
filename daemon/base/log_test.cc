#include "daemon/base/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "nlohmann/json.hpp"

namespace ocid {
namespace {

const absl::Time kTime = absl::UnixEpoch() + absl::Microseconds(1'700'000'000'123'456);

TEST(LogLine, TextHasTimeLevelMessageAndFields) {
  EXPECT_EQ(FormatLogLine(LogFormat::kText, kTime, LogLevel::kInfo, "container stopped",
                          {{"container", "web"}, {"code", 137}, {"known", true}}),
            "2023-11-14T22:13:20.123456Z INFO  container stopped container=\"web\" code=137 "
            "known=true\n");
}

TEST(LogLine, JsonIsOneObjectWithTypedValues) {
  const std::string line = FormatLogLine(LogFormat::kJson, kTime, LogLevel::kWarning, "m",
                                         {{"s", "x"}, {"n", -3}, {"u", UINT64_MAX}, {"b", false}});
  const nlohmann::json json = nlohmann::json::parse(line);
  EXPECT_EQ(json["time"], "2023-11-14T22:13:20.123456Z");
  EXPECT_EQ(json["level"], "warning");
  EXPECT_EQ(json["msg"], "m");
  EXPECT_EQ(json["s"], "x");
  EXPECT_EQ(json["n"], -3);
  EXPECT_EQ(json["u"], UINT64_MAX);
  EXPECT_EQ(json["b"], false);
}

TEST(LogLine, AHostileValueStaysInItsLine) {
  const std::string hostile("a\nERROR forged\" level=\"\x1b[2J\xff\xc2\x9b\0z", 30);
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    const std::string line =
        FormatLogLine(format, kTime, LogLevel::kInfo, hostile, {{"value", hostile}});
    EXPECT_EQ(line.find('\n'), line.size() - 1) << line;
    EXPECT_EQ(line.find('\x1b'), std::string::npos) << line;
    EXPECT_EQ(line.find('\xff'), std::string::npos) << line;
    EXPECT_EQ(line.find("\xc2\x9b"), std::string::npos) << line;
    EXPECT_EQ(line.find('\0'), std::string::npos) << line;
  }
  const std::string json =
      FormatLogLine(LogFormat::kJson, kTime, LogLevel::kInfo, hostile, {{"value", hostile}});
  EXPECT_EQ(nlohmann::json::parse(json)["value"].get<std::string>().substr(0, 14),
            "a\nERROR forged");
}

TEST(LogLine, ValidUtf8IsLeftAlone) {
  EXPECT_EQ(QuoteForLog("grüße €😀"), "\"grüße €😀\"");
  // Overlong, surrogate, above U+10FFFF, cut short.
  EXPECT_EQ(QuoteForLog("\xc0\xaf"), "\"\\ufffd\\ufffd\"");
  EXPECT_EQ(QuoteForLog("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\"");
  EXPECT_EQ(QuoteForLog("\xf4\x90\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
  EXPECT_EQ(QuoteForLog("\xe2\x82"), "\"\\ufffd\\ufffd\"");
}

TEST(LogNames, ParseWhatTheyPrintAndNameTheChoicesElse) {
  for (const LogLevel level :
       {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
    EXPECT_EQ(*ParseLogLevel(LogLevelName(level)), level);
  }
  EXPECT_EQ(*ParseLogFormat("json"), LogFormat::kJson);
  const absl::Status status = ParseLogLevel("loud").status();
  EXPECT_EQ(status.message(), "\"loud\" is not a log level (debug, info, warning, error)");
}

// Standard error, for as long as it lives, is a pipe.
class StderrCapture {
 public:
  StderrCapture() {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) std::abort();
    read_end_ = fds[0];
    saved_ = dup(STDERR_FILENO);
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
  }
  std::string Finish() {
    dup2(saved_, STDERR_FILENO);
    close(saved_);
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = read(read_end_, buffer, sizeof(buffer))) > 0;) text.append(buffer, n);
    close(read_end_);
    return text;
  }

 private:
  int read_end_ = -1;
  int saved_ = -1;
};

TEST(Log, WritesOnlyWhatTheLevelLetsThrough) {
  SetLogLevel(LogLevel::kWarning);
  StderrCapture capture;
  Log(LogLevel::kInfo, "quiet");
  Log(LogLevel::kWarning, "loud");
  const std::string text = capture.Finish();
  SetLogLevel(LogLevel::kInfo);
  EXPECT_EQ(text.find("quiet"), std::string::npos);
  EXPECT_NE(text.find("WARN  loud\n"), std::string::npos);
}

TEST(Log, LinesOfManyThreadsDoNotMix) {
  SetLogFormat(LogFormat::kJson);
  StderrCapture capture;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([i] {
        for (int j = 0; j < 50; ++j) Log(LogLevel::kInfo, "m", {{"i", i}, {"j", j}});
      });
    }
  }
  const std::string text = capture.Finish();
  SetLogFormat(LogFormat::kText);
  int lines = 0;
  for (size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    EXPECT_TRUE(nlohmann::json::accept(text.substr(at, end - at)));
    ++lines;
  }
  EXPECT_EQ(lines, 200);
}

}  // namespace
}  // namespace ocid
