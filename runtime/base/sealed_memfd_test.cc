#include "runtime/base/sealed_memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace ocid {
namespace {

int Execute(BorrowedFd program, const char* name) {
  const pid_t pid = fork();
  if (pid == 0) {
    char* const arguments[] = {const_cast<char*>(name), nullptr};
    execve(absl::StrCat("/proc/self/fd/", program.get()).c_str(), arguments, arguments + 1);
    _exit(127);
  }
  int status = 0;
  return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(SealedMemfd, BytesCanBeReadAndNotChanged) {
  const absl::StatusOr<UniqueFd> fd = SealBytes("bytes", "some bytes");
  ASSERT_TRUE(fd.ok()) << fd.status();
  char text[32] = {};
  EXPECT_EQ(pread(fd->get(), text, sizeof(text), 0), 10);
  EXPECT_STREQ(text, "some bytes");
  EXPECT_EQ(pwrite(fd->get(), "x", 1, 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(ftruncate(fd->get(), 0), -1);
  EXPECT_EQ(fcntl(fd->get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
}

TEST(SealedMemfd, AProgramRunsFromItsBytesAndFromACopyOfItsFile) {
  std::ifstream file("/bin/false", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const absl::StatusOr<UniqueFd> from_bytes = SealProgram("false", bytes);
  ASSERT_TRUE(from_bytes.ok()) << from_bytes.status();
  EXPECT_EQ(Execute(*from_bytes, "false"), 1);
  const absl::StatusOr<UniqueFd> from_file = SealProgramFile("true", "/bin/true");
  ASSERT_TRUE(from_file.ok()) << from_file.status();
  EXPECT_EQ(Execute(*from_file, "true"), 0);
  EXPECT_EQ(write(from_file->get(), "x", 1), -1);
}

TEST(SealedMemfd, AMissingFileIsAnErrorThatNamesIt) {
  const absl::Status status = SealProgramFile("x", "/nowhere/at/all").status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_NE(status.message().find("/nowhere/at/all"), absl::string_view::npos);
}

}  // namespace
}  // namespace ocid
