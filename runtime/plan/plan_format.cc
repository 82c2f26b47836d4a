#include "runtime/plan/plan_format.h"

#include <initializer_list>

namespace ocid {
namespace {

// Inside the data and followed by its byte 0.
bool RefIsSound(const char* bytes, size_t total, size_t data_begin, PlanRef ref) {
  if (ref.offset == 0) return ref.size == 0;
  if (ref.offset < data_begin || ref.offset >= total) return false;
  if (ref.size >= total - ref.offset) return false;
  return bytes[ref.offset + ref.size] == '\0';
}

bool PhasesAreSound(const PlanHeader& header) {
  if (header.phase_begin[0] != 0) return false;
  for (size_t phase = 0; phase < kPhaseCount; ++phase) {
    if (header.phase_begin[phase] > header.phase_begin[phase + 1]) return false;
  }
  return header.phase_begin[kPhaseCount] == header.step_count;
}

bool SlotIsSound(const PlanStep& step) {
  const auto opcode = static_cast<Opcode>(step.opcode);
  if (opcode != Opcode::kOpenTree && opcode != Opcode::kAttachTree &&
      opcode != Opcode::kOpenIdmappedTree) {
    return true;
  }
  return step.number[0] < kMaxSlots;
}

}  // namespace

bool PlanView::Open(const void* bytes, size_t size, PlanView* out) {
  const char* text = static_cast<const char*>(bytes);
  if (size < sizeof(PlanHeader) || size > kMaxPlanBytes) return false;
  if (reinterpret_cast<uintptr_t>(bytes) % alignof(PlanHeader) != 0) return false;
  PlanView view;
  view.bytes_ = text;
  const PlanHeader& header = view.header();
  if (header.magic != kPlanMagic || header.version != kPlanVersion) return false;
  if (header.total_bytes != size) return false;
  if (header.step_count > (size - sizeof(PlanHeader)) / sizeof(PlanStep)) return false;
  if (!PhasesAreSound(header)) return false;

  const size_t data_begin = sizeof(PlanHeader) + header.step_count * sizeof(PlanStep);
  // With a 0 as the last byte, any offset inside the data starts a string that ends there.
  if (size > data_begin && text[size - 1] != '\0') return false;
  for (const PlanRef& ref :
       {header.state_prefix, header.state_middle, header.state_suffix, header.bundle}) {
    if (!RefIsSound(text, size, data_begin, ref)) return false;
  }
  for (size_t phase = 0; phase < kPhaseCount; ++phase) {
    for (uint32_t i = header.phase_begin[phase]; i < header.phase_begin[phase + 1]; ++i) {
      const PlanStep& step = view.step(i);
      if (step.opcode == 0 || step.opcode >= static_cast<uint16_t>(Opcode::kCount)) return false;
      if (step.phase != phase || !SlotIsSound(step)) return false;
      if (step.source != 0 && (step.source < data_begin || step.source >= size)) return false;
      for (const PlanRef& ref : step.ref) {
        if (!RefIsSound(text, size, data_begin, ref)) return false;
      }
    }
  }
  *out = view;
  return true;
}

}  // namespace ocid
