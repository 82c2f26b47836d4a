#include "runtime/supervisor/control_protocol.h"

#include <string>

#include "gtest/gtest.h"

namespace ocid {
namespace {

std::string Message(const MessageHeader& header, const std::string& body) {
  return std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + body;
}

TEST(ControlProtocol, AHeaderMustGiveTheExactSizeOfItsMessage) {
  MessageHeader header;
  header.size = sizeof(header) + 3;
  header.request_id = 77;
  const std::string message = Message(header, "abc");
  MessageHeader parsed;
  ASSERT_TRUE(ParseHeader(message.data(), message.size(), &parsed));
  EXPECT_EQ(parsed.request_id, 77u);
  EXPECT_FALSE(ParseHeader(message.data(), message.size() - 1, &parsed));
  EXPECT_FALSE(ParseHeader(message.data(), 0, &parsed));
}

TEST(ControlProtocol, AnotherVersionIsRefused) {
  MessageHeader header;
  header.size = sizeof(header);
  header.version = kControlVersion + 1;
  MessageHeader parsed;
  EXPECT_FALSE(ParseHeader(&header, sizeof(header), &parsed));
}

TEST(ControlProtocol, ABodyMayBeLongerThanKnownButNotShorter) {
  SignalBody body;
  body.signal = 15;
  const std::string bytes(reinterpret_cast<const char*>(&body), sizeof(body));
  const std::string longer = Message(MessageHeader(), bytes + "added later");
  SignalBody parsed;
  ASSERT_TRUE(ParseBody(longer.data(), longer.size(), &parsed));
  EXPECT_EQ(parsed.signal, 15);
  const std::string shorter = Message(MessageHeader(), bytes.substr(1));
  EXPECT_FALSE(ParseBody(shorter.data(), shorter.size(), &parsed));
}

TEST(ControlProtocol, TargetsCompareByTheirBytes) {
  TargetId a, b;
  ASSERT_TRUE(MakeTarget("exec-1", 6, &a));
  ASSERT_TRUE(MakeTarget("exec-10", 7, &b));
  EXPECT_FALSE(SameTarget(a, b));
  ASSERT_TRUE(MakeTarget("exec-1", 6, &b));
  EXPECT_TRUE(SameTarget(a, b));
  const std::string longest(kMaxTargetId, 'x');
  EXPECT_TRUE(MakeTarget(longest.data(), longest.size(), &a));
  EXPECT_FALSE(MakeTarget((longest + "x").data(), longest.size() + 1, &a));
  b.length = kMaxTargetId + 1;
  EXPECT_FALSE(IsValid(b));
}

TEST(ControlProtocol, AFrameIsItsHeaderAndExactlyItsPayload) {
  AttachFrameHeader header;
  header.length = 2;
  const std::string frame(reinterpret_cast<const char*>(&header), sizeof(header));
  AttachFrameHeader parsed;
  EXPECT_TRUE(ParseFrame((frame + "ab").data(), frame.size() + 2, &parsed));
  EXPECT_FALSE(ParseFrame((frame + "abc").data(), frame.size() + 3, &parsed));
  EXPECT_FALSE(ParseFrame(frame.data(), frame.size(), &parsed));
  EXPECT_FALSE(ParseFrame(frame.data(), frame.size() - 1, &parsed));
}

TEST(ControlProtocol, AFrameLargerThanAllowedIsRefused) {
  AttachFrameHeader header;
  header.length = kMaxAttachPayload + 1;
  const std::string frame = std::string(reinterpret_cast<const char*>(&header), sizeof(header)) +
                            std::string(header.length, 'x');
  AttachFrameHeader parsed;
  EXPECT_FALSE(ParseFrame(frame.data(), frame.size(), &parsed));
}

}  // namespace
}  // namespace ocid
