#include "daemon/nri/ttrpc_frame.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "daemon/nri/big_endian.h"

namespace ocid {
namespace {

absl::Status ParseHeader(std::string_view bytes, TtrpcHeader& header) {
  header.length = GetBigEndian32(bytes.data());
  header.stream = GetBigEndian32(bytes.data() + 4);
  const auto type = static_cast<uint8_t>(bytes[8]);
  header.type = static_cast<TtrpcType>(type);
  header.flags = static_cast<uint8_t>(bytes[9]);
  if (header.length > kMaxTtrpcDataBytes) {
    return absl::InvalidArgumentError(absl::StrCat("ttrpc: a message of ", header.length, " bytes"));
  }
  if (type < static_cast<uint8_t>(TtrpcType::kRequest) ||
      type > static_cast<uint8_t>(TtrpcType::kData)) {
    return absl::InvalidArgumentError(absl::StrCat("ttrpc: a message of type ", type));
  }
  return absl::OkStatus();
}

}  // namespace

std::array<char, kTtrpcHeaderBytes> EncodeTtrpcHeader(const TtrpcHeader& header) {
  std::array<char, kTtrpcHeaderBytes> out;
  PutBigEndian32(header.length, out.data());
  PutBigEndian32(header.stream, out.data() + 4);
  out[8] = static_cast<char>(header.type);
  out[9] = static_cast<char>(header.flags);
  return out;
}

absl::Status TtrpcParser::Feed(std::string_view bytes, Sink sink) {
  while (!bytes.empty()) {
    // Whole messages are taken from where they are.
    const bool direct = pending_.empty() && bytes.size() >= kTtrpcHeaderBytes;
    if (!direct && pending_.size() < kTtrpcHeaderBytes) {
      const size_t taken = std::min(bytes.size(), kTtrpcHeaderBytes - pending_.size());
      pending_.append(bytes.substr(0, taken));
      bytes.remove_prefix(taken);
      if (pending_.size() < kTtrpcHeaderBytes) break;
    }
    TtrpcHeader header;
    const absl::Status parsed = ParseHeader(direct ? bytes : std::string_view(pending_), header);
    if (!parsed.ok()) return parsed;
    const size_t whole = kTtrpcHeaderBytes + header.length;
    if (direct && bytes.size() >= whole) {
      const absl::Status taken = sink(header, bytes.substr(kTtrpcHeaderBytes, header.length));
      if (!taken.ok()) return taken;
      bytes.remove_prefix(whole);
      continue;
    }
    const size_t taken = std::min(bytes.size(), whole - pending_.size());
    pending_.append(bytes.substr(0, taken));
    bytes.remove_prefix(taken);
    if (pending_.size() < whole) break;
    std::string message;
    message.swap(pending_);
    const absl::Status handed = sink(header, std::string_view(message).substr(kTtrpcHeaderBytes));
    if (!handed.ok()) return handed;
  }
  return absl::OkStatus();
}

}  // namespace ocid
