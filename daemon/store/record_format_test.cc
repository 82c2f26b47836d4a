#include "daemon/store/record_format.h"

#include "gtest/gtest.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

const std::string kPayload = "some payload \n\0 with a nul";

TEST(RecordFormat, GivesBackWhatItFramed) {
  const std::string file = FrameRecord(RecordKind::kContainer, kPayload);
  const absl::StatusOr<std::string_view> payload = ParseRecord(RecordKind::kContainer, file);
  ASSERT_TRUE(payload.ok()) << payload.status();
  EXPECT_EQ(*payload, kPayload);
  EXPECT_EQ(file.size(), kRecordHeaderBytes + kPayload.size());
}

TEST(RecordFormat, RefusesAFileCutShortAtAnyByte) {
  const std::string file = FrameRecord(RecordKind::kContainer, kPayload);
  for (size_t size = 0; size < file.size(); ++size) {
    const auto payload = ParseRecord(RecordKind::kContainer, std::string_view(file).substr(0, size));
    EXPECT_EQ(payload.status().code(), absl::StatusCode::kDataLoss) << size;
  }
}

TEST(RecordFormat, RefusesAFileWithAnyBitChanged) {
  const std::string file = FrameRecord(RecordKind::kContainer, kPayload);
  for (size_t bit = 0; bit < 8 * file.size(); ++bit) {
    std::string changed = file;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_EQ(GetReason(ParseRecord(RecordKind::kContainer, changed).status()), "RECORD_CORRUPT")
        << bit;
  }
}

TEST(RecordFormat, RefusesAFileWithBytesBehindIt) {
  const std::string file = FrameRecord(RecordKind::kContainer, kPayload);
  EXPECT_FALSE(ParseRecord(RecordKind::kContainer, file + "x").ok());
}

TEST(RecordFormat, RefusesARecordOfAnotherKind) {
  const std::string file = FrameRecord(RecordKind::kState, kPayload);
  EXPECT_FALSE(ParseRecord(RecordKind::kContainer, file).ok());
}

}  // namespace
}  // namespace ocid
