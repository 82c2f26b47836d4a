// ocid: the daemon. `ocid --help` says what it does, its signals and its exit codes.
//
//   configuration -> directories and parts -> sockets -> recovery -> serve -> drain
//
// As a service of systemd it takes its socket from it (sd_listen_fds(3)), says when it is ready, and
// feeds the watchdog (sd_notify(3)). Elsewhere all of that does nothing.
//
// Signals are taken by the main thread alone, with sigwait: every thread is started with them
// blocked.

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "daemon/access/audit_log.h"
#include "daemon/base/log.h"
#include "daemon/base/timers.h"
#include "daemon/base/version.h"
#include "daemon/cdi/cdi_registry.h"
#include "daemon/compiler/pipeline_compiler.h"
#include "daemon/config.h"
#include "daemon/config_values.h"
#include "daemon/container/container_manager.h"
#include "daemon/host.h"
#include "daemon/image/image_rootfs.h"
#include "daemon/image/image_store.h"
#include "daemon/image/registry_source.h"
#include "daemon/nri/default_validator.h"
#include "daemon/nri/nri_host.h"
#include "daemon/observe/debug_dump.h"
#include "daemon/observe/metrics.h"
#include "daemon/server.h"
#include "daemon/spec/seccomp_default.h"
#include "daemon/watchdog.h"
#include "runtime/base/error_details.h"
#include "runtime/base/unique_fd.h"
#include "runtime/cgroup/cgroup_manager.h"
#include "runtime/host/supervisor_handle.h"
#include "runtime/plan/launch_host.h"

namespace ocid {
namespace {

enum ExitCode {
  kOk = 0,
  kFailed = 1,
  kBadConfiguration = 2,
  kAlreadyRunning = 3,
  kUnfinished = 4,
};

sigset_t HandledSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&signals, signal);
  return signals;
}

void PrepareProcess() {
  const sigset_t signals = HandledSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  // Whatever the caller's was: what must not be read by others says so where it is made.
  umask(0022);
  rlimit files = {};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
}

// Descriptors that containers, files and the daemon's own parts are left.
constexpr size_t kOwnDescriptors = 4096;

ConnectionTable::Limits ConnectionLimits(const DaemonConfig& config) {
  ConnectionTable::Limits limits;
  limits.total = static_cast<size_t>(config.max_connections);
  rlimit files = {};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY) {
    const size_t all = files.rlim_cur;
    limits.total = std::min(limits.total, std::max(all / 4, all - std::min(all, kOwnDescriptors)));
  }
  limits.per_peer = static_cast<size_t>(config.max_connections_per_peer);
  return limits;
}

ServerOptions DescribeServer(const DaemonConfig& config) {
  ServerOptions options;
  for (const std::string& address : config.listen) {
    if (IsTcpAddress(address)) {
      options.tcp_addresses.push_back(address);
    } else {
      options.socket_paths.push_back(*ParseUnixAddress(address));
    }
  }
  options.socket_group = config.listen_group;
  options.tls = {.certificate = config.tls_cert,
                 .key = config.tls_key,
                 .client_authorities = config.tls_client_ca,
                 .revocations = config.tls_crl};
  options.tls_directory = config.state + "/tls";
  options.roles = config.roles;
  options.limits = {.max_message_bytes = static_cast<int>(config.max_message_bytes),
                    .max_streams = config.max_streams,
                    .connections = ConnectionLimits(config),
                    .handshake_timeout = config.handshake_timeout,
                    .keepalive_interval = config.keepalive_interval,
                    .keepalive_timeout = config.keepalive_timeout,
                    .call_timeout = config.call_timeout};
  return options;
}

// Null: there is to be none.
absl::StatusOr<std::unique_ptr<AuditLog>> OpenAuditLog(const DaemonConfig& config) {
  if (config.audit_log == "off") return nullptr;
  return AuditLog::Open(
      {.path = config.audit_log.empty() ? config.root + "/audit/audit.log" : config.audit_log,
       .max_bytes = config.audit_log_bytes,
       .max_files = config.audit_log_files});
}

absl::StatusOr<std::unique_ptr<CgroupManager>> OpenCgroups(const DaemonConfig& config) {
  CgroupManagerOptions options;
  const absl::StatusOr<CgroupManagerKind> kind = ParseCgroupManagerKind(config.cgroup_manager);
  if (!kind.ok()) return kind.status();
  options.kind = *kind;
  if (!config.cgroup_parent.empty()) {
    options.parent = config.cgroup_parent;
    options.slice = config.cgroup_parent;
  }
  // Every container has rules for devices, and none should wait for a v1 hierarchy because of them.
  options.prefer_device_programs = true;
  options.allow_missing_controllers = config.allow_missing_controllers;
  return CgroupManager::Open(options);
}

// From the service manager. Before anything else opens a descriptor.
std::vector<UniqueFd> TakePassedSockets() {
  std::vector<UniqueFd> sockets;
  const int count = sd_listen_fds(/*unset_environment=*/1);
  for (int i = 0; i < count; ++i) sockets.emplace_back(SD_LISTEN_FDS_START + i);
  return sockets;
}

// Null where nobody watches. Half of the time that is allowed: sd_watchdog_enabled(3).
std::unique_ptr<Watchdog> StartWatchdog(Server& server, Timers& timers) {
  uint64_t allowed_us = 0;
  if (sd_watchdog_enabled(/*unset_environment=*/1, &allowed_us) <= 0) return nullptr;
  return std::make_unique<Watchdog>(
      timers, absl::Microseconds(allowed_us / 2),
      [&server](Watchdog::Result result) { server.Probe(std::move(result)); },
      [] { sd_notify(/*unset_environment=*/0, "WATCHDOG=1"); });
}

// Everything below the API, and the facts that the API tells about it.
struct Core {
  std::unique_ptr<CdiRegistry> devices;
  std::unique_ptr<ImageStore> images;
  std::unique_ptr<NriHost> plugins;  // null: no NRI
  std::unique_ptr<ContainerManager> containers;
  RegistryOptions registries;
  SystemFacts facts;
};

// Null: there is to be none.
absl::StatusOr<std::unique_ptr<NriHost>> OpenPlugins(const DaemonConfig& config) {
  const NriPlaces places = NriPlacesOf(config);
  if (places.socket.empty() && places.plugin_dir.empty()) return nullptr;
  absl::StatusOr<PluginPolicies> policies = PluginPolicies::Parse(config.nri_policies);
  if (!policies.ok()) return policies.status();
  NriHostOptions options;
  options.socket_path = places.socket;
  options.plugin_dir = places.plugin_dir;
  options.config_dir = config.nri_config_dir;
  options.policies = *std::move(policies);
  options.runtime_version = std::string(kVersion);
  return std::make_unique<NriHost>(std::move(options));
}

RegistryOptions DescribeRegistries(const DaemonConfig& config) {
  RegistryOptions options;
  options.auth_files = config.registry_auth_files;
  options.certs_dir = config.registry_certs_dir;
  options.plain_http_hosts = config.registry_plain_http;
  options.manifest_bytes = config.image_max_manifest_bytes;
  for (const std::string& text : config.registry_mirrors) {
    auto [host, url] = *ParseMirror(text);
    options.mirrors[host].push_back(std::move(url));
  }
  return options;
}

absl::StatusOr<Core> OpenCore(const DaemonConfig& config, Metrics* metrics, ExitCode& code) {
  Core core;
  core.devices = std::make_unique<CdiRegistry>(config.cdi_spec_dirs);
  absl::StatusOr<std::unique_ptr<CgroupManager>> cgroups = OpenCgroups(config);
  if (!cgroups.ok()) return cgroups.status();
  // Now, so that what is wrong with it is known before the first container.
  const absl::StatusOr<UniqueFd> supervisor_cgroup = (*cgroups)->SupervisorCgroup();
  if (!supervisor_cgroup.ok()) return supervisor_cgroup.status();
  const absl::StatusOr<std::string> supervisor = FindSupervisor(config.supervisor);
  if (!supervisor.ok()) return supervisor.status();
  absl::StatusOr<std::unique_ptr<SupervisorHost>> supervisors =
      SupervisorHost::Open({.supervisor_path = *supervisor});
  if (!supervisors.ok()) return supervisors.status();

  ImageLimits limits;
  limits.manifest_bytes = config.image_max_manifest_bytes;
  limits.blob_bytes = config.image_max_blob_bytes;
  limits.layer.stream_bytes = config.image_max_layer_bytes;
  absl::StatusOr<std::unique_ptr<ImageStore>> images =
      ImageStore::Open({.directory = config.root + "/images", .limits = limits});
  if (!images.ok()) {
    if (absl::IsFailedPrecondition(images.status())) code = kAlreadyRunning;
    return images.status();
  }
  core.images = *std::move(images);
  for (const std::string& warning : core.images->warnings()) {
    Log(LogLevel::kWarning, "images", {{"warning", warning}});
  }
  core.registries = DescribeRegistries(config);

  absl::StatusOr<std::unique_ptr<NriHost>> plugins = OpenPlugins(config);
  if (!plugins.ok()) return plugins.status();
  core.plugins = *std::move(plugins);

  core.facts = DescribeSystem(config, **cgroups);
  ContainerManagerOptions options;
  options.root_dir = config.root;
  options.state_dir = config.state;
  absl::StatusOr<std::unique_ptr<ImageRootfs>> rootfs =
      ImageRootfs::Open(*core.images, config.root + "/images/rootfs");
  if (!rootfs.ok()) return rootfs.status();
  const absl::StatusOr<DefaultValidatorOptions> validator =
      ParseDefaultValidator(config.nri_validator);
  if (!validator.ok()) return validator.status();
  absl::StatusOr<std::shared_ptr<const SeccompDefault>> seccomp =
      LoadSeccompDefault(config.seccomp_profile);
  if (!seccomp.ok()) return seccomp.status();
  options.compiler = MakePipelineCompiler(
      {.devices = core.devices.get(),
       .images = rootfs->get(),
       .image_seccomp = *std::move(seccomp),
       .host = ReadHostFacts(),
       .plugins = {.host = DescribeAdjustmentHost(**cgroups), .validator = *validator},
       .default_cgroups_path = [config, kind = (*cgroups)->kind()](const std::string& id) {
         return DefaultCgroupsPath(config, kind, id);
       },
       .plugins_override_request = config.plugins_override_request});
  options.rootfs = *std::move(rootfs);
  options.supervisors = *std::move(supervisors);
  options.cgroups = *std::move(cgroups);
  if (core.plugins != nullptr) options.plugins = &core.plugins->context();
  options.max_threads = config.max_threads;
  options.lane_capacity = static_cast<size_t>(config.container_queue);
  options.launch_timeout = config.launch_timeout;
  if (metrics != nullptr) {
    options.on_phase = [metrics](std::string_view phase, absl::Duration duration) {
      metrics->OnPhase(phase, duration);
    };
  }
  absl::StatusOr<std::unique_ptr<ContainerManager>> containers =
      ContainerManager::Open(std::move(options));
  if (!containers.ok()) {
    if (absl::IsFailedPrecondition(containers.status())) code = kAlreadyRunning;
    return containers.status();
  }
  core.containers = *std::move(containers);
  return core;
}

void LogRecovery(const RecoveryReport& report) {
  Log(LogLevel::kInfo, "recovered",
      {{"reattached", report.reattached},
       {"stopped", report.stopped},
       {"rolled_back", report.rolled_back},
       {"deleted", report.deleted},
       {"quarantined", report.quarantined.size()}});
  for (const std::string& name : report.quarantined) {
    Log(LogLevel::kError, "record set aside", {{"record", name}});
  }
  for (const std::string& warning : report.warnings) {
    Log(LogLevel::kWarning, "recovery", {{"warning", warning}});
  }
}

// SIGHUP: what can change while the daemon runs.
void Reload(int argc, const char* const* argv, Server& server) {
  const absl::StatusOr<Invocation> invocation = ReadInvocation(argc, argv);
  if (!invocation.ok()) {
    Log(LogLevel::kError, "configuration not read again", {{"error", invocation.status()}});
    return;
  }
  SetLogLevel(invocation->config.log_level);
  Log(LogLevel::kInfo, "log level",
      {{"level", std::string(LogLevelName(invocation->config.log_level))}});
  const absl::Status reloaded = server.Reload(invocation->config.roles);
  if (!reloaded.ok()) {
    Log(LogLevel::kError, "configuration not read again", {{"error", reloaded}});
    return;
  }
  Log(LogLevel::kInfo, "roles", {{"lines", invocation->config.roles.size()}});
}

// Returns the signal that ends the daemon.
int WaitForEnd(int argc, const char* const* argv, Server& server,
               const std::function<void()>& write_dump) {
  const sigset_t signals = HandledSignals();
  while (true) {
    int signal = 0;
    if (sigwait(&signals, &signal) != 0) continue;
    if (signal == SIGHUP) {
      Reload(argc, argv, server);
    } else if (signal == SIGUSR1) {
      write_dump();
    } else {
      return signal;
    }
  }
}

// From here on another signal to end is meant to be obeyed at once. What is under way is finished
// or undone by recovery.
void EndAtOnceOnSignal() {
  std::thread([] {
    sigset_t signals = HandledSignals();
    sigdelset(&signals, SIGHUP);
    sigdelset(&signals, SIGUSR1);
    int signal = 0;
    sigwait(&signals, &signal);
    Log(LogLevel::kWarning, "ended at once", {{"signal", strsignal(signal)}});
    _exit(kUnfinished);
  }).detach();
}

int Serve(const Invocation& invocation, int argc, const char* const* argv,
          std::vector<UniqueFd> passed_sockets) {
  const DaemonConfig& config = invocation.config;
  ExitCode code = kFailed;
  const auto fail = [&code](const absl::Status& status) {
    Log(LogLevel::kError, "cannot start", {{"error", status}});
    return code;
  };
  Log(LogLevel::kInfo, "starting",
      {{"version", std::string(kVersion)},
       {"root", config.root},
       {"state", config.state},
       {"config", invocation.config_file}});

  std::unique_ptr<Metrics> metrics;  // null: there are none
  if (!config.metrics_listen.empty()) {
    absl::StatusOr<std::unique_ptr<Metrics>> opened = Metrics::Open(config.metrics_listen);
    if (!opened.ok()) return fail(opened.status());
    metrics = *std::move(opened);
  }
  absl::StatusOr<Core> core = OpenCore(config, metrics.get(), code);
  if (!core.ok()) return fail(core.status());
  const absl::StatusOr<std::unique_ptr<AuditLog>> audit = OpenAuditLog(config);
  if (!audit.ok()) return fail(Annotate(audit.status(), "audit-log"));
  ServerOptions server_options = DescribeServer(config);
  server_options.passed_sockets = std::move(passed_sockets);
  server_options.audit = audit->get();
  server_options.observer = metrics.get();
  Metrics::Sources sources{.containers = core->containers.get(),
                           .devices = core->devices.get(),
                           .plugins = core->plugins.get(),
                           .audit = audit->get()};
  const auto dump = [&sources, &config] { return DebugDump(sources, DescribeConfig(config)); };
  server_options.debug_dump = dump;
  absl::StatusOr<std::unique_ptr<Server>> server = Server::Open(std::move(server_options));
  if (!server.ok()) {
    if (absl::IsAlreadyExists(server.status())) code = kAlreadyRunning;
    return fail(server.status());
  }
  sources.connections = [&server = **server] { return server.connections().Count(); };
  sources.refused_connections = [&server = **server] { return server.connections().refused(); };
  sources.queued_work = [&server = **server] { return server.QueuedWork(); };
  const absl::StatusOr<RecoveryReport> report = core->containers->Recover();
  if (!report.ok()) return fail(report.status());
  LogRecovery(*report);
  if (core->plugins != nullptr) {
    const absl::Status plugins = core->plugins->Start();
    if (!plugins.ok()) return fail(plugins);
  }
  const absl::Status serving =
      (*server)->Serve(*core->containers, *core->devices, *core->images, core->registries,
                       core->plugins.get(), core->facts);
  if (!serving.ok()) return fail(serving);
  for (const std::string& address : config.listen) {
    if (!IsTcpAddress(address)) Log(LogLevel::kInfo, "serving", {{"address", address}});
  }
  for (const std::string& address : (*server)->tcp_addresses()) {
    Log(LogLevel::kInfo, "serving", {{"address", address}});
  }
  if (metrics != nullptr) {
    metrics->Start(sources);
    Log(LogLevel::kInfo, "metrics", {{"address", config.metrics_listen}});
  }
  sd_notify(/*unset_environment=*/0, "READY=1");
  const std::unique_ptr<Timers> timers = MakeTimers();
  std::unique_ptr<Watchdog> watchdog = StartWatchdog(**server, *timers);

  const int signal = WaitForEnd(argc, argv, **server, [&dump, &config] {
    const absl::StatusOr<std::string> path = WriteDebugDump(config.state, dump());
    if (!path.ok()) {
      Log(LogLevel::kError, "debug dump", {{"error", path.status()}});
    } else {
      Log(LogLevel::kInfo, "debug dump", {{"path", *path}});
    }
  });
  if (metrics != nullptr) metrics->Stop();
  watchdog.reset();
  sd_notify(/*unset_environment=*/0, "STOPPING=1");
  Log(LogLevel::kInfo, "draining", {{"signal", strsignal(signal)}});
  EndAtOnceOnSignal();
  if (!(*server)->Drain(config.drain_timeout)) {
    Log(LogLevel::kWarning, "drain timeout: ended with operations under way");
    _exit(kUnfinished);
  }
  server->reset();
  if (core->plugins != nullptr) core->plugins->Stop();
  core->containers.reset();
  Log(LogLevel::kInfo, "ended");
  return kOk;
}

int Main(int argc, const char* const* argv) {
  const absl::StatusOr<Invocation> invocation = ReadInvocation(argc, argv);
  if (!invocation.ok()) {
    std::fprintf(stderr, "ocid: %s\n", std::string(invocation.status().message()).c_str());
    return kBadConfiguration;
  }
  if (invocation->action != Invocation::Action::kServe) {
    std::fputs(invocation->text.c_str(), stdout);
    return std::fflush(stdout) == 0 ? kOk : kFailed;
  }
  SetLogLevel(invocation->config.log_level);
  SetLogFormat(invocation->config.log_format);
  FindJournal();
  std::vector<UniqueFd> passed_sockets = TakePassedSockets();
  PrepareProcess();
  return Serve(*invocation, argc, argv, std::move(passed_sockets));
}

}  // namespace
}  // namespace ocid

int main(int argc, char** argv) { return ocid::Main(argc, argv); }
