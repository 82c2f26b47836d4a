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
#include "daemon/base/version.h"
#include "daemon/config_options.h"
#include "daemon/config_values.h"
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

using Kind = ConfigOption::Kind;
using Values = ConfigOption::Values;

absl::StatusOr<Values> ReadValues(const ConfigOption& option, const YAML::Node& node) {
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
  for (const ConfigOption& option : ConfigOptions()) {
    if (key.Scalar() != option.name) continue;
    absl::StatusOr<Values> values = ReadValues(option, value);
    absl::Status status = values.ok() ? option.set(config, *values) : values.status();
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
  for (const ConfigOption& option : ConfigOptions()) {
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
  const std::string path(address.substr(kScheme.size()));
  const absl::Status status = CheckAbsolutePath(path);
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
  for (const ConfigOption& option : ConfigOptions()) {
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
  for (const ConfigOption& option : ConfigOptions()) {
    const auto given = line->options.find(option.name);
    if (given == line->options.end()) continue;
    const absl::Status status = option.set(invocation.config, given->second);
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
