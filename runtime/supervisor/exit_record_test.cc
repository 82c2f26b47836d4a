#include "runtime/supervisor/exit_record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>

#include "gtest/gtest.h"
#include "runtime/base/unique_fd.h"

namespace ocid {
namespace {

ExitRecord Sample() {
  ExitRecord record;
  record.code = 0;
  record.signal = 9;
  record.core_dumped = 1;
  record.oom_kills = 3;
  record.pid = 4242;
  record.time_unix_ns = 1795378800123456789;
  record.time_boot_ns = 17;
  record.user_time_us = 250;
  record.system_time_us = -1;
  record.max_rss_kib = 9001;
  return record;
}

std::string Format(const ExitRecord& record) {
  char text[kMaxExitRecordSize];
  return std::string(text, FormatExitRecord(record, text, sizeof(text)));
}

TEST(ExitRecord, TextReadsBackAsTheSameRecord) {
  const std::string text = Format(Sample());
  ExitRecord read;
  ASSERT_TRUE(ParseExitRecord(text.data(), text.size(), &read));
  EXPECT_EQ(Format(read), text);
  EXPECT_EQ(read.signal, 9);
  EXPECT_EQ(read.core_dumped, 1u);
  EXPECT_EQ(read.oom_kills, 3u);
  EXPECT_EQ(read.pid, 4242);
  EXPECT_EQ(read.time_unix_ns, 1795378800123456789);
  EXPECT_EQ(read.system_time_us, -1);
  EXPECT_EQ(ExitCode(read), 137);
}

TEST(ExitRecord, OneWithoutOomKillsHasNone) {
  const std::string text =
      "ocid-exit=1\ncode=7\nsignal=0\ncore_dumped=0\npid=1\ntime_unix_ns=2\ntime_boot_ns=3\n"
      "user_time_us=4\nsystem_time_us=5\nmax_rss_kib=6\ncrc32=1e212748\n";
  ExitRecord read;
  ASSERT_TRUE(ParseExitRecord(text.data(), text.size(), &read));
  EXPECT_EQ(read.code, 7);
  EXPECT_EQ(read.oom_kills, 0u);
}

TEST(ExitRecord, LargestNumbersFit) {
  ExitRecord record;
  record.time_unix_ns = INT64_MAX;
  record.time_boot_ns = record.user_time_us = record.max_rss_kib = record.pid = INT64_MAX;
  const std::string text = Format(record);
  ExitRecord read;
  ASSERT_TRUE(ParseExitRecord(text.data(), text.size(), &read));
  EXPECT_EQ(read.time_unix_ns, INT64_MAX);
}

TEST(ExitRecord, EveryTruncationIsRefused) {
  const std::string text = Format(Sample());
  for (size_t size = 0; size < text.size(); ++size) {
    ExitRecord read;
    EXPECT_FALSE(ParseExitRecord(text.data(), size, &read)) << size;
  }
}

TEST(ExitRecord, EveryFlippedBitIsRefused) {
  const std::string text = Format(Sample());
  for (size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string changed = text;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    ExitRecord read;
    EXPECT_FALSE(ParseExitRecord(changed.data(), changed.size(), &read)) << bit;
  }
}

TEST(ExitRecord, TooSmallABufferYieldsNothing) {
  char text[40];
  EXPECT_EQ(FormatExitRecord(Sample(), text, sizeof(text)), 0u);
}

class ExitRecordFile : public testing::Test {
 protected:
  ExitRecordFile() {
    std::string path = testing::TempDir() + "/exit_record_XXXXXX";
    dir_ = UniqueFd(open(mkdtemp(path.data()), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }

  UniqueFd dir_;
};

TEST_F(ExitRecordFile, IsAbsentUntilWritten) {
  ExitRecord record;
  EXPECT_EQ(ReadExitRecord(dir_.get(), &record), ENOENT);
  ASSERT_EQ(WriteExitRecord(dir_.get(), Sample()), 0);
  ASSERT_EQ(ReadExitRecord(dir_.get(), &record), 0);
  EXPECT_EQ(record.pid, 4242);
  EXPECT_EQ(faccessat(dir_.get(), "exit.tmp", F_OK, 0), -1);
}

TEST_F(ExitRecordFile, CutShortIsABadMessage) {
  ASSERT_EQ(WriteExitRecord(dir_.get(), Sample()), 0);
  const UniqueFd fd(openat(dir_.get(), kExitRecordName, O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(ftruncate(fd.get(), 30), 0);
  ExitRecord record;
  EXPECT_EQ(ReadExitRecord(dir_.get(), &record), EBADMSG);
}

TEST_F(ExitRecordFile, LargerThanAnyRecordIsABadMessage) {
  const UniqueFd fd(openat(dir_.get(), kExitRecordName, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(ftruncate(fd.get(), 1 << 20), 0);
  ExitRecord record;
  EXPECT_EQ(ReadExitRecord(dir_.get(), &record), EBADMSG);
}

}  // namespace
}  // namespace ocid
