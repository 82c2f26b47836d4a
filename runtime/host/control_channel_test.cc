#include "runtime/host/control_channel.h"

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/base/error_details.h"
#include "runtime/host/supervisor_handle.h"

namespace ocid {
namespace {

// The test plays the supervisor at the other end.
class ControlChannelTest : public testing::Test {
 protected:
  void Open(bool reattached = false) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    supervisor_.reset(ends[1]);
    ControlChannel::Events events;
    events.on_exited = [this](const ExitedBody& body) {
      last_code_ = body.exit.code;
      ++exits_;
    };
    events.on_closed = [this] { ++closed_; };
    auto reactor = Reactor::Start();
    ASSERT_TRUE(reactor.ok());
    reactor_ = *reactor;
    auto channel = ControlChannel::Open(reactor_, UniqueFd(ends[0]), std::move(events), reattached);
    ASSERT_TRUE(channel.ok());
    channel_ = *channel;
  }

  ~ControlChannelTest() override {
    if (channel_ != nullptr) channel_->Close();
    if (reactor_ != nullptr) reactor_->Stop();
  }

  MessageHeader ReadRequest() {
    char buffer[kMaxControlMessageBytes];
    MessageHeader header;
    const ssize_t size = recv(supervisor_.get(), buffer, sizeof(buffer), 0);
    EXPECT_TRUE(size > 0 && ParseHeader(buffer, static_cast<size_t>(size), &header));
    return header;
  }

  void SendReply(uint64_t id, int32_t value, ReplyCode code = ReplyCode::kOk) {
    MessageHeader header;
    header.size = sizeof(header);
    header.type = static_cast<uint16_t>(MessageType::kReply);
    header.request_id = id;
    header.value = value;
    header.code = static_cast<uint32_t>(code);
    ASSERT_EQ(send(supervisor_.get(), &header, sizeof(header), MSG_NOSIGNAL),
              static_cast<ssize_t>(sizeof(header)));
  }

  void SendExited(int code) {
    struct {
      MessageHeader header;
      ExitedBody body;
    } message;
    message.header.size = sizeof(message);
    message.header.type = static_cast<uint16_t>(MessageType::kExited);
    message.body.exit.code = code;
    ASSERT_EQ(send(supervisor_.get(), &message, sizeof(message), MSG_NOSIGNAL),
              static_cast<ssize_t>(sizeof(message)));
  }

  absl::StatusOr<ControlReply> Call(MessageType type = MessageType::kStatus,
                                    absl::Duration timeout = absl::Seconds(20)) {
    return channel_->Call(type, {}, {}, absl::Now() + timeout);
  }

  template <typename Condition>
  static bool Eventually(Condition condition) {
    for (int i = 0; i < 2000; ++i) {
      if (condition()) return true;
      usleep(1000);
    }
    return false;
  }

  std::shared_ptr<Reactor> reactor_;
  std::shared_ptr<ControlChannel> channel_;
  UniqueFd supervisor_;
  std::atomic<int> exits_ = 0;
  std::atomic<int> last_code_ = -1;
  std::atomic<int> closed_ = 0;
};

TEST_F(ControlChannelTest, RepliesReachTheCallsThatTheyAnswerInAnyOrder) {
  Open();
  constexpr int kCalls = 8;
  std::vector<std::thread> callers;
  std::atomic<int> right = 0;
  for (int i = 0; i < kCalls; ++i) {
    callers.emplace_back([this, i, &right] {
      const auto type = static_cast<MessageType>(static_cast<int>(MessageType::kCreate) + i);
      const auto reply = Call(type);
      if (reply.ok() && reply->value == static_cast<int>(type)) ++right;
    });
  }
  std::vector<MessageHeader> requests;
  for (int i = 0; i < kCalls; ++i) requests.push_back(ReadRequest());
  for (auto request = requests.rbegin(); request != requests.rend(); ++request) {
    SendReply(request->request_id, request->type);
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(right, kCalls);
}

TEST_F(ControlChannelTest, ACallGivesUpAtItsDeadlineAndItsLateReplyIsIgnored) {
  Open();
  const auto reply = Call(MessageType::kStatus, absl::Milliseconds(20));
  EXPECT_TRUE(absl::IsDeadlineExceeded(reply.status()));
  SendReply(ReadRequest().request_id, 1);
  std::thread supervisor([this] { SendReply(ReadRequest().request_id, 2); });
  const auto second = Call();
  supervisor.join();
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->value, 2);
}

TEST_F(ControlChannelTest, TheDeathOfTheSupervisorEndsWaitingCallsAndIsReportedOnce) {
  Open();
  std::thread killer([this] {
    ReadRequest();
    supervisor_.reset();
  });
  const auto reply = Call();
  killer.join();
  EXPECT_TRUE(absl::IsUnavailable(reply.status()));
  EXPECT_EQ(GetReason(reply.status()), kReasonSupervisorGone);
  EXPECT_TRUE(Eventually([this] { return closed_ == 1; }));
  EXPECT_TRUE(absl::IsUnavailable(Call().status()));
  EXPECT_EQ(closed_, 1);
}

TEST_F(ControlChannelTest, NonsenseFromTheSupervisorEndsTheConnection) {
  Open();
  ASSERT_EQ(send(supervisor_.get(), "nonsense", 8, MSG_NOSIGNAL), 8);
  EXPECT_TRUE(Eventually([this] { return closed_ == 1; }));
}

TEST_F(ControlChannelTest, ExitsAreReported) {
  Open();
  SendExited(7);
  EXPECT_TRUE(Eventually([this] { return last_code_ == 7; }));
}

TEST_F(ControlChannelTest, AfterAReattachExitsThatTheStatusShowsAreNotReported) {
  Open(/*reattached=*/true);
  SendExited(1);
  std::thread supervisor([this] {
    SendReply(ReadRequest().request_id, 0);
    SendExited(2);
  });
  EXPECT_TRUE(Call().ok());
  supervisor.join();
  EXPECT_TRUE(Eventually([this] { return last_code_ == 2; }));
  EXPECT_EQ(exits_, 1);
}

TEST_F(ControlChannelTest, TheEndAfterAShutdownIsNoLoss) {
  Open();
  std::thread supervisor([this] {
    SendReply(ReadRequest().request_id, 0);
    supervisor_.reset();
  });
  EXPECT_TRUE(Call(MessageType::kShutdown).ok());
  supervisor.join();
  EXPECT_TRUE(Eventually([this] { return absl::IsUnavailable(Call().status()); }));
  EXPECT_EQ(closed_, 0);
}

TEST_F(ControlChannelTest, AStoppedReactorEndsWaitingCalls) {
  Open();
  std::thread stopper([this] {
    ReadRequest();
    reactor_->Stop();
  });
  EXPECT_TRUE(absl::IsUnavailable(Call().status()));
  stopper.join();
  EXPECT_EQ(closed_, 0);
}

}  // namespace
}  // namespace ocid
