#include "daemon/config.h"

#include <sys/un.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "daemon/access/role_table.h"
#include "daemon/base/version.h"
#include "daemon/config_values.h"
#include "daemon/image/manifest.h"
#include "daemon/nri/default_validator.h"
#include "daemon/nri/plugin_policy.h"
#include "daemon/tcp_address.h"
#include "yaml-cpp/yaml.h"

namespace ocid {
namespace {

constexpr char kFooter[] = R"(
ocid keeps containers: it makes them from OCI bundles, runs and watches them, and serves the gRPC API
ocid.v1 on unix sockets, and on TCP with mutual TLS. ocictl is the client for people. Containers outlive the daemon: stop, restart
or upgrade it at any time.

Configuration file: YAML with the names of the options above without their dashes, lists for options
that may be repeated. The command line wins over it. See what is in force with --check-config.

Signals:  SIGTERM, SIGINT  finish what is under way, then end (a second one: at once)
          SIGHUP           read `log-level`, `role` and the files of TLS again
          SIGUSR1          write what the daemon is doing to STATE/debug-TIME.json
Exit:     0  ended as told, or --check-config found nothing wrong
          1  could not start, or failed
          2  the command line or the configuration file is wrong
          3  another daemon has the directories or the socket
          4  something was still under way when the drain timeout ran out (it is finished or undone
             at the next start)

Example:  ocid --root /tmp/o/root --state /tmp/o/state --listen unix:///tmp/o/ocid.sock
          ocictl --address unix:///tmp/o/ocid.sock list
)";

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

constexpr uint64_t kMostBytes = uint64_t{1} << 50;

enum class Kind { kValue, kList, kSwitch };

// One key of the configuration: the command line, the file and --check-config all go by this table.
struct Option {
  const char* name;
  const char* value_name;
  const char* help;
  Kind kind;
  // Sets one value; for a list, appends it.
  absl::Status (*set)(DaemonConfig& config, const std::string& value);
  std::vector<std::string> (*get)(const DaemonConfig& config);
  void (*clear)(DaemonConfig& config) = nullptr;  // a list's
};

absl::Status AddValidatorOption(std::vector<std::string>& options, const std::string& value) {
  const absl::StatusOr<DefaultValidatorOptions> parsed = ParseDefaultValidator({value});
  if (parsed.ok()) options.push_back(value);
  return parsed.status();
}

absl::Status SetShortDuration(absl::Duration& field, const std::string& value, absl::Duration min,
                              absl::Duration max) {
  absl::Duration duration;
  const absl::Status status = SetDuration(duration, value);
  if (!status.ok()) return status;
  if (duration < min || duration > max) {
    return absl::InvalidArgumentError(absl::StrCat(QuoteForLog(value), " is not from ",
                                                   absl::FormatDuration(min), " to ",
                                                   absl::FormatDuration(max)));
  }
  field = duration;
  return absl::OkStatus();
}

absl::Status AddRole(DaemonConfig& config, const std::string& value) {
  const absl::Status form = RoleTable::CheckForm(value);
  if (form.ok()) config.roles.push_back(value);
  return form;
}

absl::Status SetAuditLog(DaemonConfig& config, const std::string& value) {
  if (value != "off") return SetAbsolutePath(config.audit_log, value);
  config.audit_log = value;
  return absl::OkStatus();
}

absl::Status SetMetricsListen(DaemonConfig& config, const std::string& value) {
  const absl::StatusOr<TcpAddress> address = ParseTcpAddress(absl::StrCat("tcp://", value));
  if (!address.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(QuoteForLog(value), " is not HOST:PORT such as 127.0.0.1:9464"));
  }
  config.metrics_listen = value;
  return absl::OkStatus();
}

absl::Status AddListener(DaemonConfig& config, const std::string& value) {
  const absl::Status status = IsTcpAddress(value) ? ParseTcpAddress(value).status()
                                                  : ParseUnixAddress(value).status();
  if (!status.ok()) return status;
  config.listen.push_back(value);
  return absl::OkStatus();
}

absl::Status AddMirror(DaemonConfig& config, const std::string& value) {
  const auto mirror = ParseMirror(value);
  if (mirror.ok()) config.registry_mirrors.push_back(value);
  return mirror.status();
}

absl::Status AddPlainHttpHost(DaemonConfig& config, const std::string& value) {
  const absl::Status checked = CheckRegistryHost(value);
  if (checked.ok()) config.registry_plain_http.push_back(value);
  return checked;
}

absl::Status SetCgroupManager(DaemonConfig& config, const std::string& value) {
  for (const char* known : {"auto", "systemd", "cgroupfs", "none"}) {
    if (value == known) {
      config.cgroup_manager = value;
      return absl::OkStatus();
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat(QuoteForLog(value), " is not a cgroup manager (auto, systemd, cgroupfs, none)"));
}

absl::Status SetNri(DaemonConfig& config, const std::string& value) {
  if (value != "auto" && value != "on" && value != "off") {
    return absl::InvalidArgumentError(
        absl::StrCat(QuoteForLog(value), " is none of auto, on, off"));
  }
  config.nri = value;
  return absl::OkStatus();
}

absl::Status AddNriPolicy(DaemonConfig& config, const std::string& value) {
  config.nri_policies.push_back(value);
  return PluginPolicies::Parse(config.nri_policies).status();
}

template <typename T>
absl::Status SetParsed(T& field, absl::StatusOr<T> value) {
  if (!value.ok()) return value.status();
  field = *value;
  return absl::OkStatus();
}

using Config = DaemonConfig;
using Value = const std::string&;
using Values = std::vector<std::string>;

const std::vector<Option>& Options() {
  static const auto* const kOptions = new std::vector<Option>{
      {"root", "DIR", "What must survive a reboot: records, logs, exit codes", Kind::kValue,
       [](Config& c, Value v) { return SetAbsolutePath(c.root, v); },
       [](const Config& c) -> Values { return {c.root}; }},
      {"state", "DIR", "What lasts as long as this boot; best on tmpfs", Kind::kValue,
       [](Config& c, Value v) { return SetAbsolutePath(c.state, v); },
       [](const Config& c) -> Values { return {c.state}; }},
      {"listen", "ADDRESS",
       "Where to serve the API: unix:///PATH, or tcp://HOST:PORT with the tls- options; may be repeated",
       Kind::kList, AddListener, [](const Config& c) -> Values { return c.listen; },
       [](Config& c) { c.listen.clear(); }},
      {"listen-group", "GROUP", "Group that may connect; default: the daemon's own", Kind::kValue,
       [](Config& c, Value v) {
         c.listen_group = v;
         return absl::OkStatus();
       },
       [](const Config& c) -> Values { return {c.listen_group}; }},
      {"tls-cert", "PATH", "PEM: the daemon's certificate, then those between it and its authority",
       Kind::kValue, [](Config& c, Value v) { return SetAbsolutePath(c.tls_cert, v); },
       [](const Config& c) -> Values { return {c.tls_cert}; }},
      {"tls-key", "PATH", "PEM: the private key of tls-cert, without a passphrase", Kind::kValue,
       [](Config& c, Value v) { return SetAbsolutePath(c.tls_key, v); },
       [](const Config& c) -> Values { return {c.tls_key}; }},
      {"tls-client-ca", "PATH", "PEM: the authorities whose clients may connect", Kind::kValue,
       [](Config& c, Value v) { return SetAbsolutePath(c.tls_client_ca, v); },
       [](const Config& c) -> Values { return {c.tls_client_ca}; }},
      {"tls-crl", "PATH", "PEM: those authorities' lists of revoked certificates", Kind::kValue,
       [](Config& c, Value v) { return SetAbsolutePath(c.tls_crl, v); },
       [](const Config& c) -> Values { return {c.tls_crl}; }},
      {"role", "ROLE=KIND:VALUE",
       "Who is viewer, operator, admin or none, by uid, gid, user, group (unix socket), cn, ou, san "
       "(certificate); the first line that fits decides; may be repeated",
       Kind::kList, AddRole, [](const Config& c) -> Values { return c.roles; },
       [](Config& c) { c.roles.clear(); }},
      {"audit-log", "PATH", "Who changed what and who was refused; off: none; default: below root",
       Kind::kValue, SetAuditLog, [](const Config& c) -> Values { return {c.audit_log}; }},
      {"audit-log-size", "SIZE", "Of one file of the audit log, 64 KiB to 4 GiB", Kind::kValue,
       [](Config& c, Value v) { return SetSize(c.audit_log_bytes, v, 64 << 10, 4ull << 30); },
       [](const Config& c) -> Values { return {FormatSize(c.audit_log_bytes)}; }},
      {"audit-log-files", "N", "How many files of the audit log are kept, 1 to 1000", Kind::kValue,
       [](Config& c, Value v) { return SetNumber(c.audit_log_files, v, 1, 1000); },
       [](const Config& c) -> Values { return {absl::StrCat(c.audit_log_files)}; }},
      {"metrics-listen", "HOST:PORT",
       "Where Prometheus finds /metrics, such as 127.0.0.1:9464, in plain HTTP; default: nowhere",
       Kind::kValue, SetMetricsListen,
       [](const Config& c) -> Values { return {c.metrics_listen}; }},
      {"max-message-size", "SIZE", "Of a request or an answer, 4 MiB to 256 MiB", Kind::kValue,
       [](Config& c, Value v) { return SetSize(c.max_message_bytes, v, 4 << 20, 256 << 20); },
       [](const Config& c) -> Values { return {FormatSize(c.max_message_bytes)}; }},
      {"max-streams", "N", "Calls at the same time on one connection, 1 to 100000", Kind::kValue,
       [](Config& c, Value v) { return SetNumber(c.max_streams, v, 1, 100000); },
       [](const Config& c) -> Values { return {absl::StrCat(c.max_streams)}; }},
      {"max-connections", "N", "In all, 16 to 1000000; fewer where descriptors are fewer", Kind::kValue,
       [](Config& c, Value v) { return SetNumber(c.max_connections, v, 16, 1000000); },
       [](const Config& c) -> Values { return {absl::StrCat(c.max_connections)}; }},
      {"max-connections-per-peer", "N", "Of one user of this host or one IP address, 1 to 1000000",
       Kind::kValue,
       [](Config& c, Value v) { return SetNumber(c.max_connections_per_peer, v, 1, 1000000); },
       [](const Config& c) -> Values { return {absl::StrCat(c.max_connections_per_peer)}; }},
      {"handshake-timeout", "DURATION", "For TLS and the first frames of a TCP client, 1s to 10m",
       Kind::kValue,
       [](Config& c, Value v) {
         return SetShortDuration(c.handshake_timeout, v, absl::Seconds(1), absl::Minutes(10));
       },
       [](const Config& c) -> Values { return {absl::FormatDuration(c.handshake_timeout)}; }},
      {"keepalive-interval", "DURATION", "Between pings to a client with calls under way, 10s to 24h",
       Kind::kValue,
       [](Config& c, Value v) {
         return SetShortDuration(c.keepalive_interval, v, absl::Seconds(10), absl::Hours(24));
       },
       [](const Config& c) -> Values { return {absl::FormatDuration(c.keepalive_interval)}; }},
      {"keepalive-timeout", "DURATION", "How long its answer may take, 1s to 10m", Kind::kValue,
       [](Config& c, Value v) {
         return SetShortDuration(c.keepalive_timeout, v, absl::Seconds(1), absl::Minutes(10));
       },
       [](const Config& c) -> Values { return {absl::FormatDuration(c.keepalive_timeout)}; }},
      {"call-timeout", "DURATION",
       "How long a call may wait for its operation, which goes on, 1s to 24h; Wait may for ever",
       Kind::kValue,
       [](Config& c, Value v) {
         return SetShortDuration(c.call_timeout, v, absl::Seconds(1), absl::Hours(24));
       },
       [](const Config& c) -> Values { return {absl::FormatDuration(c.call_timeout)}; }},
      {"cgroup-manager", "NAME", "auto, systemd, cgroupfs or none", Kind::kValue, SetCgroupManager,
       [](const Config& c) -> Values { return {c.cgroup_manager}; }},
      {"cgroup-parent", "PATH", "cgroupfs: where containers go; systemd: the slice", Kind::kValue,
       [](Config& c, Value v) {
         c.cgroup_parent = v;
         return absl::OkStatus();
       },
       [](const Config& c) -> Values { return {c.cgroup_parent}; }},
      {"allow-missing-controllers", "BOOL",
       "A limit that no cgroup controller of this host can enforce is a warning, not an error",
       Kind::kSwitch, [](Config& c, Value v) { return SetBool(c.allow_missing_controllers, v); },
       [](const Config& c) -> Values { return {c.allow_missing_controllers ? "true" : "false"}; }},
      {"cdi-spec-dir", "DIR", "CDI files, in rising priority; may be repeated", Kind::kList,
       [](Config& c, Value v) { return SetAbsolutePath(c.cdi_spec_dirs.emplace_back(), v); },
       [](const Config& c) -> Values { return c.cdi_spec_dirs; },
       [](Config& c) { c.cdi_spec_dirs.clear(); }},
      {"nri", "WHEN",
       "NRI plugins: auto (where a socket or a folder is named), on (also at the usual places: "
       "/var/run/nri/nri.sock, /opt/nri/plugins), off",
       Kind::kValue, SetNri, [](const Config& c) -> Values { return {c.nri}; }},
      {"nri-socket", "PATH", "Where NRI plugins connect", Kind::kValue,
       [](Config& c, Value v) { return SetAbsolutePath(c.nri_socket, v); },
       [](const Config& c) -> Values { return {c.nri_socket}; }},
      {"nri-plugin-dir", "DIR", "NRI plugins to launch: executables called NN-name", Kind::kValue,
       [](Config& c, Value v) { return SetAbsolutePath(c.nri_plugin_dir, v); },
       [](const Config& c) -> Values { return {c.nri_plugin_dir}; }},
      {"nri-config-dir", "DIR", "Configurations of NRI plugins: NN-name.conf, name.conf",
       Kind::kValue, [](Config& c, Value v) { return SetAbsolutePath(c.nri_config_dir, v); },
       [](const Config& c) -> Values { return {c.nri_config_dir}; }},
      {"nri-policy", "NAME,...",
       "Of a plugin, or of all with *: required, fail-open or fail-closed, timeout=DURATION, "
       "fields=FIELD+FIELD (what it may touch); may be repeated",
       Kind::kList, AddNriPolicy, [](const Config& c) -> Values { return c.nri_policies; },
       [](Config& c) { c.nri_policies.clear(); }},
      {"nri-validator", "OPTION",
       "what NRI plugins may not do, and which must be there: reject_namespace_adjustment, ..., "
       "required_plugins=NAME+NAME; may be repeated",
       Kind::kList, [](Config& c, Value v) { return AddValidatorOption(c.nri_validator, v); },
       [](const Config& c) -> Values { return c.nri_validator; },
       [](Config& c) { c.nri_validator.clear(); }},
      {"plugins-override-request", "BOOL",
       "NRI plugins may replace what the caller of create asked for; each time is recorded",
       Kind::kSwitch, [](Config& c, Value v) { return SetBool(c.plugins_override_request, v); },
       [](const Config& c) -> Values { return {c.plugins_override_request ? "true" : "false"}; }},
      {"seccomp-profile", "PROFILE",
       "Of containers of images: default (built in), unconfined, or the path of a profile",
       Kind::kValue,
       [](Config& c, Value v) {
         if (v != "default" && v != "unconfined") return SetAbsolutePath(c.seccomp_profile, v);
         c.seccomp_profile = v;
         return absl::OkStatus();
       },
       [](const Config& c) -> Values { return {c.seccomp_profile}; }},
      {"registry-auth-file", "PATH",
       "Names and passwords for registries, as docker login and podman login write them; may be "
       "repeated",
       Kind::kList,
       [](Config& c, Value v) { return SetAbsolutePath(c.registry_auth_files.emplace_back(), v); },
       [](const Config& c) -> Values { return c.registry_auth_files; },
       [](Config& c) { c.registry_auth_files.clear(); }},
      {"registry-certs-dir", "DIR",
       "DIR/HOST[:PORT]/*.crt are trusted for that registry beside the host's own authorities",
       Kind::kValue, [](Config& c, Value v) { return SetAbsolutePath(c.registry_certs_dir, v); },
       [](const Config& c) -> Values { return {c.registry_certs_dir}; }},
      {"registry-mirror", "HOST=URL",
       "Ask this one first for what HOST has: docker.io=https://mirror.example; may be repeated",
       Kind::kList, AddMirror, [](const Config& c) -> Values { return c.registry_mirrors; },
       [](Config& c) { c.registry_mirrors.clear(); }},
      {"registry-plain-http", "HOST", "A registry that has no TLS; may be repeated", Kind::kList,
       AddPlainHttpHost, [](const Config& c) -> Values { return c.registry_plain_http; },
       [](Config& c) { c.registry_plain_http.clear(); }},
      {"image-max-manifest", "SIZE", "Of a manifest or an index", Kind::kValue,
       [](Config& c, Value v) {
         return SetSize(c.image_max_manifest_bytes, v, 1 << 10, kMaxManifestBytes);
       },
       [](const Config& c) -> Values { return {FormatSize(c.image_max_manifest_bytes)}; }},
      {"image-max-blob", "SIZE", "Of a layer as it travels", Kind::kValue,
       [](Config& c, Value v) { return SetSize(c.image_max_blob_bytes, v, 1 << 10, kMostBytes); },
       [](const Config& c) -> Values { return {FormatSize(c.image_max_blob_bytes)}; }},
      {"image-max-layer", "SIZE", "Of a layer when it is unpacked", Kind::kValue,
       [](Config& c, Value v) { return SetSize(c.image_max_layer_bytes, v, 1 << 10, kMostBytes); },
       [](const Config& c) -> Values { return {FormatSize(c.image_max_layer_bytes)}; }},
      {"supervisor", "PATH",
       "The supervisor's program; default: ocid-supervisor beside ocid, or in ../libexec/ocid",
       Kind::kValue, [](Config& c, Value v) { return SetAbsolutePath(c.supervisor, v); },
       [](const Config& c) -> Values { return {c.supervisor}; }},
      {"log-level", "LEVEL", "debug, info, warning or error", Kind::kValue,
       [](Config& c, Value v) { return SetParsed(c.log_level, ParseLogLevel(v)); },
       [](const Config& c) -> Values { return {std::string(LogLevelName(c.log_level))}; }},
      {"log-format", "FORMAT", "text, or json: one object a line", Kind::kValue,
       [](Config& c, Value v) { return SetParsed(c.log_format, ParseLogFormat(v)); },
       [](const Config& c) -> Values { return {std::string(LogFormatName(c.log_format))}; }},
      {"max-threads", "N", "Operations that may wait for the kernel or a disk side by side",
       Kind::kValue, [](Config& c, Value v) { return SetNumber(c.max_threads, v, 1, 4096); },
       [](const Config& c) -> Values { return {absl::StrCat(c.max_threads)}; }},
      {"container-queue", "N", "Operations that may wait for their turn on one container",
       Kind::kValue, [](Config& c, Value v) { return SetNumber(c.container_queue, v, 1, 65536); },
       [](const Config& c) -> Values { return {absl::StrCat(c.container_queue)}; }},
      {"launch-timeout", "DURATION", "How long a create or a start may take, hooks included",
       Kind::kValue, [](Config& c, Value v) { return SetDuration(c.launch_timeout, v); },
       [](const Config& c) -> Values { return {absl::FormatDuration(c.launch_timeout)}; }},
      {"drain-timeout", "DURATION", "How long to finish what is under way when told to end",
       Kind::kValue, [](Config& c, Value v) { return SetDuration(c.drain_timeout, v); },
       [](const Config& c) -> Values { return {absl::FormatDuration(c.drain_timeout)}; }},
  };
  return *kOptions;
}

// Replaces what `option` says by `values`.
absl::Status SetOption(const Option& option, const Values& values, DaemonConfig& config) {
  if (option.clear != nullptr) option.clear(config);
  for (const std::string& value : values) {
    const absl::Status status = option.set(config, value);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<Values> ReadValues(const Option& option, const YAML::Node& node) {
  if (node.IsScalar()) return Values{node.Scalar()};
  if (option.kind != Kind::kList || !node.IsSequence()) {
    return absl::InvalidArgumentError(option.kind == Kind::kList
                                          ? "a value or a list of values is wanted"
                                          : "one value is wanted");
  }
  Values values;
  for (const YAML::Node& item : node) {
    if (!item.IsScalar()) return absl::InvalidArgumentError("a list of plain values is wanted");
    values.push_back(item.Scalar());
  }
  return values;
}

absl::Status ErrorAt(std::string_view file, const YAML::Mark& mark, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(View(file), ":", mark.line + 1, ": ", what));
}

absl::Status ApplyEntry(const YAML::Node& key, const YAML::Node& value, std::string_view file,
                        DaemonConfig& config) {
  if (!key.IsScalar()) return ErrorAt(file, key.Mark(), "a key is not a plain value");
  for (const Option& option : Options()) {
    if (key.Scalar() != option.name) continue;
    absl::StatusOr<Values> values = ReadValues(option, value);
    absl::Status status = values.ok() ? SetOption(option, *values, config) : values.status();
    if (status.ok()) return status;
    return ErrorAt(file, value.Mark().is_null() ? key.Mark() : value.Mark(),
                   absl::StrCat(option.name, ": ", status.message()));
  }
  return ErrorAt(file, key.Mark(), absl::StrCat("unknown key ", QuoteForLog(key.Scalar())));
}

absl::StatusOr<std::string> ReadConfigFile(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": cannot be opened"));
  }
  std::string text(kMaxConfigFileBytes + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (stream.bad()) return absl::InvalidArgumentError(absl::StrCat(path, ": cannot be read"));
  text.resize(static_cast<size_t>(stream.gcount()));
  if (text.size() > kMaxConfigFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": larger than ", kMaxConfigFileBytes, " bytes"));
  }
  return text;
}

// What the command line said.
struct CommandLine {
  std::map<std::string, Values> options;  // those that were given
  std::string config_file;                // empty: not given
  bool check_config = false;
  std::string text;  // help or version
};

std::string JoinForHelp(const Values& values) {
  std::string text;
  for (const std::string& value : values) absl::StrAppend(&text, text.empty() ? "" : " ", value);
  return text;
}

absl::StatusOr<CommandLine> ReadCommandLine(int argc, const char* const* argv) {
  CommandLine line;
  CLI::App app("ocid - the container daemon", "ocid");
  app.footer(kFooter);
  app.set_help_flag("-h,--help", "Print this help and exit");
  app.set_version_flag("--version", absl::StrCat("ocid ", View(kVersion)),
                       "Print the version and exit");
  app.add_option("--config", line.config_file,
                 absl::StrCat("Configuration file; default: ", View(kDefaultConfigFile),
                              ", where it exists"))
      ->type_name("FILE");
  app.add_flag("--check-config", line.check_config,
               "Check the configuration, print what is in force and exit");

  const DaemonConfig defaults;
  std::map<std::string, Values> values;
  for (const Option& option : Options()) {
    const std::string shown = JoinForHelp(option.get(defaults));
    const std::string help = shown.empty() || option.kind == Kind::kSwitch
                                 ? option.help
                                 : absl::StrCat(option.help, " [", shown, "]");
    const std::string name = absl::StrCat("--", option.name);
    Values& slot = values[option.name];
    if (option.kind == Kind::kSwitch) {
      app.add_flag_function(
          name, [&slot](int64_t) { slot = {"true"}; }, help);
      continue;
    }
    CLI::Option* added = app.add_option(name, slot, help)->type_name(option.value_name);
    added->expected(1)->allow_extra_args(false);
    added->multi_option_policy(option.kind == Kind::kList ? CLI::MultiOptionPolicy::TakeAll
                                                          : CLI::MultiOptionPolicy::Throw);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    std::ostringstream out;
    app.exit(success, out, out);
    line.text = out.str();
    return line;
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(error.what(), " (ocid --help lists the options)"));
  }
  for (auto& [name, given] : values) {
    if (!given.empty()) line.options.emplace(name, std::move(given));
  }
  return line;
}

// Plaintext TCP is not offered: whoever can connect would be root here.
absl::Status CheckTls(const DaemonConfig& config) {
  const auto tcp = absl::c_find_if(config.listen, IsTcpAddress);
  if (tcp == config.listen.end()) return absl::OkStatus();
  const std::pair<const char*, const std::string*> needed[] = {{"tls-cert", &config.tls_cert},
                                                               {"tls-key", &config.tls_key},
                                                               {"tls-client-ca", &config.tls_client_ca}};
  for (const auto& [name, value] : needed) {
    if (!value->empty()) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "--listen ", *tcp, ": plaintext TCP is not offered: whoever can connect is root here; mutual TLS ",
        "needs tls-cert, tls-key and tls-client-ca; ", name, " is missing"));
  }
  return absl::OkStatus();
}

// A value as YAML reads it back, quoted where it must be.
std::string YamlScalar(const std::string& value) {
  const bool plain = absl::c_all_of(value, [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains("/._-", c);
  });
  return plain && !value.empty() ? value : QuoteForLog(value);
}

}  // namespace

absl::StatusOr<std::string> ParseUnixAddress(std::string_view address) {
  constexpr std::string_view kScheme = "unix://";
  if (!address.starts_with(kScheme)) {
    return absl::InvalidArgumentError(absl::StrCat(
        QuoteForLog(address),
        " is not an address such as unix:///run/ocid/ocid.sock or tcp://0.0.0.0:7117"));
  }
  std::string path(address.substr(kScheme.size()));
  absl::Status status = SetAbsolutePath(path, std::string(path));
  if (!status.ok()) return status;
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": a socket's path has at most ",
                                                   sizeof(sockaddr_un::sun_path) - 1, " bytes"));
  }
  return path;
}

bool IsTcpAddress(std::string_view address) { return address.starts_with("tcp:"); }

NriPlaces NriPlacesOf(const DaemonConfig& config) {
  if (config.nri == "off") return {};
  NriPlaces places{.socket = config.nri_socket, .plugin_dir = config.nri_plugin_dir};
  if (config.nri == "on" && places.socket.empty()) places.socket = "/var/run/nri/nri.sock";
  if (config.nri == "on" && places.plugin_dir.empty()) places.plugin_dir = "/opt/nri/plugins";
  return places;
}

absl::Status ApplyConfigText(std::string_view text, std::string_view file, DaemonConfig& config) {
  YAML::Node root;
  try {
    root = YAML::Load(std::string(text));
  } catch (const YAML::Exception& error) {
    return ErrorAt(file, error.mark, error.msg);
  }
  if (root.IsNull()) return absl::OkStatus();
  if (!root.IsMap()) return ErrorAt(file, root.Mark(), "a mapping of keys to values is wanted");
  std::set<std::string> seen;
  for (const auto& entry : root) {
    if (entry.first.IsScalar() && !seen.insert(entry.first.Scalar()).second) {
      return ErrorAt(file, entry.first.Mark(),
                     absl::StrCat(QuoteForLog(entry.first.Scalar()), " stands here twice"));
    }
    const absl::Status status = ApplyEntry(entry.first, entry.second, file, config);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

std::string DescribeConfig(const DaemonConfig& config) {
  std::string text;
  for (const Option& option : Options()) {
    const Values values = option.get(config);
    if (option.kind != Kind::kList) {
      if (values[0].empty()) continue;
      absl::StrAppend(&text, option.name, ": ", YamlScalar(values[0]), "\n");
      continue;
    }
    absl::StrAppend(&text, option.name, values.empty() ? ": []\n" : ":\n");
    for (const std::string& value : values) {
      absl::StrAppend(&text, "  - ", YamlScalar(value), "\n");
    }
  }
  return text;
}

absl::StatusOr<Invocation> ReadInvocation(int argc, const char* const* argv) {
  const absl::StatusOr<CommandLine> line = ReadCommandLine(argc, argv);
  if (!line.ok()) return line.status();
  Invocation invocation;
  if (!line->text.empty()) {
    invocation.action = Invocation::Action::kPrint;
    invocation.text = line->text;
    return invocation;
  }
  const std::string default_file(kDefaultConfigFile);
  if (!line->config_file.empty()) {
    invocation.config_file = line->config_file;
  } else if (access(default_file.c_str(), F_OK) == 0) {
    invocation.config_file = default_file;
  }
  if (!invocation.config_file.empty()) {
    const absl::StatusOr<std::string> text = ReadConfigFile(invocation.config_file);
    if (!text.ok()) return text.status();
    const absl::Status status = ApplyConfigText(*text, invocation.config_file, invocation.config);
    if (!status.ok()) return status;
  }
  for (const Option& option : Options()) {
    const auto given = line->options.find(option.name);
    if (given == line->options.end()) continue;
    const absl::Status status = SetOption(option, given->second, invocation.config);
    if (!status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--", option.name, ": ", status.message()));
    }
  }
  if (invocation.config.listen.empty()) {
    return absl::InvalidArgumentError("listen: at least one address is needed");
  }
  const absl::Status tls = CheckTls(invocation.config);
  if (!tls.ok()) return tls;
  if (line->check_config) {
    invocation.action = Invocation::Action::kCheckConfig;
    invocation.text = DescribeConfig(invocation.config);
  }
  return invocation;
}

}  // namespace ocid
