// The flags that create, run, update and `spec render` share, and the messages they make.
#ifndef OCID_CLIENT_CLI_CONTAINER_FLAGS_H_
#define OCID_CLIENT_CLI_CONTAINER_FLAGS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/command.h"
#include "proto/ocid/v1/container.pb.h"

namespace ocid::cli {

struct ResourceFlags {
  std::string memory;
  std::string memory_reservation;
  std::string memory_swap;
  std::string cpus;
  std::string cpu_shares;
  std::string cpuset_cpus;
  std::string cpuset_mems;
  std::string pids_limit;
};

void AddResourceFlags(CLI::App& app, ResourceFlags& flags);

// Writes what was given into `resources` and appends its path below `resources` to `paths`:
// "memory.limit_bytes". INVALID_ARGUMENT naming the flag.
absl::Status BuildResources(const ResourceFlags& flags, v1::Resources& resources,
                            std::vector<std::string>& paths);

struct ContainerFlags {
  std::string bundle;
  std::string image;
  std::string pull = "missing";  // or "always", "never"
  std::vector<std::string> devices;
  std::vector<std::string> env;
  std::string cwd;
  std::string user;
  std::string hostname;
  std::vector<std::string> mounts;
  std::vector<std::string> rlimits;
  ResourceFlags resources;
  std::vector<std::string> labels;
  std::vector<std::string> annotations;
  bool read_only = false;
  bool no_new_privileges = false;
  bool interactive = false;
  bool terminal = false;
  bool remove = false;
  std::string restart;
  std::string stop_signal;
  std::string log_max_size;
  std::string log_max_files;
  std::string log_format;
  std::string health_command;
  std::string health_interval;
  std::string health_timeout;
  std::string health_start_period;
  uint32_t health_retries = 0;
  std::string request_id;
  bool dry_run = false;
};

void AddContainerFlags(CLI::App& app, ContainerFlags& flags);

// What the daemon is asked for. Paths are made absolute here: the daemon does not know our working
// directory. `args` replaces the bundle's command where it is not empty. INVALID_ARGUMENT naming
// the flag that makes no sense.
absl::StatusOr<v1::ContainerConfig> BuildContainerConfig(const ContainerFlags& flags,
                                                         const std::vector<std::string>& args);

// "KEY=VALUE" and, with the value of our own environment, "KEY": what -e takes.
absl::Status AddEnvironment(const std::vector<std::string>& values,
                            google::protobuf::Map<std::string, std::string>& env);

// "--FLAG TEXT": the status of a value that does not parse.
absl::Status FlagError(const char* flag, const absl::Status& status);

}  // namespace ocid::cli

#endif  // OCID_CLIENT_CLI_CONTAINER_FLAGS_H_
