#include "runtime/host/attach_stream.h"

#include <sys/socket.h>

#include <string>

#include "gtest/gtest.h"
#include "runtime/supervisor/control_protocol.h"

namespace ocid {
namespace {

class AttachStreamTest : public testing::Test {
 protected:
  AttachStreamTest() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    stream_ = AttachStream(UniqueFd(ends[0]));
    supervisor_.reset(ends[1]);
  }

  void SendFrame(AttachFrameType type, uint64_t offset, const std::string& payload) {
    AttachFrameHeader header;
    header.type = static_cast<uint32_t>(type);
    header.length = static_cast<uint32_t>(payload.size());
    header.offset = offset;
    const std::string bytes =
        std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + payload;
    ASSERT_EQ(send(supervisor_.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
  }

  AttachStream stream_{UniqueFd()};
  UniqueFd supervisor_;
};

TEST_F(AttachStreamTest, OutputComesWithItsOffset) {
  SendFrame(AttachFrameType::kStderr, 17, "oops");
  const auto frame = stream_.Read();
  ASSERT_TRUE(frame.ok());
  EXPECT_EQ(frame->kind, AttachFrame::Kind::kStderr);
  EXPECT_EQ(frame->offset, 17u);
  EXPECT_EQ(frame->bytes, "oops");
  EXPECT_EQ(stream_.Read()->kind, AttachFrame::Kind::kNothing);
}

TEST_F(AttachStreamTest, TheExitBringsItsRecord) {
  ExitRecord exit;
  exit.signal = 15;
  SendFrame(AttachFrameType::kExit, 0,
            std::string(reinterpret_cast<const char*>(&exit), sizeof(exit)));
  const auto frame = stream_.Read();
  ASSERT_TRUE(frame.ok());
  EXPECT_EQ(frame->kind, AttachFrame::Kind::kExit);
  EXPECT_EQ(frame->exit.signal, 15);
}

TEST_F(AttachStreamTest, AnExitWithoutARecordIsDataLoss) {
  SendFrame(AttachFrameType::kExit, 0, "short");
  EXPECT_TRUE(absl::IsDataLoss(stream_.Read().status()));
}

TEST_F(AttachStreamTest, JunkIsDataLoss) {
  ASSERT_EQ(send(supervisor_.get(), "junk", 4, 0), 4);
  EXPECT_TRUE(absl::IsDataLoss(stream_.Read().status()));
}

TEST_F(AttachStreamTest, InputIsCutIntoFramesAndStopsWhenTheSocketIsFull) {
  const std::string input(10 << 20, 'i');
  const auto taken = stream_.WriteStdin(input);
  ASSERT_TRUE(taken.ok());
  EXPECT_GT(*taken, 0u);
  EXPECT_LT(*taken, input.size());
  EXPECT_EQ(*stream_.WriteStdin(input), 0u);
  EXPECT_FALSE(*stream_.CloseStdin());
  size_t received = 0;
  char buffer[sizeof(AttachFrameHeader) + kMaxAttachPayload];
  for (ssize_t size; (size = recv(supervisor_.get(), buffer, sizeof(buffer), 0)) > 0;) {
    AttachFrameHeader header;
    ASSERT_TRUE(ParseFrame(buffer, static_cast<size_t>(size), &header));
    received += header.length;
  }
  EXPECT_EQ(received, *taken);
  EXPECT_TRUE(*stream_.CloseStdin());
}

TEST_F(AttachStreamTest, TheLastFrameIsReadThoughTheOtherEndWasClosedWithOursUnread) {
  ASSERT_TRUE(stream_.WriteStdin("unread").ok());
  ExitRecord exit;
  SendFrame(AttachFrameType::kExit, 0,
            std::string(reinterpret_cast<const char*>(&exit), sizeof(exit)));
  supervisor_.reset();
  EXPECT_EQ(stream_.Read()->kind, AttachFrame::Kind::kExit);
  EXPECT_EQ(stream_.Read()->kind, AttachFrame::Kind::kClosed);
}

TEST_F(AttachStreamTest, TheOtherEndGoneIsClosedForReadingAndUnavailableForWriting) {
  supervisor_.reset();
  EXPECT_EQ(stream_.Read()->kind, AttachFrame::Kind::kClosed);
  EXPECT_TRUE(absl::IsUnavailable(stream_.WriteStdin("x").status()));
}

}  // namespace
}  // namespace ocid
