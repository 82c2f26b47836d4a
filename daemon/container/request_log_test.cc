#include "daemon/container/request_log.h"

#include <optional>

#include "daemon/base/manual_timers.h"
#include "gtest/gtest.h"
#include "proto/ocid/v1/container.pb.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

using Answer = RequestLog::Answer<v1::Container>;

class RequestLogTest : public testing::Test {
 protected:
  // An answer that goes into `into`.
  static Answer Into(std::optional<absl::StatusOr<v1::Container>>& into) {
    return [&into](absl::StatusOr<v1::Container> answer) { into = std::move(answer); };
  }
  static v1::Container Named(const std::string& id) {
    v1::Container container;
    container.set_id(id);
    return container;
  }

  ManualTimers timers_;
  RequestLog log_{timers_};
  std::optional<absl::StatusOr<v1::Container>> first_;
  std::optional<absl::StatusOr<v1::Container>> second_;
};

TEST_F(RequestLogTest, ARetryGetsTheFirstAnswer) {
  Answer done = log_.Begin<v1::Container>({"uid=0", "r1", "d"}, Into(first_));
  ASSERT_TRUE(done != nullptr);
  done(Named("a"));
  ASSERT_TRUE(first_.has_value() && first_->ok());
  EXPECT_TRUE(log_.Begin<v1::Container>({"uid=0", "r1", "d"}, Into(second_)) == nullptr);
  ASSERT_TRUE(second_.has_value() && second_->ok());
  EXPECT_EQ((*second_)->id(), "a");
}

TEST_F(RequestLogTest, ARetryWhileTheFirstIsUnderWayWaitsForIt) {
  Answer done = log_.Begin<v1::Container>({"uid=0", "r1", "d"}, Into(first_));
  EXPECT_TRUE(log_.Begin<v1::Container>({"uid=0", "r1", "d"}, Into(second_)) == nullptr);
  EXPECT_FALSE(second_.has_value());
  done(Named("a"));
  EXPECT_EQ((*first_)->id(), "a");
  EXPECT_EQ((*second_)->id(), "a");
}

TEST_F(RequestLogTest, AFailureIsRememberedToo) {
  log_.Begin<v1::Container>({"uid=0", "r1", "d"}, Into(first_))(absl::NotFoundError("gone"));
  EXPECT_TRUE(log_.Begin<v1::Container>({"uid=0", "r1", "d"}, Into(second_)) == nullptr);
  EXPECT_EQ(second_->status(), absl::NotFoundError("gone"));
}

TEST_F(RequestLogTest, NotNowIsNotAnAnswerToRemember) {
  log_.Begin<v1::Container>({"uid=0", "r1", "d"}, Into(first_))(absl::UnavailableError("later"));
  EXPECT_TRUE(log_.Begin<v1::Container>({"uid=0", "r1", "d"}, Into(second_)) != nullptr);
}

TEST_F(RequestLogTest, AnotherRequestWithTheSameIdIsRefused) {
  log_.Begin<v1::Container>({"uid=0", "r1", "d"}, Into(first_))(Named("a"));
  EXPECT_TRUE(log_.Begin<v1::Container>({"uid=0", "r1", "other"}, Into(second_)) == nullptr);
  EXPECT_EQ(GetReason(second_->status()), "REQUEST_ID_REUSED");
}

TEST_F(RequestLogTest, CallersDoNotShareIds) {
  log_.Begin<v1::Container>({"uid=0", "r1", "d"}, Into(first_))(Named("a"));
  EXPECT_TRUE(log_.Begin<v1::Container>({"uid=7", "r1", "other"}, Into(second_)) != nullptr);
}

TEST_F(RequestLogTest, ForgetsAfterAnHour) {
  log_.Begin<v1::Container>({"uid=0", "r1", "d"}, Into(first_))(Named("a"));
  timers_.Advance(RequestLog::kMemory + absl::Seconds(1));
  EXPECT_TRUE(log_.Begin<v1::Container>({"uid=0", "r1", "other"}, Into(second_)) != nullptr);
}

TEST_F(RequestLogTest, WithoutAnIdNothingIsRemembered) {
  log_.Begin<v1::Container>({"uid=0", "", "d"}, Into(first_))(Named("a"));
  EXPECT_TRUE(log_.Begin<v1::Container>({"uid=0", "", "d"}, Into(second_)) != nullptr);
}

TEST(DigestRequest, IsThatOfEverythingButTheRequestId) {
  v1::CreateContainerRequest a;
  a.set_container_id("c");
  (*a.mutable_config()->mutable_env())["A"] = "1";
  (*a.mutable_config()->mutable_env())["B"] = "2";
  v1::CreateContainerRequest b = a;
  b.set_request_id("r");
  EXPECT_EQ(DigestRequest(a), DigestRequest(b));
  b.set_container_id("d");
  EXPECT_NE(DigestRequest(a), DigestRequest(b));
  v1::StartContainerRequest start;
  v1::PauseContainerRequest pause;
  EXPECT_NE(DigestRequest(start), DigestRequest(pause));
}

}  // namespace
}  // namespace ocid
