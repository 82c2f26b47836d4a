// The two framings: what is on the wire, byte for byte, and what a peer may not do.

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "daemon/nri/mux_frame.h"
#include "daemon/nri/ttrpc_frame.h"
#include "gtest/gtest.h"

namespace ocid {
namespace {

using Pieces = std::vector<std::pair<uint32_t, std::string>>;

// Joins the pieces of one stream that follow each other.
absl::Status FeedMux(MuxParser& parser, std::string_view bytes, Pieces& out) {
  return parser.Feed(bytes, [&out](uint32_t stream, std::string_view piece) {
    if (!out.empty() && out.back().first == stream) {
      out.back().second.append(piece);
    } else {
      out.emplace_back(stream, std::string(piece));
    }
    return absl::OkStatus();
  });
}

std::string Frame(uint32_t stream, std::string_view payload) {
  const auto header = EncodeMuxHeader(stream, payload.size());
  return std::string(header.data(), header.size()).append(payload);
}

std::string Message(uint32_t stream, TtrpcType type, std::string_view data) {
  const auto header = EncodeTtrpcHeader(
      {.length = static_cast<uint32_t>(data.size()), .stream = stream, .type = type});
  return std::string(header.data(), header.size()).append(data);
}

TEST(Mux, FramesAreTakenHoweverTheBytesAreCut) {
  const std::string bytes = Frame(1, "hello") + Frame(2, "world") + Frame(1, "");
  for (size_t cut = 1; cut <= bytes.size(); ++cut) {
    MuxParser parser;
    Pieces pieces;
    for (size_t at = 0; at < bytes.size(); at += cut) {
      ASSERT_TRUE(FeedMux(parser, std::string_view(bytes).substr(at, cut), pieces).ok());
    }
    EXPECT_EQ(pieces, (Pieces{{1, "hello"}, {2, "world"}})) << cut;
  }
}

TEST(Mux, FramesOfUnknownStreamsAreSkipped) {
  MuxParser parser;
  Pieces pieces;
  ASSERT_TRUE(FeedMux(parser, Frame(0, "a") + Frame(77, "b") + Frame(2, "c"), pieces).ok());
  EXPECT_EQ(pieces, (Pieces{{2, "c"}}));
}

TEST(Mux, AFrameMayBeAsLongAsTheLongestMessageAndNotLonger) {
  Pieces pieces;
  MuxParser parser;
  EXPECT_TRUE(FeedMux(parser, Frame(1, std::string(kMaxMuxPayloadBytes, 'x')), pieces).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(
      FeedMux(parser, std::string("\0\0\0\1\xff\xff\xff\xff", 8), pieces)));
}

TEST(Ttrpc, ARegistrationAsTheReferenceSendsIt) {
  // Captured from the reference's stub: RegisterPlugin of "logger" with index 05.
  const std::string data = absl::StrCat(
      "\x0a\x1c", "nri.pkg.api.v1alpha1.Runtime", "\x12\x0e", "RegisterPlugin", "\x1a\x1b", "\x0a\x06",
      "logger", "\x12\x02", "05", "\x1a\x0d", "0.0.0-unknown", absl::HexStringToBytes("20d9e9ffcf12"));
  const std::string bytes =
      absl::StrCat(absl::HexStringToBytes("000000020000005b00000051000000010100"), data);
  MuxParser mux;
  TtrpcParser parser;
  int messages = 0;
  ASSERT_TRUE(mux.Feed(bytes, [&](uint32_t stream, std::string_view piece) {
                   EXPECT_EQ(stream, kMuxRuntimeStream);
                   return parser.Feed(piece, [&](const TtrpcHeader& header, std::string_view got) {
                     EXPECT_EQ(header.type, TtrpcType::kRequest);
                     EXPECT_EQ(header.stream, 1u);
                     EXPECT_EQ(got, data);
                     ++messages;
                     return absl::OkStatus();
                   });
                 }).ok());
  EXPECT_EQ(messages, 1);
  EXPECT_EQ(Message(1, TtrpcType::kRequest, data), bytes.substr(kMuxHeaderBytes));
}

TEST(Ttrpc, MessagesAreTakenHoweverTheBytesAreCut) {
  const std::string bytes = Message(1, TtrpcType::kRequest, "one") +
                            Message(3, TtrpcType::kResponse, "") +
                            Message(5, TtrpcType::kRequest, std::string(300, 'x'));
  for (size_t cut = 1; cut <= bytes.size(); ++cut) {
    TtrpcParser parser;
    Pieces messages;
    for (size_t at = 0; at < bytes.size(); at += cut) {
      ASSERT_TRUE(parser
                      .Feed(std::string_view(bytes).substr(at, cut),
                            [&](const TtrpcHeader& header, std::string_view data) {
                              messages.emplace_back(header.stream, std::string(data));
                              return absl::OkStatus();
                            })
                      .ok());
    }
    EXPECT_EQ(messages, (Pieces{{1, "one"}, {3, ""}, {5, std::string(300, 'x')}})) << cut;
  }
}

TEST(Ttrpc, AMessageThatIsTooLongOrOfAnUnknownTypeEndsTheConnection) {
  const auto ignore = [](const TtrpcHeader&, std::string_view) { return absl::OkStatus(); };
  TtrpcParser long_message;
  const auto header = EncodeTtrpcHeader({.length = (4u << 20) + 1, .stream = 1});
  EXPECT_TRUE(absl::IsInvalidArgument(
      long_message.Feed(std::string_view(header.data(), header.size()), ignore)));
  TtrpcParser unknown;
  EXPECT_TRUE(absl::IsInvalidArgument(unknown.Feed(std::string(10, '\0'), ignore)));
}

}  // namespace
}  // namespace ocid
