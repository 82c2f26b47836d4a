#include "client/cli/container_flags.h"

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/cli/terminal.h"
#include "client/cli/text.h"

namespace ocid::cli {
namespace {

using StringMap = google::protobuf::Map<std::string, std::string>;

constexpr uint64_t kCpuPeriodUs = 100'000;

absl::Status AddPairs(const char* flag, const std::vector<std::string>& values, StringMap& map) {
  for (const std::string& value : values) {
    auto pair = ParseKeyValue(value);
    if (!pair.ok()) return FlagError(flag, pair.status());
    map[pair->first] = std::move(pair->second);
  }
  return absl::OkStatus();
}

absl::Status SetSize(const char* flag, const std::string& text, const char* path,
                     std::vector<std::string>& paths, v1::Resources& resources,
                     void (v1::Resources::Memory::*set)(int64_t)) {
  if (text.empty()) return absl::OkStatus();
  const absl::StatusOr<int64_t> bytes = ParseSize(text);
  if (!bytes.ok()) return FlagError(flag, bytes.status());
  (resources.mutable_memory()->*set)(*bytes);
  paths.emplace_back(path);
  return absl::OkStatus();
}

absl::Status SetCpus(const std::string& text, v1::Resources& resources,
                     std::vector<std::string>& paths) {
  double cpus = 0;
  if (!absl::SimpleAtod(text, &cpus) || !(cpus >= 0.01 && cpus <= 65536)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--cpus \"", text, "\": expected a number of CPUs such as 1.5"));
  }
  resources.mutable_cpu()->set_quota_us(std::llround(cpus * kCpuPeriodUs));
  resources.mutable_cpu()->set_period_us(kCpuPeriodUs);
  paths.emplace_back("cpu.quota_us");
  paths.emplace_back("cpu.period_us");
  return absl::OkStatus();
}

absl::Status BuildLog(const ContainerFlags& flags, v1::ContainerConfig& config) {
  if (!flags.log_max_size.empty()) {
    const absl::StatusOr<int64_t> bytes = ParseSize(flags.log_max_size);
    if (!bytes.ok() || *bytes < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("--log-max-size \"", flags.log_max_size, "\": expected a size such as 64m"));
    }
    config.mutable_log()->set_max_size_bytes(static_cast<uint64_t>(*bytes));
  }
  if (!flags.log_max_files.empty()) {
    uint32_t files = 0;
    if (!absl::SimpleAtoi(flags.log_max_files, &files) || files == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("--log-max-files \"", flags.log_max_files, "\": expected a number from 1"));
    }
    config.mutable_log()->set_max_files(files);
  }
  if (!flags.log_format.empty()) {
    config.mutable_log()->set_format(flags.log_format == "cri" ? v1::LogConfig::CRI
                                                               : v1::LogConfig::JSON_LINES);
  }
  return absl::OkStatus();
}

absl::Status BuildHealthCheck(const ContainerFlags& flags, v1::ContainerConfig& config) {
  const bool refines = !flags.health_interval.empty() || !flags.health_timeout.empty() ||
                       !flags.health_start_period.empty() || flags.health_retries != 0;
  if (flags.health_command.empty()) {
    return refines ? absl::InvalidArgumentError("--health-...: without --health-cmd")
                   : absl::OkStatus();
  }
  v1::HealthCheck& check = *config.mutable_health_check();
  for (const char* arg : {"/bin/sh", "-c"}) check.add_args(arg);
  check.add_args(flags.health_command);
  check.set_retries(flags.health_retries);
  struct Period {
    const char* flag;
    const std::string& text;
    google::protobuf::Duration* (v1::HealthCheck::*field)();
  };
  for (const Period& period :
       {Period{"health-interval", flags.health_interval, &v1::HealthCheck::mutable_interval},
        Period{"health-timeout", flags.health_timeout, &v1::HealthCheck::mutable_timeout},
        Period{"health-start-period", flags.health_start_period,
               &v1::HealthCheck::mutable_start_period}}) {
    if (period.text.empty()) continue;
    const absl::StatusOr<absl::Duration> duration = ParseDuration(period.text);
    if (!duration.ok()) return FlagError(period.flag, duration.status());
    absl::Duration rest;
    google::protobuf::Duration& field = *(check.*period.field)();
    field.set_seconds(absl::IDivDuration(*duration, absl::Seconds(1), &rest));
    field.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> WorkingDirectory() {
  std::error_code error;
  std::string directory = std::filesystem::current_path(error).string();
  if (error) return absl::InvalidArgumentError("working directory: " + error.message());
  return directory;
}

absl::Status BuildSource(const ContainerFlags& flags, const std::string& working_directory,
                         v1::ContainerConfig& config) {
  if (!flags.image.empty()) {
    if (!flags.bundle.empty()) {
      return absl::InvalidArgumentError("--bundle and --image exclude each other");
    }
    config.set_image(flags.image);
    return absl::OkStatus();
  }
  const std::filesystem::path bundle = flags.bundle.empty() ? "." : flags.bundle;
  std::string path = (working_directory / bundle).lexically_normal().string();
  if (path.size() > 1 && path.ends_with('/')) path.pop_back();
  config.set_bundle(path);
  return absl::OkStatus();
}

absl::Status BuildProcess(const ContainerFlags& flags, v1::ContainerConfig& config) {
  if (const absl::Status status = AddEnvironment(flags.env, *config.mutable_env()); !status.ok()) {
    return status;
  }
  if (!flags.cwd.empty()) config.set_cwd(flags.cwd);
  if (!flags.hostname.empty()) config.set_hostname(flags.hostname);
  if (!flags.user.empty()) {
    absl::StatusOr<v1::User> user = ParseUser(flags.user);
    if (!user.ok()) return FlagError("user", user.status());
    *config.mutable_user() = *std::move(user);
  }
  for (const std::string& text : flags.rlimits) {
    absl::StatusOr<v1::Rlimit> rlimit = ParseRlimit(text);
    if (!rlimit.ok()) return FlagError("ulimit", rlimit.status());
    *config.add_rlimits() = *std::move(rlimit);
  }
  if (flags.terminal) config.set_terminal(true);
  if (flags.read_only) config.set_read_only_rootfs(true);
  if (flags.no_new_privileges) config.set_no_new_privileges(true);
  config.set_open_stdin(flags.interactive);
  return absl::OkStatus();
}

}  // namespace

absl::Status FlagError(const char* flag, const absl::Status& status) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, " ", status.message()));
}

absl::Status AddEnvironment(const std::vector<std::string>& values, StringMap& env) {
  for (const std::string& value : values) {
    const size_t equals = value.find('=');
    if (value.empty() || equals == 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--env \"", value, "\": expected KEY=VALUE, or KEY to pass our own value on"));
    }
    if (equals != std::string::npos) {
      env[value.substr(0, equals)] = value.substr(equals + 1);
    } else if (const char* own = std::getenv(value.c_str()); own != nullptr) {
      env[value] = own;
    }
  }
  return absl::OkStatus();
}

void AddResourceFlags(CLI::App& app, ResourceFlags& flags) {
  app.add_option("--memory", flags.memory, "Memory limit: 512m, 2g, -1 for none")
      ->type_name("SIZE");
  app.add_option("--memory-reservation", flags.memory_reservation,
                 "Memory kept from reclaim while others have more")
      ->type_name("SIZE");
  app.add_option("--memory-swap", flags.memory_swap, "Memory and swap together; -1 for no limit")
      ->type_name("SIZE");
  app.add_option("--cpus", flags.cpus, "CPU time: 1.5 is one and a half CPUs")->type_name("N");
  app.add_option("--cpu-shares", flags.cpu_shares, "Weight against others, 2 to 262144")
      ->type_name("N");
  app.add_option("--cpuset-cpus", flags.cpuset_cpus, "CPUs to run on: 0-3,7")->type_name("LIST");
  app.add_option("--cpuset-mems", flags.cpuset_mems, "Memory nodes to use: 0-1")->type_name("LIST");
  app.add_option("--pids-limit", flags.pids_limit, "Processes and threads at most; -1 for no limit")
      ->type_name("N");
}

absl::Status BuildResources(const ResourceFlags& flags, v1::Resources& resources,
                            std::vector<std::string>& paths) {
  using Memory = v1::Resources::Memory;
  absl::Status status = SetSize("memory", flags.memory, "memory.limit_bytes", paths, resources,
                                &Memory::set_limit_bytes);
  status.Update(SetSize("memory-reservation", flags.memory_reservation, "memory.reservation_bytes",
                        paths, resources, &Memory::set_reservation_bytes));
  status.Update(SetSize("memory-swap", flags.memory_swap, "memory.swap_bytes", paths, resources,
                        &Memory::set_swap_bytes));
  if (!flags.cpus.empty()) status.Update(SetCpus(flags.cpus, resources, paths));
  if (!flags.cpu_shares.empty()) {
    uint64_t shares = 0;
    if (!absl::SimpleAtoi(flags.cpu_shares, &shares)) {
      status.Update(absl::InvalidArgumentError(
          absl::StrCat("--cpu-shares \"", flags.cpu_shares, "\": expected a number")));
    }
    resources.mutable_cpu()->set_shares(shares);
    paths.emplace_back("cpu.shares");
  }
  if (!flags.cpuset_cpus.empty()) {
    resources.mutable_cpu()->set_cpus(flags.cpuset_cpus);
    paths.emplace_back("cpu.cpus");
  }
  if (!flags.cpuset_mems.empty()) {
    resources.mutable_cpu()->set_mems(flags.cpuset_mems);
    paths.emplace_back("cpu.mems");
  }
  if (!flags.pids_limit.empty()) {
    int64_t limit = 0;
    if (!absl::SimpleAtoi(flags.pids_limit, &limit) || limit < -1) {
      status.Update(absl::InvalidArgumentError(
          absl::StrCat("--pids-limit \"", flags.pids_limit, "\": expected a number, or -1")));
    }
    resources.mutable_pids()->set_limit(limit);
    paths.emplace_back("pids.limit");
  }
  return status;
}

void AddContainerFlags(CLI::App& app, ContainerFlags& flags) {
  app.add_option("--bundle", flags.bundle,
                 "Folder with config.json and, usually, rootfs. Default: the working directory")
      ->type_name("DIR");
  app.add_option("--image", flags.image, "An image of the daemon's store, in place of a bundle")
      ->type_name("NAME");
  app.add_option("--pull", flags.pull,
                 "When to pull the image: missing (default: where the store has no image of the name\n"
                 "and the name begins with its registry's host), always or never")
      ->check(CLI::IsMember({"missing", "always", "never"}))
      ->type_name("WHEN");
  AddRepeated(app, "--device", flags.devices, "CDI device to inject: vendor.com/class=name")
      ->type_name("QUALIFIED");
  AddRepeated(app, "-e,--env", flags.env, "Set a variable; KEY alone passes our own value on")
      ->type_name("KEY=VALUE");
  app.add_option("--cwd", flags.cwd, "Working directory in the container")->type_name("DIR");
  app.add_option("-u,--user", flags.user, "User to run as, in numbers")->type_name("UID[:GID]");
  app.add_option("--hostname", flags.hostname, "Host name in the container")->type_name("NAME");
  AddRepeated(
      app, "-v,--mount", flags.mounts,
      "type=bind,src=/srv,dst=/data,ro or /srv:/data:ro; tmpfs: type=tmpfs,dst=/tmp,size=64m")
      ->type_name("MOUNT");
  AddRepeated(app, "--ulimit", flags.rlimits, "Resource limit: nofile=1024:2048")
      ->type_name("NAME=SOFT[:HARD]");
  AddResourceFlags(app, flags.resources);
  AddRepeated(app, "--label", flags.labels, "Label for filters; the container does not see it")
      ->type_name("KEY=VALUE");
  AddRepeated(app, "--annotation", flags.annotations, "Annotation of the OCI spec")
      ->type_name("KEY=VALUE");
  app.add_flag("--read-only", flags.read_only, "Make the root file system read-only");
  app.add_flag("--no-new-privileges", flags.no_new_privileges,
               "No program can gain privileges by set-user-ID or file capabilities");
  app.add_flag("-i,--interactive", flags.interactive, "Keep standard input open");
  app.add_flag("-t,--tty", flags.terminal, "Give it a terminal");
  app.add_flag("--rm", flags.remove, "Delete the container when it stops");
  app.add_option("--restart", flags.restart, "no, on-failure[:N], always or unless-stopped")
      ->type_name("POLICY");
  app.add_option("--health-cmd", flags.health_command,
                 "Shell command whose exit code 0 means healthy: run inside from time to time")
      ->type_name("COMMAND");
  app.add_option("--health-interval", flags.health_interval, "Between two of them. Default: 30")
      ->type_name("SECONDS");
  app.add_option("--health-timeout", flags.health_timeout,
                 "One that takes longer is killed and has failed. Default: 30")
      ->type_name("SECONDS");
  app.add_option("--health-start-period", flags.health_start_period,
                 "Failures so soon after the start do not count. Default: 0")
      ->type_name("SECONDS");
  app.add_option("--health-retries", flags.health_retries,
                 "Failures in a row that mean unhealthy. Default: 3")
      ->type_name("N");
  app.add_option("--stop-signal", flags.stop_signal, "What stop sends first. Default: SIGTERM")
      ->type_name("SIGNAL");
  app.add_option("--log-max-size", flags.log_max_size, "Rotate the log at this size. Default: 64m")
      ->type_name("SIZE");
  app.add_option("--log-max-files", flags.log_max_files, "Log files to keep. Default: 4")
      ->type_name("N");
  app.add_option("--log-format", flags.log_format, "json (lines), or cri as Kubernetes reads it")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"json", "cri"}))
      ->type_name("FORMAT");
  app.add_option("--request-id", flags.request_id,
                 "Makes the request safe to repeat: the same id does nothing twice")
      ->type_name("ID");
  app.add_flag("--dry-run", flags.dry_run, "Check everything, change nothing");
}

absl::StatusOr<v1::ContainerConfig> BuildContainerConfig(const ContainerFlags& flags,
                                                         const std::vector<std::string>& args) {
  const absl::StatusOr<std::string> working_directory = WorkingDirectory();
  if (!working_directory.ok()) return working_directory.status();
  v1::ContainerConfig config;
  std::vector<std::string> paths;
  absl::Status status = BuildSource(flags, *working_directory, config);
  status.Update(BuildProcess(flags, config));
  status.Update(BuildLog(flags, config));
  status.Update(BuildHealthCheck(flags, config));
  status.Update(AddPairs("label", flags.labels, *config.mutable_labels()));
  status.Update(AddPairs("annotation", flags.annotations, *config.mutable_annotations()));
  v1::Resources resources;
  status.Update(BuildResources(flags.resources, resources, paths));
  if (!paths.empty()) *config.mutable_resources() = std::move(resources);
  for (const std::string& text : flags.mounts) {
    absl::StatusOr<v1::Mount> mount = ParseMount(text, *working_directory);
    if (!mount.ok()) return FlagError("mount", mount.status());
    *config.add_mounts() = *std::move(mount);
  }
  if (!flags.restart.empty()) {
    absl::StatusOr<v1::RestartPolicy> policy = ParseRestartPolicy(flags.restart);
    if (!policy.ok()) return FlagError("restart", policy.status());
    *config.mutable_restart_policy() = *std::move(policy);
  }
  if (!status.ok()) return status;
  for (const std::string& device : flags.devices) config.add_cdi_devices(device);
  for (const std::string& arg : args) config.add_args(arg);
  config.set_stop_signal(flags.stop_signal);
  config.set_auto_delete(flags.remove);
  return config;
}

}  // namespace ocid::cli
