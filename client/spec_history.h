// What a client can do by itself with the history of an OCI spec (ContainerService.InspectOciSpec):
// replay its patches, check every digest, and say who wrote which value. Nothing here believes the
// daemon more than it must: documents are computed from the patches.
//
// Functions of values: thread-compatible, nothing blocks. Nothing throws: nlohmann's exceptions
// become DATA_LOSS naming the step. Source: RFC 6901, RFC 6902; proto/ocid/v1/spec.proto.
#ifndef OCID_CLIENT_SPEC_HISTORY_H_
#define OCID_CLIENT_SPEC_HISTORY_H_

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/ocid/v1/spec.pb.h"

namespace ocid {

// "sha256:" and the digest of `text` in hexadecimal.
std::string Sha256Digest(std::string_view text);

// The form that digests are made of: no white space, members sorted by key. `document` must hold
// valid UTF-8, as everything does that was parsed.
std::string CanonicalJson(const nlohmann::json& document);

// One operation of a step's patch, with the values it changed.
struct SpecChange {
  enum class Kind { kAdded, kRemoved, kReplaced };
  Kind kind;
  std::string pointer;
  nlohmann::json before;  // kRemoved, kReplaced
  nlohmann::json after;   // kAdded, kReplaced
};

// `document` after the step's patch.
absl::StatusOr<nlohmann::json> ApplyStep(const nlohmann::json& document, const v1::SpecStep& step);

// What the step's patch does to `document`, in the order of the patch. A move is a removal and an
// addition; tests are left out.
absl::StatusOr<std::vector<SpecChange>> DescribeStep(const nlohmann::json& document,
                                                     const v1::SpecStep& step);

// For each step the document before it, and at the end the final one: steps + 1 documents.
absl::StatusOr<std::vector<nlohmann::json>> ReplayHistory(const v1::OciSpecHistory& history);

// One thing that VerifyHistory looked at.
struct SpecCheck {
  std::string subject;  // "step 3 (cdi vendor.com/gpu=0)"
  bool passed = false;
  std::string detail;  // what was seen, or what differs
};

// Replays the patches from {} and checks that: each step starts from the digest the one before
// ended with, and ends with the digest of the document it gives; `original` and `final` are
// documents of the replay, byte by byte in canonical form; and the executor was handed the final
// one. Needs a history in SPEC_VIEW_FULL that is not redacted: anything else fails a check.
std::vector<SpecCheck> VerifyHistory(const v1::OciSpecHistory& history);

// A leaf of the final document (a scalar or an empty array or object) and the step that wrote it.
struct BlameLine {
  std::string pointer;
  nlohmann::json value;
  int step = -1;  // index into history.steps; -1: no step wrote it
  // The steps that wrote there before, the newest first. What an array's element replaced counts by
  // its place; what was removed and came again later has no past.
  std::vector<int> before = {};
};

// Every leaf at or below `pointer`, in the order of the canonical document. Needs SPEC_VIEW_FULL.
// NOT_FOUND where the final document has nothing there.
absl::StatusOr<std::vector<BlameLine>> BlameHistory(const v1::OciSpecHistory& history,
                                                    const std::string& pointer);

// One difference between the final specs of two histories.
struct FinalChange {
  SpecChange change;
  int step = -1;  // that wrote it: of `to`, or of `from` where it was removed
};

// What makes the final document of `to` of that of `from`, arrays compared by identity (mounts by
// destination, environment by name); `patch` gets the same as RFC 6902. Needs SPEC_VIEW_FULL of both.
absl::StatusOr<std::vector<FinalChange>> CompareFinals(const v1::OciSpecHistory& from,
                                                       const v1::OciSpecHistory& to,
                                                       nlohmann::json& patch);

}  // namespace ocid

#endif  // OCID_CLIENT_SPEC_HISTORY_H_
