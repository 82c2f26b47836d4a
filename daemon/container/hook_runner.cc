#include "daemon/container/hook_runner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "nlohmann/json.hpp"
#include "runtime/base/error_details.h"
#include "runtime/base/unique_fd.h"

namespace ocid {
namespace {

struct Hook {
  std::string path;
  std::vector<std::string> args;
  std::vector<std::string> env;
  absl::Duration timeout;
};

absl::Status HookError(const Hook& hook, const std::string& cause) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "HOOK_FAILED",
                   absl::StrCat("poststop hook ", hook.path, ": ", cause), {{"hook", hook.path}});
}

std::vector<Hook> PoststopHooks(const OciSpec& spec, absl::Duration max_time) {
  std::vector<Hook> hooks;
  const auto all = spec.json().find("hooks");
  if (all == spec.json().end() || !all->is_object()) return hooks;
  const auto poststop = all->find("poststop");
  if (poststop == all->end() || !poststop->is_array()) return hooks;
  for (const nlohmann::json& entry : *poststop) {
    if (!entry.is_object()) continue;
    Hook hook;
    hook.timeout = max_time;
    for (const auto& [key, value] : entry.items()) {
      if (key == "path" && value.is_string()) hook.path = value.get<std::string>();
      if (key == "args") hook.args = StringsOf(&value);
      if (key == "env") hook.env = StringsOf(&value);
      if (key == "timeout" && value.is_number_integer() && value.get<int64_t>() > 0) {
        hook.timeout = std::min(max_time, absl::Seconds(value.get<int64_t>()));
      }
    }
    if (hook.args.empty()) hook.args.push_back(hook.path);
    hooks.push_back(std::move(hook));
  }
  return hooks;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

// An open file that reads as `bytes`.
UniqueFd FileOf(const std::string& bytes) {
  UniqueFd file(::memfd_create("hook-state", MFD_CLOEXEC));
  if (!file.valid()) return file;
  const ssize_t written = ::pwrite(file.get(), bytes.data(), bytes.size(), 0);
  if (written != static_cast<ssize_t>(bytes.size())) file.reset();
  return file;
}

// Returns 0 or an errno.
int Spawn(Hook& hook, BorrowedFd state, pid_t* pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  if (::posix_spawn_file_actions_init(&actions) != 0) return ENOMEM;
  const absl::Cleanup free_actions = [&] { ::posix_spawn_file_actions_destroy(&actions); };
  if (::posix_spawnattr_init(&attributes) != 0) return ENOMEM;
  const absl::Cleanup free_attributes = [&] { ::posix_spawnattr_destroy(&attributes); };
  // The daemon blocks signals that it waits for in a thread of its own: not the hook's business.
  sigset_t none, all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  int error = ::posix_spawnattr_setflags(&attributes,
                                         POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  if (error == 0) error = ::posix_spawnattr_setsigmask(&attributes, &none);
  if (error == 0) error = ::posix_spawnattr_setsigdefault(&attributes, &all);
  if (error == 0) error = ::posix_spawn_file_actions_adddup2(&actions, state.get(), 0);
  for (const int fd : {1, 2}) {
    if (error == 0) {
      error = ::posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_WRONLY, 0);
    }
  }
  if (error != 0) return error;
  std::vector<char*> args = Pointers(hook.args);
  std::vector<char*> env = Pointers(hook.env);
  return ::posix_spawn(pid, hook.path.c_str(), &actions, &attributes, args.data(), env.data());
}

absl::Status RunHook(Hook& hook, const std::string& state) {
  const UniqueFd input = FileOf(state);
  if (!input.valid()) return HookError(hook, strerrorname_np(errno));
  pid_t pid = 0;
  const int error = Spawn(hook, input, &pid);
  if (error != 0) return HookError(hook, strerrorname_np(error));
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const absl::Time deadline = absl::Now() + hook.timeout;
  bool in_time = false;
  while (pidfd.valid() && !in_time) {
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) break;
    pollfd wanted = {.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    // A millisecond more: rounded down, the last turn would not wait at all.
    const int64_t wait_ms = std::min<int64_t>(absl::ToInt64Milliseconds(left) + 1, 60'000);
    in_time = ::poll(&wanted, 1, static_cast<int>(wait_ms)) == 1;
  }
  if (!in_time) ::kill(pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!in_time) {
    return HookError(hook, absl::StrCat("not done after ", absl::FormatDuration(hook.timeout)));
  }
  if (WIFSIGNALED(status)) return HookError(hook, absl::StrCat("signal ", WTERMSIG(status)));
  if (WEXITSTATUS(status) != 0) {
    return HookError(hook, absl::StrCat("exit code ", WEXITSTATUS(status)));
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<absl::Status> RunPoststopHooks(const OciSpec& spec, const std::string& container_id,
                                           const std::string& bundle, absl::Duration max_time) {
  std::vector<absl::Status> failures;
  std::vector<Hook> hooks = PoststopHooks(spec, max_time);
  if (hooks.empty()) return failures;
  nlohmann::json state = {{"ociVersion", spec.OciVersion()},
                          {"id", container_id},
                          {"status", "stopped"},
                          {"bundle", bundle}};
  const std::map<std::string, std::string> annotations = spec.Annotations();
  if (!annotations.empty()) state["annotations"] = annotations;
  const std::string text =
      state.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace);
  for (Hook& hook : hooks) {
    absl::Status status = RunHook(hook, text);
    if (!status.ok()) failures.push_back(std::move(status));
  }
  return failures;
}

}  // namespace ocid
