// What the daemon reads back from its disk: the frame of records, journals, exit records.
#include <vector>

#include "daemon/spec/spec_journal.h"
#include "daemon/store/record_format.h"
#include "runtime/supervisor/exit_record.h"
#include "tests/fuzz/fuzz_input.h"

namespace ocid {
namespace {

void ReadFrame(FuzzInput& input) {
  const std::string bytes(input.Rest());
  const std::string framed = FrameRecord(RecordKind::kState, bytes);
  const absl::StatusOr<std::string_view> payload = ParseRecord(RecordKind::kState, framed);
  FUZZ_CHECK(payload.ok() && *payload == bytes, payload.status().ToString());
  FUZZ_CHECK(!ParseRecord(RecordKind::kExec, framed).ok(), "a record of another kind");
  if (!bytes.empty()) {
    std::string changed = framed;
    changed[bytes.size() % changed.size()] ^= static_cast<char>(1 + bytes[0] % 100);
    if (changed != framed) {
      FUZZ_CHECK(!ParseRecord(RecordKind::kState, changed).ok(), "a changed record");
    }
  }
  ParseRecord(RecordKind::kContainer, bytes).IgnoreError();
}

void ReadExit(FuzzInput& input) {
  const std::string_view rest = input.Rest();
  const std::vector<char> text(rest.begin(), rest.end());
  ExitRecord record;
  if (!ParseExitRecord(text.data(), text.size(), &record)) return;
  char again[kMaxExitRecordSize];
  const size_t size = FormatExitRecord(record, again, sizeof(again));
  ExitRecord read;
  FUZZ_CHECK(size > 0 && ParseExitRecord(again, size, &read), std::string(again, size));
  FUZZ_CHECK(read.code == record.code && read.signal == record.signal, std::string(again, size));
}

void ReadJournal(FuzzInput& input) {
  const std::string blob(input.Rest());
  const absl::StatusOr<SpecJournal> journal = SpecJournal::Parse(blob);
  if (!journal.ok()) return;
  journal->Verify().IgnoreError();
  journal->OriginalSpec().IgnoreError();
  const std::string written = journal->Serialize();
  const absl::StatusOr<SpecJournal> again = SpecJournal::Parse(written);
  FUZZ_CHECK(again.ok(), written + "\n" + again.status().ToString());
  FUZZ_CHECK(*again == *journal, written);
}

}  // namespace
}  // namespace ocid

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ocid::FuzzInput input(data, size);
  switch (input.Take<char>()) {
    case 'f':
      ocid::ReadFrame(input);
      break;
    case 'e':
      ocid::ReadExit(input);
      break;
    default:
      ocid::ReadJournal(input);
      break;
  }
  return 0;
}
