// Container::Create: from a bundle to a process at its gate.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/cgroup/cgroup_owner.h"
#include "runtime/cgroup/default_devices.h"
#include "runtime/cgroup/unit_settings.h"
#include "runtime/cli/console.h"
#include "runtime/cli/container.h"
#include "runtime/cli/files.h"
#include "runtime/cli/log.h"
#include "runtime/cli/notify_socket.h"
#include "runtime/oci/json_pointer.h"
#include "runtime/oci/oci_upgrade.h"
#include "runtime/oci/oci_validate.h"
#include "runtime/oci/spec_edit.h"
#include "runtime/plan/launch_host.h"
#include "runtime/plan/plan_compile.h"
#include "runtime/seccomp/program_store.h"

namespace ocid {
namespace {

std::string Now() {
  timespec now = {};
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts = {};
  gmtime_r(&now.tv_sec, &parts);
  char text[64];
  // Not strftime(3), which reads the time zone's file first.
  snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ", parts.tm_year + 1900,
           parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
           now.tv_nsec);
  return text;
}

// Asking the name service takes longer than all the rest, and nearly everybody is root.
std::string UserName(uid_t uid) {
  if (uid == 0) return "root";
  const passwd* const entry = getpwuid(uid);
  return entry != nullptr ? entry->pw_name : absl::StrCat(uid);
}

ContainerRecord MakeRecord(const RuntimeOptions& runtime, const CreateOptions& options,
                           const std::string& bundle, const OciSpec& spec) {
  ContainerRecord record;
  record.id = options.id;
  record.oci_version = spec.OciVersion();
  record.bundle = bundle;
  const std::string root = spec.RootPath();
  record.rootfs = root.starts_with('/') ? root : absl::StrCat(bundle, "/", root);
  record.created = Now();
  record.owner = UserName(geteuid());
  record.cgroup_manager = std::string(CgroupManagerKindName(runtime.cgroup_manager));
  record.cgroups_path = spec.CgroupsPath();
  record.annotations = spec.Annotations();
  record.shares_mounts = !spec.HasNamespace("mount");
  record.shares_pids = !spec.HasNamespace("pid");
  record.joined_resctrl = ResolvePointer(spec.json(), "/linux/intelRdt") != nullptr;
  return record;
}

// A console goes somewhere: to the caller's socket, or to the caller, who must be there.
absl::Status CheckTerminal(const OciSpec& spec, const CreateOptions& options) {
  const bool has_socket = !options.console_socket.empty();
  if (spec.Terminal() && options.detached && !has_socket) {
    return absl::InvalidArgumentError(
        "cannot allocate tty if runc will detach without setting console socket");
  }
  if (!spec.Terminal() && has_socket) {
    return absl::InvalidArgumentError(
        "cannot use console socket if runc will not detach or allocate tty");
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> ListenAtGate(const StateDirectory& state) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string path = state.GatePath();
  if (path.size() >= sizeof(address.sun_path)) return absl::InternalError("gate: path too long");
  std::memcpy(address.sun_path, path.c_str(), path.size());
  UniqueFd listener(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!listener.valid() ||
      bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(listener.get(), 4) != 0) {
    return absl::ErrnoToStatus(errno, "listen at the gate");
  }
  return listener;
}

absl::StatusOr<LaunchPlan> Compile(const ContainerRecord& record, const OciSpec& spec,
                                   const Cgroup& cgroup, bool keep_keyring) {
  CreatePlanRequest request{.spec = spec.json(), .id = record.id, .bundle = record.bundle};
  request.host = ReadHostFacts();
  request.keep_keyring = keep_keyring;
  if (cgroup.exists()) request.cgroup_mounts = CgroupMountsOf(cgroup.Paths());
  const SeccompProgramStore store(SeccompFolder());
  SeccompCache programs(1, &store);
  request.seccomp_cache = &programs;
  absl::StatusOr<LaunchPlan> plan = CompileCreate(request);
  if (plan.ok()) {
    for (const std::string& warning : plan->warnings()) LogWarning(warning);
  }
  return plan;
}

// Whether `status` says that the caller may not, or that there is nowhere to.
bool IsDenied(const absl::Status& status) {
  return absl::IsPermissionDenied(status) || status.message().find("EACCES") != std::string::npos ||
         status.message().find("Permission denied") != std::string::npos ||
         status.message().find("Read-only file system") != std::string::npos;
}

// Whether something other than us looks at the container before it is complete.
bool HasHooks(const OciSpec& spec) {
  const nlohmann::json* const hooks = ResolvePointer(spec.json(), "/hooks");
  return hooks != nullptr && !hooks->empty();
}

// New namespaces that can be made before all else is known: the network's takes longer than all others
// together. Not where a user namespace shall own them, and not where hooks, or devices that are moved,
// need the helper in the host's.
uint64_t EarlyNamespaces(const OciSpec& spec) {
  const nlohmann::json* const devices = ResolvePointer(spec.json(), "/linux/netDevices");
  const nlohmann::json* const namespaces = ResolvePointer(spec.json(), "/linux/namespaces");
  if (HasHooks(spec) || (devices != nullptr && !devices->empty()) || namespaces == nullptr ||
      spec.HasNamespace("user")) {
    return 0;
  }
  uint64_t early = 0;
  for (const nlohmann::json& item : *namespaces) {
    if (item.contains("path")) continue;
    const std::string type = item.value("type", "");
    if (type == "network") early |= CLONE_NEWNET;
    if (type == "ipc") early |= CLONE_NEWIPC;
    if (type == "uts") early |= CLONE_NEWUTS;
  }
  return early;
}

// An ordinary user may not make cgroups, and needs none for a container without limits: the record
// then says that there are none.
//
// `later` gets what is to be set while the process sets itself up (null: nothing). Loading the program
// that restricts devices takes longer than all the rest, and nobody opens a device before the gate.
absl::StatusOr<std::unique_ptr<Cgroup>> MakeCgroup(const RuntimeOptions& runtime,
                                                   const OciSpec& spec, ContainerRecord& record,
                                                   nlohmann::json* later) {
  const CgroupManagerKind kind = runtime.cgroup_manager;
  const nlohmann::json* resources = ResolvePointer(spec.json(), "/linux/resources");
  const nlohmann::json none;
  const nlohmann::json& asked = resources == nullptr ? none : *resources;
  std::vector<UnitProperty> properties;
  if (kind == CgroupManagerKind::kSystemd) {
    absl::StatusOr<UnitAnnotations> unit = ParseUnitAnnotations(record.annotations);
    if (!unit.ok()) return unit.status();
    for (const std::string& name : unit->stripped) {
      LogWarning(absl::StrCat("/annotations: left out, not a property to be set so: ", name));
    }
    properties = std::move(unit->properties);
  }
  // Rules of the user's own stay where people look for them.
  const bool default_devices = !AllowsMoreThanDefaultDevices(asked);
  const absl::StatusOr<std::unique_ptr<CgroupManager>> manager =
      OpenCgroupManager(kind, runtime, /*prefer_device_programs=*/default_devices);
  if (!manager.ok()) return manager.status();
  nlohmann::json wanted =
      kind == CgroupManagerKind::kNone || runtime.rootless ? asked : WithDefaultDevices(asked);
  if (kind == CgroupManagerKind::kCgroupfs && default_devices && !runtime.rootless &&
      !HasHooks(spec)) {
    (*later)["devices"] = std::move(wanted["devices"]);
    wanted.erase("devices");
  }
  absl::StatusOr<std::unique_ptr<Cgroup>> made =
      (*manager)->Create(record.id, record.cgroups_path, wanted, properties);
  if (made.ok() || !runtime.rootless || !IsDenied(made.status())) return made;
  nlohmann::json limits = asked;
  // Rules for devices restrict nobody who may not make device nodes.
  if (limits.is_object()) limits.erase("devices");
  if (!limits.empty() && !limits.is_null()) {
    return Annotate(made.status(), "/linux/resources: rootless, and the cgroup cannot be made");
  }
  LogInfo(absl::StrCat("rootless: no cgroup: ", made.status().message()));
  record.cgroup_manager = std::string(CgroupManagerKindName(CgroupManagerKind::kNone));
  const absl::StatusOr<std::unique_ptr<CgroupManager>> without =
      OpenCgroupManager(CgroupManagerKind::kNone, runtime);
  if (!without.ok()) return without.status();
  return (*without)->Create(record.id, record.cgroups_path, nlohmann::json());
}

// sd_listen_fds(3): sockets that were passed to us are for the program, which is process 1 of its pid
// namespace. They come before what --preserve-fds counts.
unsigned PassListeningSockets(OciSpec& spec) {
  const char* const count = getenv("LISTEN_FDS");
  unsigned number = 0;
  if (count == nullptr || !absl::SimpleAtoi(count, &number) || number == 0 ||
      !spec.json().contains("process")) {
    return 0;
  }
  constexpr unsigned kMost = 1024;
  for (const auto& [name, value] :
       {std::pair<const char*, std::string>("LISTEN_FDS", absl::StrCat(number)),
        std::pair<const char*, std::string>("LISTEN_PID", "1")}) {
    const absl::Status ignored = SetEnv(name, value, spec.json());
    static_cast<void>(ignored);  // the names are fine
  }
  return std::min(number, kMost);
}

absl::Status HandOver(const CreateOptions& options, Launched* launched) {
  if (!options.console_socket.empty()) {
    const absl::Status sent = SendToSocket(options.console_socket, launched->console, "/dev/ptmx");
    if (!sent.ok()) return Annotate(sent, "console socket");
    launched->console.reset();
  }
  if (!options.pidfd_socket.empty()) {
    const absl::Status sent = SendToSocket(options.pidfd_socket, launched->pidfd, "pidfd");
    if (!sent.ok()) return Annotate(sent, "pidfd socket");
  }
  if (options.pid_file.empty()) return absl::OkStatus();
  return ReplaceFile(options.pid_file, absl::StrCat(launched->pid));
}

}  // namespace

std::string SeccompFolder() {
  if (geteuid() == 0) return "/run/ocirun-seccomp";
  const char* const runtime = getenv("XDG_RUNTIME_DIR");
  return runtime != nullptr && *runtime == '/' ? absl::StrCat(runtime, "/ocirun-seccomp") : "";
}

absl::StatusOr<std::unique_ptr<CgroupManager>> OpenCgroupManager(CgroupManagerKind kind,
                                                                 const RuntimeOptions& runtime,
                                                                 bool prefer_device_programs) {
  CgroupManagerOptions options;
  options.allow_missing_controllers = runtime.allow_missing_controllers;
  options.prefer_device_programs = prefer_device_programs;
  options.kind = kind;
  options.parent = "ocirun";
  options.short_lived = true;
  return CgroupManager::Open(options);
}

absl::StatusOr<OciSpec> ReadBundleSpec(const std::string& bundle, const std::string& config_file) {
  const std::string path = config_file.empty() ? absl::StrCat(bundle, "/config.json") : config_file;
  const absl::StatusOr<std::string> text = ReadWholeFile(path);
  if (!text.ok()) return text.status();
  absl::StatusOr<OciSpec> spec = OciSpec::Parse(*text);
  if (!spec.ok()) return Annotate(spec.status(), path);
  const absl::StatusOr<std::vector<std::string>> upgraded = UpgradeSpec(*spec);
  if (!upgraded.ok()) return Annotate(upgraded.status(), path);
  for (const std::string& change : *upgraded) LogInfo(absl::StrCat("upgrade: ", change));
  StripNulls(*spec);
  return spec;
}

absl::StatusOr<Created> Container::Create(const RuntimeOptions& runtime,
                                          const CreateOptions& options) {
  absl::StatusOr<LaunchHelper> helper = LaunchHelper::Spawn();
  if (!helper.ok()) return helper.status();
  char resolved[PATH_MAX];
  if (realpath(options.bundle.c_str(), resolved) == nullptr) {
    return absl::ErrnoToStatus(errno, absl::StrCat("bundle ", options.bundle));
  }
  const std::string bundle = resolved;
  absl::StatusOr<OciSpec> spec = ReadBundleSpec(bundle, options.config_file);
  if (!spec.ok()) return spec.status();
  absl::Status status = ViolationsToStatus(ValidateMeaning(*spec));
  if (!status.ok()) return status;
  status = CheckTerminal(*spec, options);
  if (!status.ok()) return status;
  helper->MakeNamespaces(EarlyNamespaces(*spec));

  absl::StatusOr<StateDirectory> state = StateDirectory::Create(runtime.root, options.id);
  if (!state.ok()) return state.status();
  Container container(runtime, *std::move(state), MakeRecord(runtime, options, bundle, *spec));
  absl::Cleanup undo = [&container] {
    const absl::Status torn_down = container.TearDown();
    if (!torn_down.ok()) LogWarning(torn_down.message());
    const absl::Status hooks = container.RunPoststopHooks();
    if (!hooks.ok()) LogWarning(hooks.message());
    const absl::Status removed = container.state_.Remove();
    if (!removed.ok()) LogWarning(removed.message());
  };
  ContainerRecord& record = container.record_;
  status = container.state_.WriteRecord(record);
  if (status.ok()) status = AddNotifySocket(container.state_, *spec);
  if (!status.ok()) return status;
  const unsigned listening = PassListeningSockets(*spec);
  nlohmann::json later;
  const absl::StatusOr<std::unique_ptr<Cgroup>> cgroup = MakeCgroup(runtime, *spec, record, &later);
  if (!cgroup.ok()) return cgroup.status();
  for (const std::string& warning : (*cgroup)->warnings()) LogWarning(warning);
  const std::optional<uid_t> owner = CgroupOwner(spec->json());
  if (owner && !runtime.rootless) status = (*cgroup)->GiveTo(*owner);
  if (!status.ok()) return status;
  absl::StatusOr<LaunchPlan> plan = Compile(record, *spec, **cgroup, options.keep_keyring);
  if (!plan.ok()) return plan.status();
  // Whoever stays opens the gate by the socket that it has anyway.
  UniqueFd gate;
  if (options.detached) {
    absl::StatusOr<UniqueFd> listener = ListenAtGate(container.state_);
    if (!listener.ok()) return listener.status();
    gate = *std::move(listener);
  }

  LaunchSettings settings;
  if ((*cgroup)->exists()) {
    settings.cgroup = (*cgroup)->unified_fd();
    settings.cgroup_procs = (*cgroup)->v1_procs_fds();
  }
  settings.gate = gate;
  settings.preserve = options.preserve_fds + listening;
  settings.adopt = !options.detached;
  status = helper->Order(*plan, settings);
  if (!status.ok()) return status;
  // While the process sets itself up.
  status = container.state_.WritePlan(*plan);
  if (status.ok()) status = container.state_.WriteSpec(*spec);
  if (status.ok() && !later.is_null()) status = (*cgroup)->Update(later);

  absl::StatusOr<Launched> launched = helper->Await(*plan);
  if (!launched.ok()) return launched.status();
  (*cgroup)->ReleaseAnchor();
  record.pid = launched->pid;
  record.start_time = ProcessStartTime(record.pid);
  // Before the gate opens: whom the program tells that it runs finds it running.
  if (status.ok()) status = container.state_.WriteRecord(record);
  if (status.ok()) status = HandOver(options, &*launched);
  if (!status.ok()) return status;
  std::move(undo).Cancel();
  return Created{std::move(container), *std::move(plan), *std::move(launched)};
}

}  // namespace ocid
