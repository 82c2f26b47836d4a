// A channel and a peer that is written out byte by byte: who reads, and that nobody is forgotten.

#include "daemon/nri/plugin_channel.h"

#include <sys/socket.h>

#include <atomic>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "daemon/base/log_context.h"
#include "daemon/nri/big_endian.h"
#include "gtest/gtest.h"
#include "proto/internal/nri/ttrpc.pb.h"

namespace ocid {
namespace {

constexpr absl::Duration kLong = absl::Seconds(10);

// The plugin's end. Its messages fit into one frame each. Blocks; fails by exceptions.
class Peer {
 public:
  explicit Peer(UniqueFd socket) : socket_(std::move(socket)) {}

  struct Message {
    uint32_t mux = 0;
    uint32_t stream = 0;
    std::string data;
  };

  Message Receive() {
    const std::string frame = Take(kMuxHeaderBytes);
    const std::string header = Take(kTtrpcHeaderBytes);
    return {.mux = GetBigEndian32(frame.data()),
            .stream = GetBigEndian32(header.data() + 4),
            .data = Take(GetBigEndian32(header.data()))};
  }

  void Answer(uint32_t stream, const std::string& payload) {
    ttrpc::Response response;
    response.set_payload(payload);
    Send(kMuxPluginStream, stream, TtrpcType::kResponse, response.SerializeAsString());
  }

  void Request(uint32_t stream, const std::string& method, const std::string& payload = "") {
    ttrpc::Request request;
    request.set_service("nri.pkg.api.v1alpha1.Runtime");
    request.set_method(method);
    request.set_payload(payload);
    Send(kMuxRuntimeStream, stream, TtrpcType::kRequest, request.SerializeAsString());
  }

  void SkipFrame() { Take(GetBigEndian32(Take(kMuxHeaderBytes).data() + 4)); }

  void HangUp() { socket_ = UniqueFd(); }

 private:
  std::string Take(size_t bytes) {
    std::string taken(bytes, '\0');
    for (size_t got = 0; got < bytes;) {
      const ssize_t more = recv(socket_.get(), taken.data() + got, bytes - got, 0);
      if (more <= 0) throw std::runtime_error("recv");
      got += static_cast<size_t>(more);
    }
    return taken;
  }

  void Send(uint32_t mux, uint32_t stream, TtrpcType type, const std::string& data) {
    const auto message = EncodeTtrpcHeader(
        {.length = static_cast<uint32_t>(data.size()), .stream = stream, .type = type});
    const auto frame = EncodeMuxHeader(mux, message.size() + data.size());
    std::string bytes(frame.data(), frame.size());
    bytes.append(message.data(), message.size()).append(data);
    const ssize_t sent = send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent != static_cast<ssize_t>(bytes.size())) throw std::runtime_error("send");
  }

  UniqueFd socket_;
};

class PluginChannelTest : public testing::Test {
 protected:
  PluginChannelTest() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) throw std::runtime_error("");
    peer_ = std::make_unique<Peer>(UniqueFd(ends[1]));
    channel_ = PluginChannel::Start(
        UniqueFd(ends[0]),
        {.on_request =
             [this](std::string_view method, const std::string&, const PluginChannel::Reply& reply) {
               ++requests_;
               if (method == "Silence") return;
               request_thread_ = std::this_thread::get_id();
               EXPECT_EQ(CurrentLogContext(), nullptr);
               reply({.kind = RpcResult::Kind::kAnswered, .payload = "served"});
             },
         .on_closed = [this](const std::string& reason) { closed_.set_value(reason); }});
  }
  ~PluginChannelTest() override {
    channel_->Close("the test has ended");
    reason_.wait();
  }

  std::future<RpcResult> Call(const std::string& payload, absl::Duration timeout = kLong) {
    return std::async(std::launch::async,
                      [=, this] { return channel_->Call("CreateContainer", payload, timeout); });
  }

  // The plugin asks for something, and gets it.
  void AskFor(uint32_t stream) {
    peer_->Request(stream, "UpdateContainers");
    const Peer::Message answer = peer_->Receive();
    EXPECT_EQ(answer.mux, kMuxRuntimeStream);
    EXPECT_EQ(answer.stream, stream);
    ttrpc::Response response;
    ASSERT_TRUE(response.ParseFromString(answer.data));
    EXPECT_EQ(response.payload(), "served");
  }

  std::atomic<int> requests_ = 0;
  std::atomic<std::thread::id> request_thread_;
  std::promise<std::string> closed_;  // a second reason would be an exception
  std::shared_future<std::string> reason_ = closed_.get_future();
  std::unique_ptr<Peer> peer_;
  std::shared_ptr<PluginChannel> channel_;
};

TEST_F(PluginChannelTest, ACallReadsForItselfAndServesThePluginMeanwhile) {
  std::thread peer([this] {
    const Peer::Message request = peer_->Receive();
    // Moments pass between the last byte of the request and the wait for the answer.
    absl::SleepFor(absl::Milliseconds(20));
    AskFor(1);
    peer_->Answer(request.stream, "adjusted");
  });
  const ScopedLogContext create(std::make_shared<const LogContext>());
  const RpcResult result = channel_->Call("CreateContainer", "web", kLong);
  peer.join();
  ASSERT_TRUE(result.ok()) << result.message;
  EXPECT_EQ(result.payload, "adjusted");
  EXPECT_EQ(request_thread_.load(), std::this_thread::get_id());
}

TEST_F(PluginChannelTest, ThePluginIsServedBetweenCalls) {
  AskFor(1);
  for (uint32_t stream = 3; stream < 9; stream += 2) {
    std::future<RpcResult> call = Call("web");
    peer_->Answer(peer_->Receive().stream, "adjusted");
    EXPECT_TRUE(call.get().ok());
    AskFor(stream);
  }
  EXPECT_EQ(requests_, 4);
}

TEST_F(PluginChannelTest, ACallHasItsAnswerReadWhenTheOneThatReadHasGivenUp) {
  std::future<RpcResult> first = Call("first", absl::Milliseconds(50));
  peer_->Receive();
  std::future<RpcResult> second = Call("second");
  const uint32_t stream = peer_->Receive().stream;
  EXPECT_EQ(first.get().kind, RpcResult::Kind::kTimeout);
  peer_->Answer(stream, "adjusted");
  EXPECT_EQ(second.get().payload, "adjusted");
}

TEST_F(PluginChannelTest, ManyCallsAtOnceGetEachItsOwnAnswer) {
  constexpr int kThreads = 4;
  constexpr int kCalls = 500;
  std::thread peer([this] {
    uint32_t own = 1;
    for (int i = 0; i < kThreads * kCalls; ++i, own += 2) {
      const Peer::Message request = peer_->Receive();
      ttrpc::Request call;
      if (!call.ParseFromString(request.data)) throw std::runtime_error("a call");
      if (i % 8 == 0) peer_->Request(own, "Silence");
      peer_->Answer(request.stream, call.payload());
    }
  });
  std::vector<std::thread> callers;
  for (int caller = 0; caller < kThreads; ++caller) {
    callers.emplace_back([this, caller] {
      for (int i = 0; i < kCalls; ++i) {
        const std::string payload = absl::StrCat(caller, " ", i);
        EXPECT_EQ(channel_->Call("CreateContainer", payload, kLong).payload, payload);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  peer.join();
  EXPECT_EQ(requests_, kThreads * kCalls / 8);
}

TEST_F(PluginChannelTest, APeerThatIsReadBeforeItReadsIsNotWaitedForInVain) {
  std::thread peer([this] {
    // More than the socket holds, and nothing is read meanwhile.
    for (uint32_t stream = 1; stream < 64; stream += 2) {
      peer_->Request(stream, "Silence", std::string(1 << 16, 'x'));
    }
    peer_->SkipFrame();
    peer_->SkipFrame();
    peer_->Answer(1, "adjusted");
  });
  const RpcResult result = channel_->Call("Synchronize", std::string(1 << 20, 'x'), kLong);
  EXPECT_EQ(result.payload, "adjusted");
  peer.join();
  EXPECT_EQ(requests_, 32);
}

TEST_F(PluginChannelTest, CloseEndsACallThatReads) {
  std::future<RpcResult> call = Call("web");
  peer_->Receive();
  channel_->Close("enough");
  const RpcResult result = call.get();
  EXPECT_EQ(result.kind, RpcResult::Kind::kLost);
  EXPECT_EQ(result.message, "enough");
  EXPECT_EQ(reason_.get(), "enough");
  EXPECT_EQ(channel_->Call("CreateContainer", "web", kLong).message, "enough");
}

TEST_F(PluginChannelTest, APeerThatHangsUpEndsTheCall) {
  std::future<RpcResult> call = Call("web");
  peer_->Receive();
  peer_->HangUp();
  EXPECT_EQ(call.get().kind, RpcResult::Kind::kLost);
  EXPECT_EQ(reason_.get(), "the plugin closed the connection");
}

TEST_F(PluginChannelTest, APeerThatHangsUpBetweenCallsIsNoticed) {
  peer_->HangUp();
  EXPECT_EQ(reason_.get(), "the plugin closed the connection");
}

}  // namespace
}  // namespace ocid
