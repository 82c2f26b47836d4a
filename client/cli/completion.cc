#include "client/cli/completion.h"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/cli/commands.h"
#include "client/cli/help.h"

namespace ocid::cli {
namespace {

// What completion needs to know of one option.
struct OptionFacts {
  std::vector<std::string> names;  // with their dashes
  std::string description;
  bool takes_value = false;
  std::string value_name;
};

// And of one command, or of one subcommand: "spec diff".
struct CommandFacts {
  std::string path;
  std::string summary;
  Completes completes = Completes::kNothing;
  bool takes_tail = false;
  std::vector<OptionFacts> options;
  std::vector<std::string> subcommands;
};

std::vector<OptionFacts> OptionsOf(const CommandSpec* command) {
  CLI::App app;
  GlobalOptions global;
  app.set_help_flag();
  // Kept alive: the options are bound to what the action owns.
  const Action action = command->define != nullptr ? command->define(app) : Action();
  AddGlobalOptions(app, global);
  std::vector<OptionFacts> options;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) continue;
    OptionFacts facts;
    for (const std::string& name : option->get_snames()) facts.names.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) facts.names.push_back("--" + name);
    facts.description = option->get_description();
    facts.takes_value = option->get_items_expected_max() > 0;
    facts.value_name = option->get_type_name();
    options.push_back(std::move(facts));
  }
  return options;
}

CommandFacts FactsOf(const CommandSpec& command, const std::string& path) {
  // Of a group with a default, the default's options: `spec --view full ID`.
  const CommandSpec* parsed =
      command.default_subcommand != nullptr ? command.default_subcommand : &command;
  CommandFacts facts{.path = path,
                     .summary = std::string(command.summary),
                     .completes = command.completes,
                     .takes_tail = command.takes_tail,
                     .options = OptionsOf(parsed),
                     .subcommands = {}};
  for (const CommandSpec* subcommand : command.subcommands) {
    facts.subcommands.emplace_back(subcommand->name);
  }
  return facts;
}

std::vector<CommandFacts> AllFacts() {
  std::vector<CommandFacts> all;
  for (const CommandSpec* command : Commands()) {
    const std::string name(command->name);
    all.push_back(FactsOf(*command, name));
    for (const CommandSpec* subcommand : command->subcommands) {
      all.push_back(FactsOf(*subcommand, absl::StrCat(name, " ", std::string(subcommand->name))));
    }
  }
  return all;
}

// The command that prints candidates, one a line; empty: none.
std::string_view Lister(Completes completes) {
  switch (completes) {
    case Completes::kContainers:
      return "ocictl list -q 2>/dev/null";
    case Completes::kDevices:
      return "ocictl device list 2>/dev/null | awk 'NR > 1 { print $1 }'";
    case Completes::kImages:
      return "ocictl image list 2>/dev/null | awk 'NR > 1 { print $1 }'";
    case Completes::kPlugins:
      return "ocictl plugin list 2>/dev/null | awk 'NR > 1 { print $1 }'";
    case Completes::kShells:
      return "printf 'bash\\nzsh\\nfish\\n'";
    case Completes::kNothing:
      return "";
  }
  return "";
}

// Fixed values of an option, separated by blanks; empty: any.
std::string_view FixedValues(const OptionFacts& option) {
  const std::string& name = option.names.back();
  if (name == "--format") return "table json";
  if (name == "--view") return "final original diff full";
  if (name == "--color") return "auto always never";
  if (name == "--stream") return "stdout stderr";
  if (name == "--restart") return "no on-failure always unless-stopped";
  return "";
}

std::string CaseLabel(const std::string& path) { return absl::StrCat("'", path, "'"); }

std::string Names(const std::vector<OptionFacts>& options, bool with_value) {
  std::vector<std::string> names;
  for (const OptionFacts& option : options) {
    if (!with_value || option.takes_value) {
      names.insert(names.end(), option.names.begin(), option.names.end());
    }
  }
  return absl::StrJoin(names, " ");
}

std::string CommandNames() {
  std::vector<std::string> names;
  for (const CommandSpec* command : Commands()) names.emplace_back(command->name);
  return absl::StrJoin(names, " ");
}

// The tables that bash and zsh share: functions of "COMMAND" or "COMMAND SUBCOMMAND".
std::string PosixTables() {
  const std::vector<CommandFacts> all = AllFacts();
  std::string out;
  const auto function = [&](const char* name,
                            const std::function<std::string(const CommandFacts&)>& of,
                            const char* fallback) {
    absl::StrAppend(&out, name, "() {\n  case \"$1\" in\n");
    for (const CommandFacts& facts : all) {
      const std::string value = of(facts);
      if (!value.empty())
        absl::StrAppend(&out, "    ", CaseLabel(facts.path), ") ", value, " ;;\n");
    }
    absl::StrAppend(&out, fallback, "  esac\n}\n");
  };
  const auto echo = [](const std::string& words) {
    return words.empty() ? "" : absl::StrCat("echo \"", words, "\"");
  };
  function(
      "__ocictl_options",
      [&](const CommandFacts& facts) { return echo(Names(facts.options, false)); },
      "    *) echo \"--address --tls-cert --tls-key --tls-ca --format --timeout --help --version\" ;;\n");
  function(
      "__ocictl_valued",
      [&](const CommandFacts& facts) { return echo(Names(facts.options, true)); },
      "    *) echo \"--address --tls-cert --tls-key --tls-ca --format --timeout\" ;;\n");
  function(
      "__ocictl_subcommands",
      [&](const CommandFacts& facts) { return echo(absl::StrJoin(facts.subcommands, " ")); }, "");
  function(
      "__ocictl_arguments",
      [&](const CommandFacts& facts) { return std::string(Lister(facts.completes)); }, "");
  // Words of an option; "FILES" and "FOLDERS" ask the shell.
  absl::StrAppend(&out, R"sh(__ocictl_values() {
  case "$1" in
    --format) echo "table json" ;;
    --view) echo "final original diff full" ;;
    --color) echo "auto always never" ;;
    --stream) echo "stdout stderr" ;;
    --restart) echo "no on-failure always unless-stopped" ;;
    --device) )sh",
                  std::string(Lister(Completes::kDevices)), R"sh( ;;
    --image) )sh",
                  std::string(Lister(Completes::kImages)), R"sh( ;;
    --bundle) echo FOLDERS ;;
  esac
}
# Sets __ocictl_path to the command, and subcommand, among the words given, and __ocictl_positional to
# how many arguments follow them.
__ocictl_parse() {
  local word skip="" name
  __ocictl_path="" __ocictl_positional=0
  for word in "$@"; do
    if [ -n "$skip" ]; then skip=""; continue; fi
    case "$word" in
      -*)
        for name in $(__ocictl_valued "$__ocictl_path"); do
          if [ "$word" = "$name" ]; then skip=1; fi
        done
        ;;
      *)
        if [ -z "$__ocictl_path" ]; then
          __ocictl_path="$word"
        elif [ "$__ocictl_positional" -eq 0 ] && [ "${__ocictl_path#* }" = "$__ocictl_path" ] &&
          case " $(__ocictl_subcommands "$__ocictl_path") " in *" $word "*) true ;; *) false ;; esac; then
          __ocictl_path="$__ocictl_path $word"
        else
          __ocictl_positional=$((__ocictl_positional + 1))
        fi
        ;;
    esac
  done
}
# Candidates for the word $1 behind the word $2, in the line of which the rest are the words before.
__ocictl_candidates() {
  local current="$1" previous="$2" values name
  shift 2
  __ocictl_parse "$@"
  for name in $(__ocictl_valued "$__ocictl_path"); do
    if [ "$previous" = "$name" ]; then
      __ocictl_values "$previous"
      return
    fi
  done
  case "$current" in
    -*) __ocictl_options "$__ocictl_path"; return ;;
  esac
  if [ -z "$__ocictl_path" ]; then
    echo ")sh",
                  CommandNames(), R"sh( help"
    return
  fi
  if [ "$__ocictl_positional" -eq 0 ]; then __ocictl_subcommands "$__ocictl_path"; fi
  case "$__ocictl_path" in
    exec | 'spec blame')
      if [ "$__ocictl_positional" -gt 0 ]; then return; fi
      ;;
  esac
  __ocictl_arguments "$__ocictl_path"
}
)sh");
  return out;
}

std::string Bash() {
  return absl::StrCat("# bash completion for ocictl. Made by `ocictl completion bash`.\n",
                      PosixTables(), R"sh(_ocictl() {
  local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" words
  words="$(__ocictl_candidates "$current" "$previous" "${COMP_WORDS[@]:1:COMP_CWORD-1}")"
  case "$words" in
    FOLDERS) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current") ;;
  esac
}
complete -o default -F _ocictl ocictl
)sh");
}

std::string Zsh() {
  return absl::StrCat(
      "#compdef ocictl\n# zsh completion for ocictl. Made by `ocictl completion zsh`.\n",
      PosixTables(), R"sh(_ocictl() {
  # The tables are written for a shell that splits words.
  setopt local_options sh_word_split
  local candidates
  candidates="$(__ocictl_candidates "$words[CURRENT]" "$words[CURRENT-1]" "${(@)words[2,CURRENT-1]}")"
  if [ "$candidates" = FOLDERS ]; then
    _files -/
  elif [ -n "$candidates" ]; then
    compadd -- ${=candidates}
  else
    _files
  fi
}
if [ "$funcstack[1]" = _ocictl ]; then
  _ocictl "$@"
else
  compdef _ocictl ocictl
fi
)sh");
}

std::string FishQuote(std::string_view text) {
  return absl::StrCat("'",
                      absl::StrReplaceAll(absl::string_view(text.data(), text.size()),
                                          {{"\\", "\\\\"}, {"'", "\\'"}}),
                      "'");
}

std::string FishOption(const OptionFacts& option, const std::string& condition) {
  std::string line = absl::StrCat("complete -c ocictl -n \"", condition, "\"");
  for (const std::string& name : option.names) {
    absl::StrAppend(&line,
                    name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1));
  }
  if (option.takes_value) {
    const std::string_view fixed = FixedValues(option);
    const std::string& name = option.names.back();
    if (!fixed.empty()) {
      absl::StrAppend(&line, " -x -a ", FishQuote(fixed));
    } else if (name == "--device") {
      absl::StrAppend(&line, " -x -a ",
                      FishQuote(absl::StrCat("(", std::string(Lister(Completes::kDevices)), ")")));
    } else {
      absl::StrAppend(&line, " -r");
    }
  }
  return absl::StrCat(line, " -d ", FishQuote(option.description), "\n");
}

std::string Fish() {
  std::string out =
      "# fish completion for ocictl. Made by `ocictl completion fish`.\n"
      "complete -c ocictl -f\n";
  for (const CommandFacts& facts : AllFacts()) {
    const size_t blank = facts.path.find(' ');
    const std::string command = facts.path.substr(0, blank);
    std::string condition = "__fish_seen_subcommand_from " + command;
    if (blank == std::string::npos) {
      absl::StrAppend(&out, "complete -c ocictl -n __fish_use_subcommand -a ", command, " -d ",
                      FishQuote(facts.summary), "\n");
      if (!facts.subcommands.empty()) {
        absl::StrAppend(&condition, "; and not __fish_seen_subcommand_from ",
                        absl::StrJoin(facts.subcommands, " "));
      }
    } else {
      const std::string subcommand = facts.path.substr(blank + 1);
      absl::StrAppend(&out, "complete -c ocictl -n \"", condition,
                      "; and test (count (commandline "
                      "-opc)) -eq 2\" -a ",
                      subcommand, " -d ", FishQuote(facts.summary), "\n");
      absl::StrAppend(&condition, "; and __fish_seen_subcommand_from ", subcommand);
    }
    const std::string_view lister = Lister(facts.completes);
    if (!lister.empty()) {
      absl::StrAppend(&out, "complete -c ocictl -n \"", condition, "\" -a ",
                      FishQuote(absl::StrCat("(", std::string(lister), ")")), "\n");
    }
    for (const OptionFacts& option : facts.options) out += FishOption(option, condition);
  }
  return out;
}

int Run(Context& context, const std::string& shell) {
  const absl::StatusOr<std::string> script = CompletionScript(shell);
  if (!script.ok()) return context.Usage(script.status());
  context.out().Write(*script);
  return kSuccess;
}

Action Define(CLI::App& app) {
  auto shell = std::make_shared<std::string>();
  app.add_option("SHELL", *shell, "bash, zsh or fish")->required();
  return [shell](Context& context) { return Run(context, *shell); };
}

}  // namespace

absl::StatusOr<std::string> CompletionScript(std::string_view shell) {
  if (shell == "bash") return Bash();
  if (shell == "zsh") return Zsh();
  if (shell == "fish") return Fish();
  return absl::InvalidArgumentError(
      absl::StrCat("shell \"", std::string(shell), "\": expected bash, zsh or fish"));
}

const CommandSpec kCompletionCommand = {
    .name = "completion",
    .group = "The daemon and ocictl",
    .summary = "Print a completion script for a shell",
    .examples =
        "$ source <(ocictl completion bash)\n"
        "$ ocictl completion zsh > ~/.zfunc/_ocictl\n"
        "$ ocictl completion fish > ~/.config/fish/completions/ocictl.fish",
    .completes = Completes::kShells,
    .offline = true,
    .define = Define,
};

}  // namespace ocid::cli
