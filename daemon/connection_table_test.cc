#include "daemon/connection_table.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <vector>

#include "absl/time/clock.h"
#include "runtime/base/unique_fd.h"

namespace ocid {
namespace {

UniqueFd Socket() { return UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

// The table looks again after a while alone.
bool AdmittedSoon(ConnectionTable& table, int fd, const std::string& peer) {
  const absl::Time end = absl::Now() + absl::Seconds(5);
  while (absl::Now() < end) {
    if (table.Admit(fd, peer)) return true;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return false;
}

TEST(ConnectionTable, LetsNobodyInBeyondTheTotal) {
  ConnectionTable table({.total = 2, .per_peer = 2});
  const UniqueFd a = Socket(), b = Socket(), c = Socket();
  EXPECT_TRUE(table.Admit(a.get(), "uid:1"));
  EXPECT_TRUE(table.Admit(b.get(), "uid:2"));
  EXPECT_FALSE(table.Admit(c.get(), "uid:3"));
  EXPECT_EQ(table.refused(), 1u);
}

TEST(ConnectionTable, OnePeerCannotTakeAllThePlaces) {
  ConnectionTable table({.total = 3, .per_peer = 2});
  const UniqueFd a = Socket(), b = Socket(), c = Socket();
  EXPECT_TRUE(table.Admit(a.get(), "uid:1"));
  EXPECT_TRUE(table.Admit(b.get(), "uid:1"));
  EXPECT_FALSE(table.Admit(c.get(), "uid:1"));
  EXPECT_TRUE(table.Admit(c.get(), "uid:2"));
}

TEST(ConnectionTable, APlaceIsFreeOnceItsConnectionIsClosed) {
  ConnectionTable table({.total = 1, .per_peer = 1});
  UniqueFd a = Socket();
  const UniqueFd b = Socket();
  EXPECT_TRUE(table.Admit(a.get(), "uid:1"));
  EXPECT_FALSE(table.Admit(b.get(), "uid:1"));
  a.reset();
  EXPECT_TRUE(AdmittedSoon(table, b.get(), "uid:1"));
  EXPECT_EQ(table.Count().at("uid:1"), 1u);
}

TEST(ConnectionTable, ANumberThatIsUsedAgainIsAnotherConnection) {
  ConnectionTable table({.total = 1, .per_peer = 1});
  UniqueFd a = Socket();
  const int number = a.get();
  EXPECT_TRUE(table.Admit(number, "uid:1"));
  a.reset();
  a = Socket();
  ASSERT_EQ(a.get(), number);
  EXPECT_TRUE(table.Admit(number, "uid:2"));
  EXPECT_EQ(table.Count().count("uid:1"), 0u);
}

}  // namespace
}  // namespace ocid
