#include "daemon/container/guest_queue.h"

#include <future>
#include <string>
#include <thread>

#include "gtest/gtest.h"

namespace ocid {
namespace {

TEST(GuestQueue, AGuestWaitsUntilTheOwnerLendsOrLetsItIn) {
  GuestQueue guests(4);
  std::string seen;
  EXPECT_EQ(guests.Add([&] { seen += "a"; }), GuestQueue::Added::kWaits);
  EXPECT_EQ(seen, "");
  guests.Lend();
  EXPECT_EQ(seen, "a");
  EXPECT_EQ(guests.Add([&] { seen += "b"; }), GuestQueue::Added::kRan);
  guests.TakeBack();
  EXPECT_EQ(guests.Add([&] { seen += "c"; }), GuestQueue::Added::kWaits);
  EXPECT_EQ(seen, "ab");
  guests.RunWaiting();
  EXPECT_EQ(seen, "abc");
}

TEST(GuestQueue, TheOwnerWaitsForAGuestThatIsAtWork) {
  GuestQueue guests(4);
  guests.Lend();
  std::promise<void> inside;
  bool done = false;
  std::thread guest([&] {
    guests.Add([&] {
      inside.set_value();
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      done = true;
    });
  });
  inside.get_future().wait();
  guests.TakeBack();
  EXPECT_TRUE(done);
  guest.join();
}

TEST(GuestQueue, IsBounded) {
  GuestQueue guests(1);
  EXPECT_EQ(guests.Add([] {}), GuestQueue::Added::kWaits);
  EXPECT_EQ(guests.Add([] {}), GuestQueue::Added::kFull);
}

}  // namespace
}  // namespace ocid
