// ocirun start, state, kill, delete, pause, resume.
#include <regex.h>
#include <signal.h>
#include <string.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "runtime/cli/command.h"
#include "runtime/cli/notify_socket.h"

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

// The IDs that a regular expression (regex(7), extended) finds something in.
absl::StatusOr<std::vector<std::string>> MatchingIds(const std::string& root,
                                                     const std::string& pattern) {
  regex_t compiled;
  if (regcomp(&compiled, pattern.c_str(), REG_EXTENDED | REG_NOSUB) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("invalid regular expression ", pattern));
  }
  const absl::Cleanup free_it = [&compiled] { regfree(&compiled); };
  absl::StatusOr<std::vector<std::string>> ids = StateDirectory::List(root);
  if (!ids.ok()) return ids.status();
  std::erase_if(*ids, [&compiled](const std::string& id) {
    return regexec(&compiled, id.c_str(), 0, nullptr, 0) != 0;
  });
  return ids;
}

// Calls `act` for the container that is named, or with --regex for all that match; the first error.
template <typename Act>
absl::Status ForNamed(const Invocation& invocation, const std::string& name, const Act& act) {
  std::vector<std::string> ids = {name};
  if (invocation.flags.Switch("regex")) {
    absl::StatusOr<std::vector<std::string>> found = MatchingIds(invocation.runtime.root, name);
    if (!found.ok()) return found.status();
    ids = *std::move(found);
  }
  absl::Status first;
  for (const std::string& id : ids) {
    const absl::Status done = act(Container::Open(invocation.runtime, id));
    if (first.ok()) first = done;
  }
  return first;
}

}  // namespace

absl::Status StartDetached(Container& container) {
  absl::StatusOr<NotifyProxy> notify = NotifyProxy::Open(container.state());
  if (!notify.ok()) return notify.status();
  const absl::Status started = container.Start();
  if (!started.ok() || !notify->active()) return started;
  const UniqueFd pidfd = container.OpenPidfd();
  if (pidfd.valid()) notify->WaitUntilReady(container.record().pid, pidfd);
  return absl::OkStatus();
}

absl::StatusOr<int> RunStart(const Invocation& invocation) {
  absl::StatusOr<Container> container = OpenOnly(invocation);
  if (!container.ok()) return container.status();
  return ExitWith(StartDetached(*container));
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
  const bool all = invocation.flags.Switch("all");
  return ExitWith(ForNamed(invocation, words[0], [&](absl::StatusOr<Container> container) {
    return container.ok() ? container->Kill(*signal, all) : container.status();
  }));
}

absl::StatusOr<int> RunDelete(const Invocation& invocation) {
  const bool force = invocation.flags.Switch("force");
  const absl::StatusOr<std::string> name = OnlyArgument(invocation);
  if (!name.ok()) return name.status();
  const absl::Status deleted =
      ForNamed(invocation, *name, [force](absl::StatusOr<Container> container) {
        const absl::Status done = container.ok() ? container->Delete(force) : container.status();
        return force && absl::IsNotFound(done) ? absl::OkStatus() : done;
      });
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

}  // namespace ocid
