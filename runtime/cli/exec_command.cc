// ocirun exec: a process more in a running container.
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "runtime/base/error_details.h"
#include "runtime/cli/command.h"
#include "runtime/cli/console.h"
#include "runtime/cli/files.h"
#include "runtime/cli/log.h"
#include "runtime/oci/json_pointer.h"
#include "runtime/oci/json_text.h"
#include "runtime/oci/spec_edit.h"
#include "runtime/plan/launch_host.h"
#include "runtime/plan/plan_compile.h"
#include "runtime/seccomp/program_store.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

absl::StatusOr<uint32_t> ParseId(std::string_view text) {
  uint32_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", std::string(text), "\": must be a number of a user or group"));
  }
  return id;
}

absl::Status SetUser(std::string_view text, Json& process) {
  const size_t colon = text.find(':');
  const absl::StatusOr<uint32_t> uid = ParseId(text.substr(0, colon));
  if (!uid.ok()) return uid.status();
  process["user"]["uid"] = *uid;
  if (colon == std::string_view::npos) return absl::OkStatus();
  const absl::StatusOr<uint32_t> gid = ParseId(text.substr(colon + 1));
  if (!gid.ok()) return gid.status();
  process["user"]["gid"] = *gid;
  return absl::OkStatus();
}

void AddCapability(const std::string& name, Json& process) {
  for (const char* set : {"bounding", "effective", "permitted"}) {
    Json& list = process["capabilities"][set];
    if (!list.is_array()) list = Json::array();
    list.push_back(name);
  }
}

// The container's own process, changed by the flags.
absl::StatusOr<Json> ProcessOfFlags(const Flags& flags, const OciSpec& spec) {
  const Json* const own = ResolvePointer(spec.json(), "/process");
  if (own == nullptr) return absl::FailedPreconditionError("the container's spec has no process");
  Json document = {{"process", *own}};
  Json& process = document["process"];
  process.erase("terminal");
  process.erase("consoleSize");
  const std::vector<std::string>& words = flags.positionals();
  process["args"] = std::vector<std::string>(words.begin() + 1, words.end());
  if (flags.Switch("tty")) process["terminal"] = true;
  if (flags.Has("cwd")) process["cwd"] = flags.Value("cwd");
  if (flags.Switch("no-new-privs")) process["noNewPrivileges"] = true;
  if (flags.Has("apparmor")) process["apparmorProfile"] = flags.Value("apparmor");
  if (flags.Has("process-label")) process["selinuxLabel"] = flags.Value("process-label");
  for (const std::string& entry : flags.Values("env")) {
    const size_t equals = entry.find('=');
    if (equals == std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat("--env ", entry, ": must be NAME=VALUE"));
    }
    const absl::Status set = SetEnv(std::string_view(entry).substr(0, equals),
                                    std::string_view(entry).substr(equals + 1), document);
    if (!set.ok()) return set;
  }
  for (const std::string& name : flags.Values("cap")) AddCapability(name, process);
  if (flags.Has("user")) {
    const absl::Status set = SetUser(flags.Value("user"), process);
    if (!set.ok()) return set;
  }
  for (const std::string& list : flags.Values("additional-gids")) {
    for (const absl::string_view word : absl::StrSplit(list, ',')) {
      const absl::StatusOr<uint32_t> gid = ParseId(std::string_view(word.data(), word.size()));
      if (!gid.ok()) return gid.status();
      const absl::Status added = AddAdditionalGid(*gid, document);
      if (!added.ok()) return added;
    }
  }
  NormalizeNumbers(process);
  return std::move(process);
}

absl::StatusOr<Json> ReadProcess(const Flags& flags, const OciSpec& spec) {
  if (!flags.Has("process")) {
    if (flags.positionals().size() < 2) {
      return absl::InvalidArgumentError("exec: needs a container ID and a command");
    }
    return ProcessOfFlags(flags, spec);
  }
  const absl::StatusOr<std::string> text = ReadWholeFile(flags.Value("process"));
  if (!text.ok()) return text.status();
  absl::StatusOr<Json> process = ParseJson(*text);
  if (!process.ok()) return Annotate(process.status(), flags.Value("process"));
  if (!process->is_object()) return absl::InvalidArgumentError("--process: must be a JSON object");
  return process;
}

absl::Status CheckTerminal(const Json& process, const Flags& flags) {
  const Json* const terminal = FindMember(process, "terminal");
  const bool has_terminal = terminal != nullptr && *terminal == true;
  const bool has_socket = flags.Has("console-socket");
  if (has_terminal && flags.Switch("detach") && !has_socket) {
    return absl::InvalidArgumentError(
        "cannot allocate tty if runc will detach without setting console socket");
  }
  if (!has_terminal && has_socket) {
    return absl::InvalidArgumentError(
        "cannot use console socket if runc will not detach or allocate tty");
  }
  return absl::OkStatus();
}

absl::Status HandOver(const Flags& flags, Launched* launched) {
  if (flags.Has("console-socket")) {
    const absl::Status sent =
        SendToSocket(flags.Value("console-socket"), launched->console, "/dev/ptmx");
    if (!sent.ok()) return Annotate(sent, "console socket");
    launched->console.reset();
  }
  if (flags.Has("pidfd-socket")) {
    const absl::Status sent = SendToSocket(flags.Value("pidfd-socket"), launched->pidfd, "pidfd");
    if (!sent.ok()) return Annotate(sent, "pidfd socket");
  }
  if (!flags.Has("pid-file")) return absl::OkStatus();
  return ReplaceFile(flags.Value("pid-file"), absl::StrCat(launched->pid));
}

// The cgroup.procs files that the process shall be in: the container's own, but for the hierarchies
// for which --cgroup names a cgroup below.
struct ExecCgroups {
  std::vector<UniqueFd> owned;
  BorrowedFd unified;
  std::vector<BorrowedFd> procs;
};

bool HasController(std::string_view mounted, absl::string_view wanted) {
  for (const absl::string_view name :
       absl::StrSplit(absl::string_view(mounted.data(), mounted.size()), ',')) {
    if (name == wanted) return true;
  }
  return false;
}

absl::StatusOr<ExecCgroups> OpenCgroups(const Flags& flags, const Cgroup& cgroup) {
  ExecCgroups result;
  if (!cgroup.exists()) return result;
  if (!flags.Has("cgroup")) {
    result.unified = cgroup.unified_fd();
    result.procs = cgroup.v1_procs_fds();
    return result;
  }
  std::vector<CgroupPath> paths = cgroup.Paths();
  for (const std::string& value : flags.Values("cgroup")) {
    const size_t colon = value.find(':');
    const std::string controllers = colon == std::string::npos ? "" : value.substr(0, colon);
    const std::string below = colon == std::string::npos ? value : value.substr(colon + 1);
    if (absl::StrCat("/", below, "/").find("/../") != std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat("bad sub cgroup path: ", value));
    }
    for (const absl::string_view controller : absl::StrSplit(controllers, ',')) {
      bool found = false;
      for (CgroupPath& path : paths) {
        const bool named = path.controllers == absl::StrCat("name=", controller);
        if (!HasController(path.controllers, controller) && !named) continue;
        found = true;
        absl::StrAppend(&path.directory, "/", below);
      }
      if (!found && !controller.empty()) {
        return absl::InvalidArgumentError(
            absl::StrCat("--cgroup ", value, ": unknown controller ", controller));
      }
    }
  }
  for (const CgroupPath& path : paths) {
    const std::string name = absl::StrCat(path.directory, path.controllers.empty() ? "" : "/cgroup.procs");
    UniqueFd fd(open(name.c_str(), path.controllers.empty()
                                       ? O_RDONLY | O_DIRECTORY | O_CLOEXEC
                                       : O_WRONLY | O_CLOEXEC));
    if (!fd.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("open cgroup ", name));
    if (path.controllers.empty()) {
      result.unified = fd;
    } else {
      result.procs.push_back(fd);
    }
    result.owned.push_back(std::move(fd));
  }
  return result;
}

absl::Status CheckStatus(const Container& container, const Flags& flags) {
  const ContainerStatus status = container.Status();
  if (status == ContainerStatus::kStopped || status == ContainerStatus::kCreating) {
    return absl::FailedPreconditionError("cannot exec in a stopped container");
  }
  if (status == ContainerStatus::kPaused && !flags.Switch("ignore-paused")) {
    return absl::FailedPreconditionError("cannot exec in a paused container");
  }
  return absl::OkStatus();
}

absl::StatusOr<LaunchPlan> Compile(const Container& container, const OciSpec& spec,
                                   const Json& process) {
  const SeccompProgramStore store(SeccompFolder());
  SeccompCache programs(1, &store);
  absl::StatusOr<LaunchPlan> plan = CompileExec({.spec = spec.json(),
                                                 .process = process,
                                                 .id = container.record().id,
                                                 .bundle = container.record().bundle,
                                                 .host = ReadHostFacts(),
                                                 .seccomp_cache = &programs});
  if (plan.ok()) {
    for (const std::string& warning : plan->warnings()) LogWarning(warning);
  }
  return plan;
}

}  // namespace

std::vector<FlagSpec> ExecFlags() {
  return {{"process", "p", FlagKind::kValue, "file with an OCI process object"},
          {"detach", "d", FlagKind::kSwitch, "do not wait for the process"},
          {"tty", "t", FlagKind::kSwitch, "give the process a pseudo-terminal"},
          {"user", "u", FlagKind::kValue, "UID[:GID]"},
          {"additional-gids", "g", FlagKind::kValue, "more groups, separated by ','"},
          {"env", "e", FlagKind::kValue, "NAME=VALUE, may be repeated"},
          {"cwd", "", FlagKind::kValue, "working directory"},
          {"cap", "c", FlagKind::kValue, "a capability more, may be repeated"},
          {"no-new-privs", "", FlagKind::kSwitch, "set no_new_privs"},
          {"pid-file", "", FlagKind::kValue, "file that the process ID is written to"},
          {"console-socket", "", FlagKind::kValue, "socket that receives the console"},
          {"pidfd-socket", "", FlagKind::kValue, "socket that receives a pidfd of the process"},
          {"preserve-fds", "", FlagKind::kValue, "descriptors from 3 on that the process gets"},
          {"cgroup", "", FlagKind::kValue,
           "[CONTROLLER,...:]PATH below the container's cgroup, may be repeated"},
          {"ignore-paused", "", FlagKind::kSwitch, "also in a paused container"},
          {"process-label", "", FlagKind::kValue, "SELinux label"},
          {"apparmor", "", FlagKind::kValue, "AppArmor profile"},
          {"no-subreaper", "", FlagKind::kIgnoredSwitch, "accepted, without effect"}};
}

absl::StatusOr<int> RunExec(const Invocation& invocation) {
  const Flags& flags = invocation.flags;
  if (flags.positionals().empty()) return absl::InvalidArgumentError("exec: needs a container ID");
  const absl::StatusOr<Container> container =
      Container::Open(invocation.runtime, flags.positionals()[0]);
  if (!container.ok()) return container.status();
  absl::Status status = CheckStatus(*container, flags);
  if (!status.ok()) return status;
  absl::StatusOr<LaunchHelper> helper = LaunchHelper::Spawn();
  if (!helper.ok()) return helper.status();
  const absl::StatusOr<OciSpec> spec = container->state().ReadSpec();
  if (!spec.ok()) return spec.status();
  const absl::StatusOr<Json> process = ReadProcess(flags, *spec);
  if (!process.ok()) return process.status();
  status = CheckTerminal(*process, flags);
  if (!status.ok()) return status;
  const absl::StatusOr<LaunchPlan> plan = Compile(*container, *spec, *process);
  if (!plan.ok()) return plan.status();
  const absl::StatusOr<std::optional<int64_t>> preserve = flags.Number("preserve-fds");
  if (!preserve.ok()) return preserve.status();

  const UniqueFd join(static_cast<int>(syscall(SYS_pidfd_open, container->record().pid, 0)));
  if (!join.valid()) return absl::ErrnoToStatus(errno, "open the container's process");
  const absl::StatusOr<std::unique_ptr<Cgroup>> cgroup = container->OpenCgroup();
  LaunchSettings settings;
  if (!cgroup.ok()) return cgroup.status();
  const absl::StatusOr<ExecCgroups> cgroups = OpenCgroups(flags, **cgroup);
  if (!cgroups.ok()) return cgroups.status();
  settings.cgroup = cgroups->unified;
  settings.cgroup_procs = cgroups->procs;
  settings.join = join;
  settings.preserve = static_cast<unsigned>(preserve->value_or(0));
  settings.adopt = !flags.Switch("detach");

  std::optional<Foreground> foreground;
  if (settings.adopt) {
    absl::StatusOr<Foreground> entered = Foreground::Enter();
    if (!entered.ok()) return entered.status();
    foreground.emplace(*std::move(entered));
  }
  status = helper->Order(*plan, settings);
  if (!status.ok()) return status;
  absl::StatusOr<Launched> launched = helper->Await(*plan);
  if (launched.ok()) launched->container = container->record().pid;
  status = launched.ok() ? WaitUntilExecuted(plan->view(), &*launched) : launched.status();
  if (!status.ok()) {
    return MakeError(status.code(), "EXEC_FAILED",
                     std::string_view(status.message().data(), status.message().size()));
  }
  status = HandOver(flags, &*launched);
  if (!status.ok()) return status;
  if (!foreground.has_value()) return 0;
  return foreground->Wait(*launched);
}

}  // namespace ocid
