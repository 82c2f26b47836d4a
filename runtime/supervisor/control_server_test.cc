#include "runtime/supervisor/control_server.h"

#include <sys/socket.h>

#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/base/unique_fd.h"

namespace ocid {
namespace {

// A server whose handler answers every request with its own type.
class ControlServerTest : public testing::Test {
 protected:
  ControlServerTest() {
    EXPECT_EQ(loop_.Open(), 0);
    server_->Open(&loop_, Connect(), UniqueFd(), &ControlServerTest::Handle, this);
  }

  UniqueFd Connect() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    daemon_.reset(ends[0]);
    return UniqueFd(ends[1]);
  }

  static void Handle(void* self, Request& request, ReplyTo to) {
    auto* test = static_cast<ControlServerTest*>(self);
    ++test->handled_;
    test->fds_seen_ += request.fd_count;
    test->server_->Send(to, {.value = request.header.type});
  }

  void Send(const std::string& bytes) {
    ASSERT_EQ(send(daemon_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }

  static std::string RequestOf(uint64_t id, MessageType type, const std::string& body = "") {
    MessageHeader header;
    header.size = static_cast<uint32_t>(sizeof(header) + body.size());
    header.type = static_cast<uint16_t>(type);
    header.request_id = id;
    return std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + body;
  }

  // False when nothing is there.
  bool Receive(MessageHeader* header) {
    char buffer[kMaxControlMessageBytes];
    const ssize_t size = recv(daemon_.get(), buffer, sizeof(buffer), 0);
    return size > 0 && ParseHeader(buffer, static_cast<size_t>(size), header);
  }

  EventLoop loop_;
  std::unique_ptr<ControlServer> server_ = std::make_unique<ControlServer>();
  UniqueFd daemon_;
  int handled_ = 0;
  size_t fds_seen_ = 0;
};

TEST_F(ControlServerTest, AnswersARequestUnderItsId) {
  Send(RequestOf(41, MessageType::kStart));
  loop_.RunOnce(0);
  MessageHeader reply;
  ASSERT_TRUE(Receive(&reply));
  EXPECT_EQ(reply.request_id, 41u);
  EXPECT_EQ(reply.value, static_cast<int>(MessageType::kStart));
}

TEST_F(ControlServerTest, WhatDoesNotParseIsRefusedAndTheConnectionGoesOn) {
  std::string wrong_size = RequestOf(5, MessageType::kStart);
  wrong_size[0] = 99;
  for (const std::string& bytes : {std::string("x"), std::string(23, 'y'), wrong_size,
                                   std::string(kMaxControlMessageBytes + 1, 'z')}) {
    Send(bytes);
    loop_.RunOnce(0);
    MessageHeader reply;
    ASSERT_TRUE(Receive(&reply));
    EXPECT_EQ(reply.code, static_cast<uint32_t>(ReplyCode::kInvalid));
  }
  EXPECT_EQ(handled_, 0);
  Send(RequestOf(6, MessageType::kStatus));
  loop_.RunOnce(0);
  MessageHeader reply;
  ASSERT_TRUE(Receive(&reply));
  EXPECT_EQ(reply.request_id, 6u);
}

TEST_F(ControlServerTest, RandomMessagesDoNoHarm) {
  std::mt19937 random(11);
  for (int round = 0; round < 2000 && server_->connected(); ++round) {
    std::string bytes(1 + random() % 300, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    Send(bytes);
    loop_.RunOnce(0);
    MessageHeader reply;
    EXPECT_TRUE(Receive(&reply));
  }
  EXPECT_TRUE(server_->connected());
}

TEST_F(ControlServerTest, ADaemonThatDoesNotReadGetsEverythingLaterInOrder) {
  for (uint64_t id = 1; id <= 1000; ++id) {
    if (send(daemon_.get(), RequestOf(id, MessageType::kStart).data(), sizeof(MessageHeader),
             MSG_NOSIGNAL) < 0) {
      ASSERT_EQ(errno, EAGAIN);
    }
    loop_.RunOnce(0);
  }
  const int before = handled_;
  EXPECT_LT(before, 1000);  // it stopped reading requests
  uint64_t last = 0;
  MessageHeader reply;
  while (Receive(&reply)) {
    EXPECT_EQ(reply.request_id, last + 1);
    last = reply.request_id;
    loop_.RunOnce(0);
    loop_.RunOnce(0);
  }
  EXPECT_GE(last, static_cast<uint64_t>(before));
}

TEST_F(ControlServerTest, TooManyUnreadEventsCutTheConnection) {
  ExitedBody body;
  for (int i = 0; i < 5000; ++i) server_->SendEvent(MessageType::kExited, &body, sizeof(body));
  EXPECT_FALSE(server_->connected());
}

TEST_F(ControlServerTest, AnswersToAnEarlierConnectionAreForgotten) {
  const ReplyTo earlier = {.connection = 0, .request_id = 9};
  server_->Send(earlier, {});
  MessageHeader reply;
  EXPECT_FALSE(Receive(&reply));
}

TEST_F(ControlServerTest, TheEndOfTheDaemonIsTheEndOfTheConnection) {
  daemon_.reset();
  loop_.RunOnce(0);
  EXPECT_FALSE(server_->connected());
  EXPECT_TRUE(server_->deserted());
}

}  // namespace
}  // namespace ocid
