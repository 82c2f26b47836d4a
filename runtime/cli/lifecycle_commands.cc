// ocirun start, state, kill, delete, pause, resume; and checkpoint and restore, which say no.
#include <signal.h>
#include <string.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/cli/command.h"

namespace ocid {
namespace {

// "TERM", "SIGTERM", "15", "RTMIN+3".
std::optional<int> ParseSignal(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size()) {
    if (number < 0 || number > SIGRTMAX) return std::nullopt;
    return number;
  }
  std::string name(text);
  for (char& c : name) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  if (name.starts_with("SIG")) name.erase(0, 3);
  constexpr std::string_view kRealTime = "RTMIN";
  if (name.starts_with(kRealTime)) {
    const std::string rest = name.substr(kRealTime.size());
    if (rest.empty()) return SIGRTMIN;
    int offset = 0;
    const auto parsed = std::from_chars(rest.data() + 1, rest.data() + rest.size(), offset);
    if (rest[0] != '+' || parsed.ec != std::errc() || SIGRTMIN + offset > SIGRTMAX) {
      return std::nullopt;
    }
    return SIGRTMIN + offset;
  }
  for (int signal = 1; signal < 32; ++signal) {
    const char* const abbreviation = sigabbrev_np(signal);
    if (abbreviation != nullptr && name == abbreviation) return signal;
  }
  return std::nullopt;
}

absl::StatusOr<Container> OpenOnly(const Invocation& invocation) {
  const absl::StatusOr<std::string> id = OnlyArgument(invocation);
  if (!id.ok()) return id.status();
  return Container::Open(invocation.runtime, *id);
}

absl::StatusOr<int> ExitWith(const absl::Status& status) {
  if (!status.ok()) return status;
  return 0;
}

}  // namespace

absl::StatusOr<int> RunStart(const Invocation& invocation) {
  absl::StatusOr<Container> container = OpenOnly(invocation);
  if (!container.ok()) return container.status();
  return ExitWith(container->Start());
}

absl::StatusOr<int> RunState(const Invocation& invocation) {
  const absl::StatusOr<Container> container = OpenOnly(invocation);
  if (!container.ok()) return container.status();
  Print(StateText(*container, /*indent=*/2));
  return 0;
}

absl::StatusOr<int> RunKill(const Invocation& invocation) {
  const std::vector<std::string>& words = invocation.flags.positionals();
  if (words.empty() || words.size() > 2) {
    return absl::InvalidArgumentError("kill: needs a container ID and at most one signal");
  }
  const std::string name = words.size() == 2 ? words[1] : "SIGTERM";
  const std::optional<int> signal = ParseSignal(name);
  if (!signal.has_value()) return absl::InvalidArgumentError(absl::StrCat("unknown signal ", name));
  absl::StatusOr<Container> container = Container::Open(invocation.runtime, words[0]);
  if (!container.ok()) return container.status();
  return ExitWith(container->Kill(*signal, invocation.flags.Switch("all")));
}

absl::StatusOr<int> RunDelete(const Invocation& invocation) {
  const bool force = invocation.flags.Switch("force");
  absl::StatusOr<Container> container = OpenOnly(invocation);
  if (force && absl::IsNotFound(container.status())) return 0;
  if (!container.ok()) return container.status();
  const absl::Status deleted = container->Delete(force);
  if (force && absl::IsNotFound(deleted)) return 0;
  return ExitWith(deleted);
}

absl::StatusOr<int> RunPause(const Invocation& invocation) {
  absl::StatusOr<Container> container = OpenOnly(invocation);
  if (!container.ok()) return container.status();
  return ExitWith(container->Pause());
}

absl::StatusOr<int> RunResume(const Invocation& invocation) {
  absl::StatusOr<Container> container = OpenOnly(invocation);
  if (!container.ok()) return container.status();
  return ExitWith(container->Resume());
}

absl::StatusOr<int> RunCheckpoint(const Invocation& /*invocation*/) {
  return MakeError(absl::StatusCode::kUnimplemented, "NOT_IMPLEMENTED",
                   "checkpoint and restore are not supported by this version");
}

}  // namespace ocid
