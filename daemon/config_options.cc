#include "daemon/config_options.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "daemon/access/role_table.h"
#include "daemon/base/log.h"
#include "daemon/config_values.h"
#include "daemon/image/manifest.h"
#include "daemon/nri/default_validator.h"
#include "daemon/nri/plugin_policy.h"
#include "daemon/tcp_address.h"

namespace ocid {
namespace {

using Config = DaemonConfig;
using Kind = ConfigOption::Kind;
using Values = ConfigOption::Values;

constexpr uint64_t kMostBytes = uint64_t{1} << 50;

// ---- kinds of values

using Check = absl::Status (*)(const std::string& value);

ConfigOption One(const char* name, const char* value_name, const char* help,
                 std::function<absl::Status(Config&, const std::string&)> set,
                 std::function<std::string(const Config&)> get) {
  return {name, value_name, help, Kind::kValue,
          [set = std::move(set)](Config& c, const Values& values) { return set(c, values.back()); },
          [get = std::move(get)](const Config& c) { return Values{get(c)}; }};
}

ConfigOption Text(const char* name, const char* value_name, const char* help,
                  std::string Config::*field, Check check) {
  return One(
      name, value_name, help,
      [field, check](Config& c, const std::string& value) {
        const absl::Status checked = check(value);
        if (checked.ok()) c.*field = value;
        return checked;
      },
      [field](const Config& c) { return c.*field; });
}

ConfigOption Path(const char* name, const char* value_name, const char* help,
                  std::string Config::*field) {
  return Text(name, value_name, help, field, CheckAbsolutePath);
}

ConfigOption Number(const char* name, const char* help, int Config::*field, int min, int max) {
  return One(
      name, "N", help,
      [=](Config& c, const std::string& value) { return SetNumber(c.*field, value, min, max); },
      [field](const Config& c) { return absl::StrCat(c.*field); });
}

ConfigOption Size(const char* name, const char* help, uint64_t Config::*field, uint64_t min,
                  uint64_t max) {
  return One(
      name, "SIZE", help,
      [=](Config& c, const std::string& value) { return SetSize(c.*field, value, min, max); },
      [field](const Config& c) { return FormatSize(c.*field); });
}

ConfigOption Duration(const char* name, const char* help, absl::Duration Config::*field,
                      absl::Duration min = absl::ZeroDuration(),
                      absl::Duration max = absl::Hours(24)) {
  return One(
      name, "DURATION", help,
      [=](Config& c, const std::string& value) { return SetDuration(c.*field, value, min, max); },
      [field](const Config& c) { return absl::FormatDuration(c.*field); });
}

ConfigOption Switch(const char* name, const char* help, bool Config::*field) {
  ConfigOption option = One(
      name, "BOOL", help,
      [field](Config& c, const std::string& value) { return SetBool(c.*field, value); },
      [field](const Config& c) -> std::string { return c.*field ? "true" : "false"; });
  option.kind = Kind::kSwitch;
  return option;
}

ConfigOption List(const char* name, const char* value_name, const char* help, Values Config::*field,
                  Check check) {
  return {name, value_name, help, Kind::kList,
          [field, check](Config& c, const Values& values) {
            for (const std::string& value : values) {
              const absl::Status checked = check(value);
              if (!checked.ok()) return checked;
            }
            c.*field = values;
            return absl::OkStatus();
          },
          [field](const Config& c) { return c.*field; }};
}

// ---- what values may be

absl::Status CheckNothing(const std::string& /*value*/) { return absl::OkStatus(); }

template <typename... Words>
absl::Status CheckIsOneOf(const std::string& value, absl::string_view what, Words... words) {
  if (((value == words) || ...)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(QuoteForLog(value), what));
}

absl::Status CheckAddress(const std::string& value) {
  return IsTcpAddress(value) ? ParseTcpAddress(value).status() : ParseUnixAddress(value).status();
}

absl::Status CheckHostAndPort(const std::string& value) {
  if (ParseTcpAddress(absl::StrCat("tcp://", value)).ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(QuoteForLog(value), " is not HOST:PORT such as 127.0.0.1:9464"));
}

absl::Status CheckRole(const std::string& value) { return RoleTable::CheckForm(value); }

absl::Status CheckMirror(const std::string& value) { return ParseMirror(value).status(); }

absl::Status CheckValidator(const std::string& value) {
  return ParseDefaultValidator({value}).status();
}

absl::Status CheckPathOrOff(const std::string& value) {
  return value == "off" ? absl::OkStatus() : CheckAbsolutePath(value);
}

absl::Status CheckSeccompProfile(const std::string& value) {
  return value == "default" || value == "unconfined" ? absl::OkStatus() : CheckAbsolutePath(value);
}

absl::Status CheckCgroupManager(const std::string& value) {
  return CheckIsOneOf(value, " is not a cgroup manager (auto, systemd, cgroupfs, none)", "auto",
                      "systemd", "cgroupfs", "none");
}

absl::Status CheckNri(const std::string& value) {
  return CheckIsOneOf(value, " is none of auto, on, off", "auto", "on", "off");
}

// A plugin has one policy: they are read together.
ConfigOption NriPolicies() {
  ConfigOption option = List(
      "nri-policy", "NAME,...",
      "Of a plugin, or of all with *: required, fail-open or fail-closed, timeout=DURATION, "
      "fields=FIELD+FIELD (what it may touch); may be repeated",
      &Config::nri_policies, CheckNothing);
  option.set = [](Config& c, const Values& values) {
    c.nri_policies = values;
    return PluginPolicies::Parse(values).status();
  };
  return option;
}

template <typename T>
ConfigOption Word(const char* name, const char* value_name, const char* help, T Config::*field,
                  absl::StatusOr<T> (*parse)(std::string_view), std::string_view (*format)(T)) {
  return One(
      name, value_name, help,
      [=](Config& c, const std::string& value) {
        const absl::StatusOr<T> parsed = parse(value);
        if (parsed.ok()) c.*field = *parsed;
        return parsed.status();
      },
      [=](const Config& c) { return std::string(format(c.*field)); });
}

}  // namespace

const std::vector<ConfigOption>& ConfigOptions() {
  static const auto* const kOptions = new std::vector<ConfigOption>{
      Path("root", "DIR", "What must survive a reboot: records, logs, exit codes", &Config::root),
      Path("state", "DIR", "What lasts as long as this boot; best on tmpfs", &Config::state),
      List("listen", "ADDRESS",
           "Where to serve the API: unix:///PATH, or tcp://HOST:PORT with the tls- options; may be "
           "repeated",
           &Config::listen, CheckAddress),
      Text("listen-group", "GROUP", "Group that may connect; default: the daemon's own",
           &Config::listen_group, CheckNothing),
      Path("tls-cert", "PATH",
           "PEM: the daemon's certificate, then those between it and its authority",
           &Config::tls_cert),
      Path("tls-key", "PATH", "PEM: the private key of tls-cert, without a passphrase",
           &Config::tls_key),
      Path("tls-client-ca", "PATH", "PEM: the authorities whose clients may connect",
           &Config::tls_client_ca),
      Path("tls-crl", "PATH", "PEM: those authorities' lists of revoked certificates",
           &Config::tls_crl),
      List("role", "ROLE=KIND:VALUE",
           "Who is viewer, operator, admin or none, by uid, gid, user, group (unix socket), cn, ou, "
           "san (certificate); the first line that fits decides; may be repeated",
           &Config::roles, CheckRole),
      Text("audit-log", "PATH",
           "Who changed what and who was refused; off: none; default: below root",
           &Config::audit_log, CheckPathOrOff),
      Size("audit-log-size", "Of one file of the audit log, 64 KiB to 4 GiB",
           &Config::audit_log_bytes, 64 << 10, 4ull << 30),
      Number("audit-log-files", "How many files of the audit log are kept, 1 to 1000",
             &Config::audit_log_files, 1, 1000),
      Text("metrics-listen", "HOST:PORT",
           "Where Prometheus finds /metrics, such as 127.0.0.1:9464, in plain HTTP; default: nowhere",
           &Config::metrics_listen, CheckHostAndPort),
      Size("max-message-size", "Of a request or an answer, 4 MiB to 256 MiB",
           &Config::max_message_bytes, 4 << 20, 256 << 20),
      Number("max-streams", "Calls at the same time on one connection, 1 to 100000",
             &Config::max_streams, 1, 100000),
      Number("max-connections", "In all, 16 to 1000000; fewer where descriptors are fewer",
             &Config::max_connections, 16, 1000000),
      Number("max-connections-per-peer", "Of one user of this host or one IP address, 1 to 1000000",
             &Config::max_connections_per_peer, 1, 1000000),
      Duration("handshake-timeout", "For TLS and the first frames of a TCP client, 1s to 10m",
               &Config::handshake_timeout, absl::Seconds(1), absl::Minutes(10)),
      Duration("keepalive-interval", "Between pings to a client with calls under way, 10s to 24h",
               &Config::keepalive_interval, absl::Seconds(10), absl::Hours(24)),
      Duration("keepalive-timeout", "How long its answer may take, 1s to 10m",
               &Config::keepalive_timeout, absl::Seconds(1), absl::Minutes(10)),
      Duration("call-timeout",
               "How long a call may wait for its operation, which goes on, 1s to 24h; Wait may for "
               "ever",
               &Config::call_timeout, absl::Seconds(1), absl::Hours(24)),
      Text("cgroup-manager", "NAME", "auto, systemd, cgroupfs or none", &Config::cgroup_manager,
           CheckCgroupManager),
      Text("cgroup-parent", "PATH", "cgroupfs: where containers go; systemd: the slice",
           &Config::cgroup_parent, CheckNothing),
      Switch("allow-missing-controllers",
             "A limit that no cgroup controller of this host can enforce is a warning, not an error",
             &Config::allow_missing_controllers),
      List("cdi-spec-dir", "DIR", "CDI files, in rising priority; may be repeated",
           &Config::cdi_spec_dirs, CheckAbsolutePath),
      Text("nri", "WHEN",
           "NRI plugins: auto (where a socket or a folder is named), on (also at the usual places: "
           "/var/run/nri/nri.sock, /opt/nri/plugins), off",
           &Config::nri, CheckNri),
      Path("nri-socket", "PATH", "Where NRI plugins connect", &Config::nri_socket),
      Path("nri-plugin-dir", "DIR", "NRI plugins to launch: executables called NN-name",
           &Config::nri_plugin_dir),
      Path("nri-config-dir", "DIR", "Configurations of NRI plugins: NN-name.conf, name.conf",
           &Config::nri_config_dir),
      NriPolicies(),
      List("nri-validator", "OPTION",
           "what NRI plugins may not do, and which must be there: reject_namespace_adjustment, ..., "
           "required_plugins=NAME+NAME; may be repeated",
           &Config::nri_validator, CheckValidator),
      Switch("plugins-override-request",
             "NRI plugins may replace what the caller of create asked for; each time is recorded",
             &Config::plugins_override_request),
      Text("seccomp-profile", "PROFILE",
           "Of containers of images: default (built in), unconfined, or the path of a profile",
           &Config::seccomp_profile, CheckSeccompProfile),
      List("registry-auth-file", "PATH",
           "Names and passwords for registries, as docker login and podman login write them; may be "
           "repeated",
           &Config::registry_auth_files, CheckAbsolutePath),
      Path("registry-certs-dir", "DIR",
           "DIR/HOST[:PORT]/*.crt are trusted for that registry beside the host's own authorities",
           &Config::registry_certs_dir),
      List("registry-mirror", "HOST=URL",
           "Ask this one first for what HOST has: docker.io=https://mirror.example; may be repeated",
           &Config::registry_mirrors, CheckMirror),
      List("registry-plain-http", "HOST", "A registry that has no TLS; may be repeated",
           &Config::registry_plain_http, CheckRegistryHost),
      Size("image-max-manifest", "Of a manifest or an index", &Config::image_max_manifest_bytes,
           1 << 10, kMaxManifestBytes),
      Size("image-max-blob", "Of a layer as it travels", &Config::image_max_blob_bytes, 1 << 10,
           kMostBytes),
      Size("image-max-layer", "Of a layer when it is unpacked", &Config::image_max_layer_bytes,
           1 << 10, kMostBytes),
      Path("supervisor", "PATH",
           "The supervisor's program; default: ocid-supervisor beside ocid, or in ../libexec/ocid",
           &Config::supervisor),
      Word<LogLevel>("log-level", "LEVEL", "debug, info, warning or error", &Config::log_level,
                     ParseLogLevel, LogLevelName),
      Word<LogFormat>("log-format", "FORMAT", "text, or json: one object a line",
                      &Config::log_format, ParseLogFormat, LogFormatName),
      Number("max-threads", "Operations that may wait for the kernel or a disk side by side",
             &Config::max_threads, 1, 4096),
      Number("container-queue", "Operations that may wait for their turn on one container",
             &Config::container_queue, 1, 65536),
      Duration("launch-timeout", "How long a create or a start may take, hooks included",
               &Config::launch_timeout),
      Duration("drain-timeout", "How long to finish what is under way when told to end",
               &Config::drain_timeout),
  };
  return *kOptions;
}

}  // namespace ocid
