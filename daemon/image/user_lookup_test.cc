#include "daemon/image/user_lookup.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "runtime/base/error_details.h"

namespace ocid {
namespace {

const std::optional<std::string> kPasswd =
    "# comment\n"
    "root:x:0:0:root:/root:/bin/sh\n"
    "broken line\n"
    "www:x:33:34:www:/var/www:/bin/false\n"
    "2147483648:x:0:0:evil:/:/bin/sh\n"
    "4294967296:x:0:0:evil:/:/bin/sh\n"
    "99999999999:x:0:0:evil:/:/bin/sh\n"
    "huge:x:4294967296:0::/:\n"
    "www:x:0:0:second:/:\n";
const std::optional<std::string> kGroup =
    "root:x:0:\nwww:x:34:\nadm:x:4:root,www\nvideo:x:44:www\nwheel:x:10:root\nempty:x:5:,,\n";

absl::StatusOr<ResolvedUser> Resolve(std::string_view user) {
  return ResolveUser(user, kPasswd, kGroup);
}

TEST(ResolveUser, ANameTakesItsGroups) {
  EXPECT_EQ(Resolve("www").value(), (ResolvedUser{33, 34, {4, 44}, "/var/www"}));
}

TEST(ResolveUser, ANameWithAGroupTakesThatGroupAlone) {
  EXPECT_EQ(Resolve("www:video").value(), (ResolvedUser{33, 44, {}, "/var/www"}));
  EXPECT_EQ(Resolve("www:7").value(), (ResolvedUser{33, 7, {}, "/var/www"}));
}

TEST(ResolveUser, ANumberIsANumber) {
  EXPECT_EQ(Resolve("1000").value(), (ResolvedUser{1000, 0, {}, ""}));
  EXPECT_EQ(Resolve("1000:1001").value(), (ResolvedUser{1000, 1001, {}, ""}));
  EXPECT_EQ(Resolve("33").value(), (ResolvedUser{33, 34, {}, "/var/www"}));
  EXPECT_EQ(ResolveUser("5:6", std::nullopt, std::nullopt).value(), (ResolvedUser{5, 6, {}, ""}));
}

TEST(ResolveUser, NothingIsRoot) {
  EXPECT_EQ(Resolve("").value(), (ResolvedUser{0, 0, {}, "/root"}));
}

TEST(ResolveUser, ANumberThatNoIdHoldsIsAnErrorWhateverNamesThereAre) {
  for (const char* user : {"2147483648", "4294967296", "99999999999", "0:2147483648",
                           "99999999999999999999999999", "huge", "-1", "+0", "0:-1"}) {
    EXPECT_EQ(GetReason(Resolve(user).status()), "IMAGE_INVALID") << user;
  }
  EXPECT_TRUE(Resolve("2147483647").ok());
}

TEST(ResolveUser, WhoIsUnknownIsAnErrorAndNotRoot) {
  for (const char* user : {"nobody", "www:nogroup", "+1", "-1", " 1", "1 ", "broken line", "www\n",
                           "a:b:c", "0x0", "#"}) {
    EXPECT_FALSE(Resolve(user).ok()) << user;
  }
  EXPECT_FALSE(ResolveUser("root", std::nullopt, kGroup).ok());
}

class ReadAccountFileTest : public testing::Test {
 protected:
  ReadAccountFileTest()
      : root_(testing::TempDir() + "/accounts-" +
              testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_ + "/etc");
    root_fd_.reset(open(root_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  ~ReadAccountFileTest() override { std::filesystem::remove_all(root_); }
  std::optional<std::string> Read() { return ReadAccountFile(root_fd_, "etc/passwd").value(); }

  const std::string root_;
  UniqueFd root_fd_;
};

TEST_F(ReadAccountFileTest, ReadsARegularFile) {
  std::ofstream(root_ + "/etc/passwd") << "text";
  EXPECT_EQ(Read(), "text");
}

TEST_F(ReadAccountFileTest, LinksStayInTheRoot) {
  std::filesystem::create_symlink("/etc/passwd", root_ + "/etc/passwd");  // to itself
  EXPECT_EQ(Read(), std::nullopt);
  std::filesystem::remove(root_ + "/etc/passwd");
  std::filesystem::create_symlink("../../../../../../etc/hostname", root_ + "/etc/passwd");
  EXPECT_EQ(Read(), std::nullopt);
  std::ofstream(root_ + "/etc/hostname") << "inside";
  EXPECT_EQ(Read(), "inside");
}

TEST_F(ReadAccountFileTest, AFifoADeviceAndAHugeFileAreNotRead) {
  const std::string path = root_ + "/etc/passwd";
  ASSERT_EQ(mkfifo(path.c_str(), 0666), 0);
  EXPECT_EQ(Read(), std::nullopt);
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  EXPECT_EQ(Read(), std::nullopt);
  std::filesystem::remove(path);
  std::ofstream(path) << "x";
  ASSERT_EQ(truncate(path.c_str(), off_t{1} << 30), 0);
  EXPECT_EQ(Read(), std::nullopt);
}

}  // namespace
}  // namespace ocid
