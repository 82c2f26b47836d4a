#include "daemon/access/audit_log.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace ocid {
namespace {

class AuditLogTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/ocid-audit-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::unique_ptr<AuditLog> Open(uint64_t max_bytes, int max_files) {
    auto log = AuditLog::Open({directory_ + "/audit/audit.log", max_bytes, max_files});
    EXPECT_TRUE(log.ok()) << log.status();
    return *std::move(log);
  }

  static AuditRecord Record(const std::string& who) {
    return {.time = absl::UnixEpoch(),
            .duration = absl::Microseconds(7),
            .fields = {{"who", who}, {"container", ""}, {"code", "OK"}}};
  }

  std::string Text(const std::string& suffix = "") const {
    std::ifstream file(directory_ + "/audit/audit.log" + suffix);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  std::string directory_;
};

TEST_F(AuditLogTest, ARecordIsOneLineOfJsonWithoutEmptyFields) {
  Open(1 << 20, 2)->Write(Record("cn:a\"\nb"));
  EXPECT_EQ(Text(),
            "{\"time\":\"1970-01-01T00:00:00.000000Z\",\"who\":\"cn:a\\\"\\nb\",\"code\":\"OK\","
            "\"duration_us\":7}\n");
}

TEST_F(AuditLogTest, NobodyElseCanReadIt) {
  Open(1 << 20, 2);
  struct stat status;
  ASSERT_EQ(stat((directory_ + "/audit/audit.log").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(AuditLogTest, ANewDaemonGoesOnWhereTheLastOneEnded) {
  Open(1 << 20, 2)->Write(Record("first"));
  Open(1 << 20, 2)->Write(Record("second"));
  EXPECT_NE(Text().find("first"), std::string::npos);
  EXPECT_NE(Text().find("second"), std::string::npos);
}

TEST_F(AuditLogTest, AFileThatWouldGrowBeyondItsSizeIsSetAsideAndTheOldestGoes) {
  const auto log = Open(150, 2);
  for (const char* who : {"first", "second", "third"}) log->Write(Record(who));
  EXPECT_NE(Text().find("third"), std::string::npos);
  EXPECT_NE(Text(".1").find("second"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/audit/audit.log.2"));
  EXPECT_EQ(log->written(), 3u);
}

TEST_F(AuditLogTest, AFullDiskLosesWholeLinesAndTheNextOneSaysHowMany) {
  const auto log = Open(1 << 20, 2);
  log->Write(Record("before"));
  const size_t size = Text().size();
  // The kernel's way to have a file that takes no more.
  signal(SIGXFSZ, SIG_IGN);
  rlimit before = {};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit limited = {.rlim_cur = size + 10, .rlim_max = before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &limited);
  log->Write(Record("lost"));
  log->Write(Record("lost"));
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(Text().size(), size);
  EXPECT_EQ(log->lost(), 2u);
  log->Write(Record("after"));
  EXPECT_EQ(Text().find("\"lost\""), std::string::npos);
  EXPECT_NE(Text().find("\"lost_lines\":2}\n"), std::string::npos);
  EXPECT_NE(Text().find("after"), std::string::npos);
}

}  // namespace
}  // namespace ocid
