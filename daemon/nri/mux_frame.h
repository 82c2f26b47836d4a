// The multiplexer of an NRI connection: two byte streams, one to the plugin's service and one to the
// daemon's, over one socket.
//
//   frame = u32 stream, u32 payload length (big-endian), payload
//
// No handshake, no opening or closing of streams. Frames of unknown streams are skipped.
//
// Pure; MuxParser is thread-compatible. Source: containerd/nri pkg/net/multiplex/mux.go.
#ifndef OCID_DAEMON_NRI_MUX_FRAME_H_
#define OCID_DAEMON_NRI_MUX_FRAME_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace ocid {

inline constexpr uint32_t kMuxPluginStream = 1;   // the daemon is the client
inline constexpr uint32_t kMuxRuntimeStream = 2;  // the plugin is the client
inline constexpr size_t kMuxHeaderBytes = 8;
// What the reference sends at most: a whole ttrpc message of the largest size.
inline constexpr size_t kMaxMuxPayloadBytes = (4 << 20) + 10;

// A message goes out as two frames: this much, then all the rest. A plugin in Go reads the first frame
// of a message into a buffer of this size and hangs for good where the frame is longer; many small
// frames overflow its queue of 256.
inline constexpr size_t kFirstFrameBytes = 4096;

std::array<char, kMuxHeaderBytes> EncodeMuxHeader(uint32_t stream, size_t payload_bytes);

// Takes bytes as they come and hands on what the frames of the two streams carry, in order and without
// keeping it.
class MuxParser {
 public:
  using Sink = absl::FunctionRef<absl::Status(uint32_t stream, std::string_view bytes)>;

  // INVALID_ARGUMENT for a frame that is too long, or the sink's error; the connection is then over.
  absl::Status Feed(std::string_view bytes, Sink sink);

 private:
  std::array<char, kMuxHeaderBytes> header_ = {};
  size_t header_bytes_ = 0;
  uint32_t stream_ = 0;
  size_t payload_left_ = 0;
};

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_MUX_FRAME_H_
