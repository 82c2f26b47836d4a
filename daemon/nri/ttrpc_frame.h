// ttrpc on one stream of the multiplexer: messages of a 10-byte header and their data.
//
//   u32 data length, u32 stream id (big-endian), u8 type, u8 flags, data
//
// NRI makes unary calls only: one Request, one Response with the same id. A client's ids are odd and
// increase; responses come in any order.
//
// Pure; TtrpcParser is thread-compatible. Source: containerd/ttrpc channel.go, services.go, PROTOCOL.md.
#ifndef OCID_DAEMON_NRI_TTRPC_FRAME_H_
#define OCID_DAEMON_NRI_TTRPC_FRAME_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace ocid {

inline constexpr size_t kTtrpcHeaderBytes = 10;
inline constexpr size_t kMaxTtrpcDataBytes = 4 << 20;

enum class TtrpcType : uint8_t { kRequest = 1, kResponse = 2, kData = 3 };

struct TtrpcHeader {
  uint32_t length = 0;
  uint32_t stream = 0;
  TtrpcType type = TtrpcType::kRequest;
  uint8_t flags = 0;  // of streaming calls
};

std::array<char, kTtrpcHeaderBytes> EncodeTtrpcHeader(const TtrpcHeader& header);

// The codes of google.rpc.Status that are sent or looked for here.
inline constexpr int kTtrpcUnknown = 2;
inline constexpr int kTtrpcInvalidArgument = 3;
inline constexpr int kTtrpcResourceExhausted = 8;
inline constexpr int kTtrpcUnimplemented = 12;

// Takes bytes as they come and calls back with each whole message.
class TtrpcParser {
 public:
  using Sink = absl::FunctionRef<absl::Status(const TtrpcHeader& header, std::string_view data)>;

  // INVALID_ARGUMENT for a message that is too long or of an unknown type, or the sink's error; the
  // connection is then over. Memory follows the bytes that came, not the length that was announced.
  absl::Status Feed(std::string_view bytes, Sink sink);

 private:
  std::string pending_;  // the beginning of a message, header included
};

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_TTRPC_FRAME_H_
