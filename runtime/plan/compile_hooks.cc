// hooks, and the state document that they read from their standard input.
//
// Source: runtime-spec config.md#posix-platform-hooks, runtime.md#state.
#include <nlohmann/json.hpp>

#include "runtime/plan/compile_context.h"

namespace ocid {
namespace {

struct KnownHooks {
  std::string_view name;
  HookKind kind;
  Phase phase;
};

// In the order in which they run.
constexpr KnownHooks kHooks[] = {
    {"prestart", HookKind::kPrestart, Phase::kRuntimeHooks},
    {"createRuntime", HookKind::kCreateRuntime, Phase::kRuntimeHooks},
    {"createContainer", HookKind::kCreateContainer, Phase::kEnter},
    {"startContainer", HookKind::kStartContainer, Phase::kStart},
    {"poststart", HookKind::kPoststart, Phase::kPoststartHooks},
    {"poststop", HookKind::kPoststop, Phase::kPoststopHooks},
};

constexpr uint64_t kMaxTimeoutSeconds = 1u << 30;

void CompileHook(CompileContext& context, const JsonCursor& hook, const KnownHooks& known) {
  const std::string path = hook["path"].String();
  if (path.empty() || path.front() != '/') return hook["path"].Invalid("must be absolute");
  std::vector<std::string> arguments = hook["args"].Strings();
  if (arguments.empty()) arguments.push_back(path);
  const std::vector<std::string> environment = hook["env"].Strings();
  const JsonCursor timeout = hook["timeout"];
  const uint64_t seconds = timeout.Unsigned(0, kMaxTimeoutSeconds);
  if (timeout.exists() && seconds == 0) timeout.Invalid("must be greater than 0");
  PlanWriter& writer = context.writer;
  writer.Add(
      known.phase, Opcode::kRunHook, hook.pointer(),
      {seconds * 1000, arguments.size(), environment.size(), static_cast<uint64_t>(known.kind)},
      {writer.Text(path), writer.List(arguments), writer.List(environment)});
}

}  // namespace

// {"ociVersion":..., "status": ?, "pid": ?, ...} in three pieces; run_hook.h fills the gaps.
void CompileState(CompileContext& context, const std::string& id) {
  // Only for those who read it.
  const bool listens = context.spec["linux"]["seccomp"]["listenerPath"].exists();
  if (!context.spec["hooks"].exists() && !listens) return;
  const auto quote = [](const std::string& text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  };
  PlanWriter& writer = context.writer;
  PlanHeader& header = writer.header();
  header.state_prefix =
      writer.Text(R"({"ociVersion":)" + quote(context.spec["ociVersion"].String()) + R"(,"id":)" +
                  quote(id) + R"(,"status":")");
  header.state_middle = writer.Text(R"(","pid":)");
  std::string suffix = R"(,"bundle":)" + quote(context.bundle);
  const JsonCursor annotations = context.spec["annotations"];
  if (annotations.exists()) {
    suffix += R"(,"annotations":)" +
              annotations.value()->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  header.state_suffix = writer.Text(suffix + "}");
}

void CompileHooks(CompileContext& context) {
  context.writer.header().bundle = context.writer.Text(context.bundle);
  const JsonCursor hooks = context.spec["hooks"];
  if (!hooks.exists()) return;
  for (const KnownHooks& known : kHooks) {
    for (const JsonCursor& hook : hooks[known.name].Elements()) CompileHook(context, hook, known);
  }
}

}  // namespace ocid
