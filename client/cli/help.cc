#include "client/cli/help.h"

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace ocid::cli {
namespace {

constexpr size_t kLineWidth = 88;
constexpr size_t kTextColumn = 28;
constexpr char kGlobalGroup[] = "Global options";

constexpr std::string_view kExitCodes = R"(Exit codes:
  0      success
  1      the daemon refused, or the command failed
  2      the command line is wrong
  124    --timeout has passed
  125    the daemon cannot be reached; of run, exec and wait: any failure of their own
  126    the program is there and cannot be executed
  127    the program was not found in the container
  run, exec and wait exit with the process's own code, or 128 + N where signal N ended it.
)";

// "  LEFT      text text text", the text wrapped under itself.
std::string Entry(std::string_view left, std::string_view text) {
  std::string out = "  " + std::string(left);
  if (out.size() + 2 > kTextColumn) {
    out += '\n';
    out.append(kTextColumn, ' ');
  } else {
    out.append(kTextColumn - out.size(), ' ');
  }
  size_t column = kTextColumn;
  for (const absl::string_view word :
       absl::StrSplit(absl::string_view(text.data(), text.size()), ' ', absl::SkipEmpty())) {
    if (column > kTextColumn && column + 1 + word.size() > kLineWidth) {
      out += '\n';
      out.append(kTextColumn, ' ');
      column = kTextColumn;
    }
    if (column > kTextColumn) {
      out += ' ';
      ++column;
    }
    out.append(word.data(), word.size());
    column += word.size();
  }
  out += '\n';
  return out;
}

std::string Examples(std::string_view examples) {
  if (examples.empty()) return "";
  std::string out = "\nExamples:\n";
  for (const absl::string_view line : absl::StrSplit(
           absl::string_view(examples.data(), examples.size()), '\n', absl::SkipEmpty())) {
    absl::StrAppend(&out, "  ", line, "\n");
  }
  return out;
}

bool IsRepeated(const CLI::Option& option) { return option.get_items_expected_max() > 1; }

// "FORMAT" of CLI11's "FORMAT:{table,json}".
std::string ValueName(const CLI::Option& option) {
  const std::string name = option.get_type_name();
  return name.substr(0, name.find(":{"));
}

// "-e, --env KEY=VALUE"
std::string OptionNames(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  std::string text = absl::StrJoin(names, ", ");
  if (option.get_snames().empty()) text = "    " + text;
  if (option.get_items_expected_max() > 0) absl::StrAppend(&text, " ", ValueName(option));
  if (IsRepeated(option)) absl::StrAppend(&text, " ...");
  return text;
}

std::string PositionalName(const CLI::Option& option) {
  std::string name = option.get_name(/*positional=*/true);
  if (IsRepeated(option)) name += "...";
  return option.get_required() ? name : "[" + name + "]";
}

std::string DefaultTlsFile(const char* variable, const char* file) {
  const char* const named = std::getenv(variable);
  if (named != nullptr && *named != '\0') return named;
  const char* const config = std::getenv("XDG_CONFIG_HOME");
  if (config != nullptr && *config == '/') return absl::StrCat(config, "/ocid/", file);
  const char* const home = std::getenv("HOME");
  return absl::StrCat(home == nullptr ? "" : home, "/.config/ocid/", file);
}

}  // namespace

void AddGlobalOptions(CLI::App& app, GlobalOptions& global) {
  const char* address = std::getenv("OCID_ADDRESS");
  global.address = address != nullptr && *address != '\0' ? address : std::string(kDefaultAddress);
  app.add_option(
         "--address,--host", global.address,
         "Where the daemon listens. Default: $OCID_ADDRESS, else unix:///run/ocid/ocid.sock")
      ->type_name("ADDRESS")
      ->group(kGlobalGroup);
  const auto add_tls = [&](const char* option, std::string& path, const char* variable,
                           const char* file, const char* help) {
    path = DefaultTlsFile(variable, file);
    app.add_option(option, path, help)->type_name("PATH")->group(kGlobalGroup);
  };
  add_tls("--tls-cert", global.tls_cert, "OCID_TLS_CERT", "cert.pem",
          "For tcp://: our certificate. Default: $OCID_TLS_CERT, else ~/.config/ocid/cert.pem");
  add_tls("--tls-key", global.tls_key, "OCID_TLS_KEY", "key.pem",
          "Its private key. Default: $OCID_TLS_KEY, else ~/.config/ocid/key.pem");
  add_tls("--tls-ca", global.tls_ca, "OCID_TLS_CA", "ca.pem",
          "The daemon's authority. Default: $OCID_TLS_CA, else ~/.config/ocid/ca.pem");
  app.add_option("--format", global.format, "table (default) or json")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"table", "json"}))
      ->type_name("FORMAT")
      ->group(kGlobalGroup);
  app.add_option("--timeout", global.timeout,
                 "Give up a call to the daemon after this long: seconds, or 1m30s. Default: never")
      ->type_name("TIME")
      ->group(kGlobalGroup);
  app.add_flag("-h,--help", global.help, "Show this help")->group(kGlobalGroup);
}

std::string RootHelp() {
  std::string out =
      "ocictl - containers from OCI bundles, run by ocid\n"
      "\n"
      "Usage: ocictl [GLOBAL OPTIONS] COMMAND [OPTIONS] [ARGUMENTS]\n";
  std::string_view group;
  for (const CommandSpec* command : Commands()) {
    if (command->group != group) {
      group = command->group;
      absl::StrAppend(&out, "\n", std::string(group), ":\n");
    }
    out += Entry(command->name, command->summary);
  }
  CLI::App app;
  GlobalOptions global;
  app.set_help_flag();
  AddGlobalOptions(app, global);
  absl::StrAppend(&out, "\nGlobal options, before the command or behind it:\n");
  for (const CLI::Option* option : app.get_options()) {
    out += Entry(OptionNames(*option), option->get_description());
  }
  absl::StrAppend(&out, "\n", std::string(kExitCodes),
                  Examples("# Run a bundle's program in the foreground, then remove the container\n"
                           "$ ocictl run --rm --bundle ./hello hello\n"
                           "# In the background, step by step\n"
                           "$ ocictl create --bundle ./web web && ocictl start web\n"
                           "$ ocictl exec web -- ps\n"
                           "$ ocictl logs -f web\n"
                           "# Who put which device, mount or variable into its spec\n"
                           "$ ocictl spec diff web\n"
                           "$ ocictl stop web && ocictl delete web"),
                  "\nMore about a command: ocictl COMMAND --help\n");
  return out;
}

std::string GroupHelp(const CommandSpec& command) {
  const std::string name(command.name);
  std::string out = absl::StrCat("Usage: ocictl ", name, " SUBCOMMAND [OPTIONS] [ARGUMENTS]\n\n",
                                 std::string(command.summary), ".\n");
  if (!command.details.empty()) absl::StrAppend(&out, "\n", std::string(command.details), "\n");
  absl::StrAppend(&out, "\nSubcommands:\n");
  for (const CommandSpec* subcommand : command.subcommands) {
    out += Entry(subcommand->name, subcommand->summary);
  }
  absl::StrAppend(&out, Examples(command.examples), "\nMore about one: ocictl ", name,
                  " SUBCOMMAND --help\n");
  return out;
}

std::string CommandHelp(const CommandSpec& command, const std::string& title, const CLI::App& app) {
  std::string usage = "Usage: ocictl " + title;
  std::string arguments;
  std::string options;
  std::string global;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) {
      arguments += Entry(PositionalName(*option), option->get_description());
    } else if (option->get_group() == kGlobalGroup) {
      global += Entry(OptionNames(*option), option->get_description());
    } else {
      options += Entry(OptionNames(*option), option->get_description());
    }
  }
  if (!options.empty()) usage += " [OPTIONS]";
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) absl::StrAppend(&usage, " ", PositionalName(*option));
  }
  if (command.takes_tail)
    usage += command.name == "run" ? " [-- ARGS...]" : " -- COMMAND [ARGS...]";
  std::string out = absl::StrCat(usage, "\n\n", std::string(command.summary), ".\n");
  if (!command.details.empty()) absl::StrAppend(&out, "\n", std::string(command.details), "\n");
  if (!arguments.empty()) absl::StrAppend(&out, "\nArguments:\n", arguments);
  if (!options.empty()) absl::StrAppend(&out, "\nOptions:\n", options);
  absl::StrAppend(&out, "\nGlobal options:\n", global, Examples(command.examples));
  return out;
}

}  // namespace ocid::cli
