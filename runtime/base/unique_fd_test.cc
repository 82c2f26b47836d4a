#include "runtime/base/unique_fd.h"

#include <fcntl.h>

#include <utility>

#include "gtest/gtest.h"

namespace ocid {
namespace {

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

TEST(UniqueFd, ClosesWhatItOwnsWhenItGoes) {
  int raw = -1;
  {
    UniqueFd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
    raw = fd.get();
    ASSERT_TRUE(IsOpen(raw));
  }
  EXPECT_FALSE(IsOpen(raw));
}

TEST(UniqueFd, ReleaseLeavesTheDescriptorOpen) {
  UniqueFd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  UniqueFd second(fd.release());
  EXPECT_FALSE(fd.valid());
  EXPECT_TRUE(IsOpen(second.get()));
}

TEST(UniqueFd, AssignmentClosesTheOldDescriptor) {
  UniqueFd first(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int raw = first.get();
  first = UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(IsOpen(raw));
  EXPECT_TRUE(first.valid());
}

}  // namespace
}  // namespace ocid
