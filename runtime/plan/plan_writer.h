// PlanWriter collects steps and lays out the bytes of a plan (plan_format.h).
//
// Equal strings are kept once. Thread-compatible; nothing blocks.
#ifndef OCID_RUNTIME_PLAN_PLAN_WRITER_H_
#define OCID_RUNTIME_PLAN_PLAN_WRITER_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/plan/plan_format.h"

namespace ocid {

class PlanWriter {
 public:
  PlanWriter();

  // Only for Add of this writer. An empty text is an empty reference.
  PlanRef Text(std::string_view text);
  // Each string with its byte 0.
  PlanRef List(const std::vector<std::string>& strings);

  // Steps of one phase keep the order in which they were added. `source` is the JSON pointer that
  // asked for the step, empty for a default.
  void Add(Phase phase, Opcode opcode, std::string_view source,
           std::initializer_list<uint64_t> numbers = {}, std::initializer_list<PlanRef> refs = {});

  PlanHeader& header() { return header_; }
  bool IsEmpty(Phase phase) const { return steps_[static_cast<size_t>(phase)].empty(); }

  std::string Finish() &&;

 private:
  PlanHeader header_;
  std::vector<PlanStep> steps_[kPhaseCount];
  std::string data_;
  std::unordered_map<std::string, PlanRef> known_;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_PLAN_PLAN_WRITER_H_
