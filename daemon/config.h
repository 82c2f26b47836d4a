// DaemonConfig: what `ocid` was told, by its command line and by its configuration file.
//
// Both have the same keys: `--log-level debug` is `log-level: debug` in the file, and an option
// that may be repeated is a list there. What the command line names wins over the file, which wins
// over the defaults. The file is YAML, one mapping at the top:
//
//   root: /srv/ocid
//   listen:
//     - unix:///run/ocid/ocid.sock
//   cdi-spec-dir: [/etc/cdi, /var/run/cdi]
//
// An unknown or repeated key and a value that does not fit are errors that name file, line and key.
// Values: thread-compatible. ReadInvocation reads the file and so blocks; the rest is pure.
#ifndef OCID_DAEMON_CONFIG_H_
#define OCID_DAEMON_CONFIG_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/base/log.h"

namespace ocid {

inline constexpr std::string_view kDefaultConfigFile = "/etc/ocid/ocid.yaml";
inline constexpr size_t kMaxConfigFileBytes = 1 << 20;

struct DaemonConfig {
  std::string root = "/var/lib/ocid";
  std::string state = "/run/ocid";
  std::vector<std::string> listen = {"unix:///run/ocid/ocid.sock"};
  std::string listen_group;  // empty: the daemon's own
  std::string tls_cert;      // these three: needed to listen on tcp://
  std::string tls_key;
  std::string tls_client_ca;
  std::string tls_crl;             // empty: none
  std::vector<std::string> roles;  // daemon/access/role_table.h
  std::string audit_log;           // empty: ROOT/audit/audit.log; "off": none
  uint64_t audit_log_bytes = 64 << 20;
  int audit_log_files = 8;
  std::string metrics_listen;  // empty: no metrics
  uint64_t max_message_bytes = 16 << 20;
  int max_streams = 1024;
  int max_connections = 16384;
  int max_connections_per_peer = 12288;
  absl::Duration handshake_timeout = absl::Seconds(10);
  absl::Duration keepalive_interval = absl::Seconds(60);
  absl::Duration keepalive_timeout = absl::Seconds(20);
  absl::Duration call_timeout = absl::Hours(1);
  std::string cgroup_manager = "auto";
  std::string cgroup_parent;  // empty: the manager's default
  bool allow_missing_controllers = false;
  std::vector<std::string> cdi_spec_dirs = {"/etc/cdi", "/var/run/cdi"};
  std::vector<std::string> nri_validator;  // ParseDefaultValidator; empty: there is none
  bool plugins_override_request = false;
  std::string supervisor;  // empty: found beside the daemon's executable
  std::string seccomp_profile = "default";  // or "unconfined", or an absolute path
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;
  int max_threads = 64;
  int container_queue = 64;
  std::string nri = "auto";    // auto, on, off
  std::string nri_socket;      // empty: with `on` the default, else none
  std::string nri_plugin_dir;  // likewise
  std::string nri_config_dir = "/etc/nri/conf.d";
  std::vector<std::string> nri_policies;  // daemon/nri/plugin_policy.h
  std::vector<std::string> registry_auth_files = {
      "/etc/ocid/auth.json", "/run/containers/0/auth.json", "/root/.config/containers/auth.json",
      "/root/.docker/config.json"};
  std::string registry_certs_dir = "/etc/ocid/certs.d";
  std::vector<std::string> registry_mirrors;     // config_values.h, ParseMirror
  std::vector<std::string> registry_plain_http;  // hosts
  uint64_t image_max_manifest_bytes = uint64_t{4} << 20;
  uint64_t image_max_blob_bytes = uint64_t{64} << 30;
  uint64_t image_max_layer_bytes = uint64_t{64} << 30;
  absl::Duration launch_timeout = absl::Seconds(120);
  absl::Duration drain_timeout = absl::Seconds(30);
};

struct Invocation {
  enum class Action {
    kServe,
    kCheckConfig,  // `text` is the configuration in force, as a configuration file
    kPrint,        // `text` is help or version
  };
  Action action = Action::kServe;
  DaemonConfig config;
  std::string config_file;  // that was read; empty: none
  std::string text;
};

// Where NRI plugins are looked for, by `nri` and its folders. Both empty: there is no NRI.
struct NriPlaces {
  std::string socket;
  std::string plugin_dir;
};
NriPlaces NriPlacesOf(const DaemonConfig& config);

// Reads the command line, and the configuration file that it names or that is at the default place.
absl::StatusOr<Invocation> ReadInvocation(int argc, const char* const* argv);

// Applies a configuration file's text to `config`; `file` is for error texts.
absl::Status ApplyConfigText(std::string_view text, std::string_view file, DaemonConfig& config);

// The configuration as a configuration file: applied to anything, it gives this configuration.
std::string DescribeConfig(const DaemonConfig& config);

// The path of "unix:///PATH". INVALID_ARGUMENT for any other kind of address.
absl::StatusOr<std::string> ParseUnixAddress(std::string_view address);

// "tcp://...": of TLS.
bool IsTcpAddress(std::string_view address);

}  // namespace ocid

#endif  // OCID_DAEMON_CONFIG_H_
