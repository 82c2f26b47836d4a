#include "runtime/host/test_plan.h"

#include <utility>

#include "runtime/plan/plan_format.h"

namespace ocid {
namespace {

class Data {
 public:
  explicit Data(size_t begin) : begin_(begin) {}

  PlanRef Add(const std::string& bytes) {
    const PlanRef ref = {.offset = static_cast<uint32_t>(begin_ + bytes_.size()),
                         .size = static_cast<uint32_t>(bytes.size())};
    bytes_ += bytes;
    bytes_.push_back('\0');
    return ref;
  }

  PlanRef AddList(const std::vector<std::string>& list) {
    std::string bytes;
    for (const std::string& item : list) bytes += item + '\0';
    return Add(bytes);
  }

  const std::string& bytes() const { return bytes_; }

 private:
  const size_t begin_;
  std::string bytes_;
};

PlanStep MakeStep(Phase phase, Opcode opcode) {
  PlanStep step;
  step.opcode = static_cast<uint16_t>(opcode);
  step.phase = static_cast<uint8_t>(phase);
  return step;
}

}  // namespace

std::string MakeTestPlan(const TestPlan& plan) {
  const bool hook = !plan.poststart_hook.empty();
  const size_t steps = hook ? 3 : 2;
  Data data(sizeof(PlanHeader) + steps * sizeof(PlanStep));
  const std::vector<std::string> environment = {"PATH=/usr/bin:/bin"};

  const PlanStep reset_signals = MakeStep(Phase::kStart, Opcode::kResetSignals);
  PlanStep execute = MakeStep(Phase::kStart, Opcode::kExecute);
  execute.number[0] = plan.arguments.size();
  execute.number[1] = environment.size();
  execute.ref[0] = data.AddList(plan.arguments);
  execute.ref[1] = data.AddList(environment);
  execute.ref[2] = data.Add("/usr/bin:/bin");
  PlanStep run_hook = MakeStep(Phase::kPoststartHooks, Opcode::kRunHook);
  run_hook.number[0] = 5000;
  run_hook.number[1] = 1;
  run_hook.number[3] = static_cast<uint64_t>(HookKind::kPoststart);
  run_hook.ref[0] = data.Add(plan.poststart_hook);
  run_hook.ref[1] = data.AddList({plan.poststart_hook});

  PlanHeader header;
  header.step_count = static_cast<uint32_t>(steps);
  header.flags = plan.join ? kPlanJoins : kPlanHasGate;
  header.clone_flags = plan.clone_flags;
  header.bundle = data.Add("/");
  header.state_prefix = data.Add("{}");
  header.total_bytes =
      static_cast<uint32_t>(sizeof(PlanHeader) + steps * sizeof(PlanStep) + data.bytes().size());
  for (size_t phase = static_cast<size_t>(Phase::kStart) + 1; phase <= kPhaseCount; ++phase) {
    const bool after_hook = phase > static_cast<size_t>(Phase::kPoststartHooks);
    header.phase_begin[phase] = hook && after_hook ? 3 : 2;
  }
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
  bytes.append(reinterpret_cast<const char*>(&reset_signals), sizeof(reset_signals));
  bytes.append(reinterpret_cast<const char*>(&execute), sizeof(execute));
  if (hook) bytes.append(reinterpret_cast<const char*>(&run_hook), sizeof(run_hook));
  return bytes + data.bytes();
}

}  // namespace ocid
