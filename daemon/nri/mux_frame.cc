#include "daemon/nri/mux_frame.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "daemon/nri/big_endian.h"

namespace ocid {

std::array<char, kMuxHeaderBytes> EncodeMuxHeader(uint32_t stream, size_t payload_bytes) {
  std::array<char, kMuxHeaderBytes> header;
  PutBigEndian32(stream, header.data());
  PutBigEndian32(static_cast<uint32_t>(payload_bytes), header.data() + 4);
  return header;
}

absl::Status MuxParser::Feed(std::string_view bytes, Sink sink) {
  while (!bytes.empty()) {
    if (payload_left_ == 0) {
      const size_t taken = std::min(bytes.size(), kMuxHeaderBytes - header_bytes_);
      std::memcpy(header_.data() + header_bytes_, bytes.data(), taken);
      header_bytes_ += taken;
      bytes.remove_prefix(taken);
      if (header_bytes_ < kMuxHeaderBytes) break;
      header_bytes_ = 0;
      stream_ = GetBigEndian32(header_.data());
      const uint32_t length = GetBigEndian32(header_.data() + 4);
      if (length > kMaxMuxPayloadBytes) {
        return absl::InvalidArgumentError(absl::StrCat("mux: a frame of ", length, " bytes"));
      }
      payload_left_ = length;
      continue;
    }
    const std::string_view payload = bytes.substr(0, payload_left_);
    payload_left_ -= payload.size();
    bytes.remove_prefix(payload.size());
    if (stream_ != kMuxPluginStream && stream_ != kMuxRuntimeStream) continue;
    const absl::Status taken = sink(stream_, payload);
    if (!taken.ok()) return taken;
  }
  return absl::OkStatus();
}

}  // namespace ocid
