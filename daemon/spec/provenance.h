// Provenance: who wrote which value of a spec, last and before.
//
// Follows the document while patches are applied to it. It holds a tree beside the document whose
// nodes move with the values they stand for, so that an answer is right whatever was inserted,
// removed or moved in front of a value.
//
// Thread-compatible; nothing blocks.
#ifndef OCID_DAEMON_SPEC_PROVENANCE_H_
#define OCID_DAEMON_SPEC_PROVENANCE_H_

#include <cstddef>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/spec/spec_journal.h"

namespace ocid {

class Provenance {
 public:
  Provenance();
  Provenance(Provenance&&) noexcept;
  Provenance& operator=(Provenance&&) noexcept;
  ~Provenance();

  // Notes that step `step` applies `operation`, one of an RFC 6902 patch that fits `before`, the
  // document at that point.
  void Note(const nlohmann::json& operation, const nlohmann::json& before, size_t step);

  // The steps that wrote the value at `pointer`, or something that it is a part of: the last writer
  // first. Empty if nobody wrote there. A removal is a write; a change of place is none.
  std::vector<size_t> Writers(std::string_view pointer) const;

  // The last step that wrote the value at `pointer` or any part of it.
  std::optional<size_t> LastWriterWithin(std::string_view pointer) const;

  // True if parts of the value at `pointer` have writers of their own.
  bool HasParts(std::string_view pointer) const;

 private:
  struct Node;

  void NoteWrite(std::string_view op, const std::string& path, const nlohmann::json& before,
                 size_t step);
  bool NoteMoveInArray(const std::string& from, const std::string& path,
                       const nlohmann::json& before);

  std::unique_ptr<Node> root_;
};

// One writer of a value, as `ocictl spec blame` shows it.
struct BlameEntry {
  size_t step = 0;
  SpecActor actor;
};

struct Blame {
  std::string pointer;
  std::string value;                // JSON text
  std::vector<BlameEntry> writers;  // last first
};

// Who wrote the value at `pointer` of the final spec. NOT_FOUND if the final spec has no such
// value; DATA_LOSS as SpecJournal has it.
absl::StatusOr<Blame> BlamePointer(const SpecJournal& journal, std::string_view pointer);

// The writers of every value of the final spec, in document order: one entry for each smallest
// subtree that one step wrote in one piece.
absl::StatusOr<std::vector<Blame>> BlameAll(const SpecJournal& journal);

}  // namespace ocid

#endif  // OCID_DAEMON_SPEC_PROVENANCE_H_
