#include "runtime/plan/plan_writer.h"

#include <algorithm>
#include <utility>

namespace ocid {
namespace {

void Relocate(PlanRef& ref, size_t data_begin) {
  if (ref.offset != 0) ref.offset += static_cast<uint32_t>(data_begin);
}

}  // namespace

// The first byte of the data belongs to nobody, so that offset 0 can mean none until Finish.
PlanWriter::PlanWriter() : data_(1, '\0') {}

PlanRef PlanWriter::Text(std::string_view text) {
  if (text.empty()) return {};
  const auto [entry, is_new] = known_.try_emplace(std::string(text));
  if (is_new) {
    entry->second = {static_cast<uint32_t>(data_.size()), static_cast<uint32_t>(text.size())};
    data_.append(text).push_back('\0');
  }
  return entry->second;
}

PlanRef PlanWriter::List(const std::vector<std::string>& strings) {
  std::string list;
  for (const std::string& string : strings) list.append(string).push_back('\0');
  return Text(list);
}

void PlanWriter::Add(Phase phase, Opcode opcode, std::string_view source,
                     std::initializer_list<uint64_t> numbers, std::initializer_list<PlanRef> refs) {
  PlanStep step;
  step.opcode = static_cast<uint16_t>(opcode);
  step.phase = static_cast<uint8_t>(phase);
  step.source = Text(source).offset;
  std::copy(numbers.begin(), numbers.end(), step.number);
  std::copy(refs.begin(), refs.end(), step.ref);
  steps_[static_cast<size_t>(phase)].push_back(step);
}

std::string PlanWriter::Finish() && {
  size_t count = 0;
  for (size_t phase = 0; phase < kPhaseCount; ++phase) {
    header_.phase_begin[phase] = static_cast<uint32_t>(count);
    count += steps_[phase].size();
  }
  header_.phase_begin[kPhaseCount] = static_cast<uint32_t>(count);
  header_.step_count = static_cast<uint32_t>(count);
  const size_t data_begin = sizeof(PlanHeader) + count * sizeof(PlanStep);
  header_.total_bytes = static_cast<uint32_t>(data_begin + data_.size());
  for (PlanRef* ref :
       {&header_.state_prefix, &header_.state_middle, &header_.state_suffix, &header_.bundle}) {
    Relocate(*ref, data_begin);
  }

  std::string bytes;
  bytes.reserve(header_.total_bytes);
  bytes.append(reinterpret_cast<const char*>(&header_), sizeof(header_));
  for (std::vector<PlanStep>& steps : steps_) {
    for (PlanStep& step : steps) {
      if (step.source != 0) step.source += static_cast<uint32_t>(data_begin);
      for (PlanRef& ref : step.ref) Relocate(ref, data_begin);
      bytes.append(reinterpret_cast<const char*>(&step), sizeof(step));
    }
  }
  return bytes.append(data_);
}

}  // namespace ocid
