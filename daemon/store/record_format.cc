#include "daemon/store/record_format.h"

#include <bit>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/crc32c.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::string_view kMagic = "ocidrec\n";
constexpr uint32_t kSchemaVersion = 1;
constexpr size_t kChecksumOffset = 24;

template <typename T>
void AppendNumber(T number, std::string& out) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &number, sizeof(T));
  out.append(bytes, sizeof(T));
}

template <typename T>
T NumberAt(std::string_view bytes, size_t offset) {
  T number;
  std::memcpy(&number, bytes.data() + offset, sizeof(T));
  return number;
}

absl::Status Corrupt(std::string_view what) {
  return MakeError(absl::StatusCode::kDataLoss, "RECORD_CORRUPT", what);
}

}  // namespace

std::string FrameRecord(RecordKind kind, std::string_view payload) {
  std::string file;
  file.reserve(kRecordHeaderBytes + payload.size());
  file.append(kMagic);
  AppendNumber(kSchemaVersion, file);
  AppendNumber(static_cast<uint32_t>(kind), file);
  AppendNumber(static_cast<uint64_t>(payload.size()), file);
  AppendNumber(Crc32c(payload, Crc32c(file)), file);
  file.append(payload);
  return file;
}

absl::StatusOr<std::string_view> ParseRecord(RecordKind kind, std::string_view file) {
  if (file.size() < kRecordHeaderBytes) {
    return Corrupt(absl::StrCat("only ", file.size(), " bytes long"));
  }
  if (file.substr(0, kMagic.size()) != kMagic) return Corrupt("not a record");
  const std::string_view payload = file.substr(kRecordHeaderBytes);
  const uint32_t checksum = Crc32c(payload, Crc32c(file.substr(0, kChecksumOffset)));
  // The checksum first: a version or length that was never written must not be believed. A newer
  // version keeps this header.
  if (checksum != NumberAt<uint32_t>(file, kChecksumOffset)) return Corrupt("wrong checksum");
  if (NumberAt<uint64_t>(file, 16) != payload.size()) return Corrupt("wrong length");
  const uint32_t version = NumberAt<uint32_t>(file, 8);
  if (version != kSchemaVersion) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "RECORD_CORRUPT",
                     absl::StrCat("schema version ", version, ", this daemon knows ",
                                  kSchemaVersion));
  }
  if (NumberAt<uint32_t>(file, 12) != static_cast<uint32_t>(kind)) {
    return Corrupt("a record of another kind");
  }
  return payload;
}

}  // namespace ocid
