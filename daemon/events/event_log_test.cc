#include "daemon/events/event_log.h"

#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "gtest/gtest.h"

namespace ocid {
namespace {

namespace fs = std::filesystem;

class EventLogTest : public testing::Test {
 protected:
  EventLogTest() {
    std::string pattern = testing::TempDir() + "/events.XXXXXX";
    base_ = mkdtemp(pattern.data());
    options_.directory = base_ + "/log";
  }
  ~EventLogTest() override { fs::remove_all(base_); }

  std::unique_ptr<EventLog> Open() const {
    absl::StatusOr<std::unique_ptr<EventLog>> log = EventLog::Open(options_);
    EXPECT_TRUE(log.ok()) << log.status();
    return *std::move(log);
  }

  static void AppendMany(EventLog& log, int count) {
    for (int i = 0; i < count; ++i) {
      v1::Event event;
      event.set_type(v1::Event::STATE_CHANGED);
      event.set_container_id("c");
      log.Append(event);
    }
  }

  // Reads all there is. Every number from `from` on must come once, as an event or in a gap.
  static std::vector<v1::Event> ReadAll(EventLog& log, uint64_t from, size_t batch = 7) {
    std::vector<v1::Event> all;
    const std::unique_ptr<EventReader> reader = log.Read(from);
    uint64_t expected = from;
    for (;;) {
      const std::vector<v1::Event> events = reader->Next(batch);
      if (events.empty()) break;
      EXPECT_LE(events.size(), batch + 1);
      for (const v1::Event& event : events) {
        EXPECT_EQ(event.sequence(), expected);
        expected = event.type() == v1::Event::GAP ? event.gap_end() : event.sequence() + 1;
        all.push_back(event);
      }
    }
    EXPECT_EQ(expected, log.last_sequence() + 1);
    return all;
  }

  std::vector<std::string> Segments() const {
    std::vector<std::string> paths;
    for (const auto& entry : fs::directory_iterator(options_.directory)) {
      if (entry.path().extension() == ".events") paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    return paths;
  }

  std::string base_;
  EventLogOptions options_;
};

TEST_F(EventLogTest, NumbersEventsFromOneOn) {
  const std::unique_ptr<EventLog> log = Open();
  EXPECT_EQ(log->last_sequence(), 0u);
  EXPECT_EQ(log->Append({}), 1u);
  EXPECT_EQ(log->Append({}), 2u);
  const std::vector<v1::Event> events = ReadAll(*log, 1);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_GT(events[0].time().seconds(), 0);
}

TEST_F(EventLogTest, GoesOnCountingAfterARestart) {
  AppendMany(*Open(), 10);
  const std::unique_ptr<EventLog> log = Open();
  EXPECT_EQ(log->last_sequence(), 10u);
  EXPECT_EQ(log->Append({}), 11u);
  EXPECT_EQ(ReadAll(*log, 1).size(), 11u);
  EXPECT_EQ(ReadAll(*log, 11).size(), 1u);
}

TEST_F(EventLogTest, AReaderFromZeroSeesOnlyNewEvents) {
  const std::unique_ptr<EventLog> log = Open();
  AppendMany(*log, 3);
  const std::unique_ptr<EventReader> reader = log->Read(0);
  EXPECT_TRUE(reader->Next(10).empty());
  log->Append({});
  ASSERT_EQ(reader->Next(10).size(), 1u);
}

TEST_F(EventLogTest, ReadersThatFellBehindTheBufferReadTheFiles) {
  options_.buffered_events = 5;
  options_.segment_bytes = 200;
  options_.max_segments = 1000;
  const std::unique_ptr<EventLog> log = Open();
  AppendMany(*log, 100);
  EXPECT_GT(Segments().size(), 5u);
  const std::vector<v1::Event> events = ReadAll(*log, 1);
  EXPECT_EQ(events.size(), 100u);
  for (const v1::Event& event : events) EXPECT_EQ(event.type(), v1::Event::STATE_CHANGED);
}

TEST_F(EventLogTest, OldSegmentsAreTrimmedAndShowAsOneGap) {
  options_.buffered_events = 5;
  options_.segment_bytes = 200;
  options_.max_segments = 3;
  const std::unique_ptr<EventLog> log = Open();
  AppendMany(*log, 100);
  EXPECT_EQ(Segments().size(), 3u);
  const std::vector<v1::Event> events = ReadAll(*log, 1);
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events[0].type(), v1::Event::GAP);
  for (size_t i = 1; i < events.size(); ++i) EXPECT_NE(events[i].type(), v1::Event::GAP);
}

TEST_F(EventLogTest, ATornEndIsCutOffAtAnyByte) {
  AppendMany(*Open(), 3);
  const std::string path = Segments().at(0);
  const auto whole = fs::file_size(path);
  for (auto size = whole; size-- > 0;) {
    fs::resize_file(path, size);
    const std::unique_ptr<EventLog> log = Open();
    const uint64_t last = log->last_sequence();
    EXPECT_LT(last, 3u);
    EXPECT_EQ(ReadAll(*log, 1).size(), last);
  }
}

TEST_F(EventLogTest, GoesOnBehindATornEnd) {
  AppendMany(*Open(), 3);
  const std::string path = Segments().at(0);
  fs::resize_file(path, fs::file_size(path) - 1);
  const std::unique_ptr<EventLog> log = Open();
  EXPECT_EQ(log->Append({}), 3u);
  EXPECT_EQ(ReadAll(*log, 1).size(), 3u);
  EXPECT_EQ(ReadAll(*log, 3).at(0).type(), v1::Event::TYPE_UNSPECIFIED);
}

TEST_F(EventLogTest, AChangedByteInTheMiddleIsAGapAndNothingWorse) {
  options_.segment_bytes = 200;
  {
    const std::unique_ptr<EventLog> log = Open();
    AppendMany(*log, 50);
  }
  const std::string path = Segments().at(1);
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(12);
    file.put('\x7f');
  }
  const std::unique_ptr<EventLog> log = Open();
  const std::vector<v1::Event> events = ReadAll(*log, 1);
  int gaps = 0;
  for (const v1::Event& event : events) gaps += event.type() == v1::Event::GAP ? 1 : 0;
  EXPECT_EQ(gaps, 1);
  EXPECT_EQ(events.back().sequence(), 50u);
}

TEST_F(EventLogTest, TellsAReaderOnceThatThereIsMore) {
  const std::unique_ptr<EventLog> log = Open();
  const std::unique_ptr<EventReader> reader = log->Read(0);
  int calls = 0;
  reader->NotifyOnce([&] { ++calls; });
  EXPECT_EQ(calls, 0);
  log->Append({});
  log->Append({});
  EXPECT_EQ(calls, 1);
  reader->NotifyOnce([&] { ++calls; });
  EXPECT_EQ(calls, 2);  // two are unread
}

TEST_F(EventLogTest, ADestroyedReaderIsNotTold) {
  const std::unique_ptr<EventLog> log = Open();
  int calls = 0;
  log->Read(0)->NotifyOnce([&] { ++calls; });
  log->Append({});
  EXPECT_EQ(calls, 0);
}

TEST_F(EventLogTest, ConcurrentAppendsAndReadersSeeEveryNumberOnce) {
  options_.buffered_events = 16;
  options_.segment_bytes = 4096;
  options_.max_segments = 1000;
  const std::unique_ptr<EventLog> log = Open();
  constexpr int kThreads = 4;
  constexpr int kEach = 500;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] { AppendMany(*log, kEach); });
  }
  std::atomic<int> wrong{0};
  for (int r = 0; r < 2; ++r) {
    threads.emplace_back([&] {
      const std::unique_ptr<EventReader> reader = log->Read(1);
      uint64_t expected = 1;
      while (expected <= kThreads * kEach) {
        for (const v1::Event& event : reader->Next(64)) {
          const bool gap = event.type() == v1::Event::GAP;
          if (gap || event.sequence() != expected) ++wrong;
          expected = gap ? event.gap_end() : event.sequence() + 1;
        }
        std::this_thread::yield();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(log->last_sequence(), uint64_t{kThreads * kEach});
  EXPECT_EQ(log->lost_events(), 0u);
  EXPECT_EQ(ReadAll(*log, 1).size(), size_t{kThreads * kEach});
}

TEST_F(EventLogTest, NoNumberIsGivenOutTwiceWhereALossOfPowerTookTheNewestEvents) {
  options_.boot_id = "one";
  AppendMany(*Open(), 10);
  const uintmax_t size = fs::file_size(Segments().back());
  AppendMany(*Open(), 10);
  // What was not written back yet.
  fs::resize_file(Segments().back(), size);
  options_.boot_id = "two";
  const auto log = Open();
  AppendMany(*log, 1);
  EXPECT_GT(log->last_sequence(), 20u);
  const std::vector<v1::Event> all = ReadAll(*log, 1);
  ASSERT_EQ(all.size(), 12u);
  EXPECT_EQ(all[10].type(), v1::Event::GAP);
  EXPECT_EQ(all[10].gap_end(), log->last_sequence());
}

TEST_F(EventLogTest, OverRestartsOfTheSameBootNoNumberIsLeftOut) {
  options_.boot_id = "one";
  for (int i = 0; i < 3; ++i) AppendMany(*Open(), 5000);
  const auto log = Open();
  EXPECT_EQ(log->last_sequence(), 15000u);
  for (const v1::Event& event : ReadAll(*log, 1)) ASSERT_NE(event.type(), v1::Event::GAP);
}

TEST_F(EventLogTest, AReservationThatDoesNotParseIsNone) {
  AppendMany(*Open(), 3);
  std::ofstream(options_.directory + "/reserved") << "nonsense";
  EXPECT_EQ(Open()->last_sequence(), 3u);
}

}  // namespace
}  // namespace ocid
