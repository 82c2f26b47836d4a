// What a command of ocictl is, and what it works with.
//
// Each command is a value of CommandSpec in a file of its own, listed in commands.cc. Help, shell
// completion and the parser are made from that list alone: a new command is one file and one line.
// Everything here belongs to the main thread.
#ifndef OCID_CLIENT_CLI_COMMAND_H_
#define OCID_CLIENT_CLI_COMMAND_H_

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cli/exit_code.h"
#include "client/cli/output.h"
#include "client/client.h"

namespace ocid::cli {

enum class Format { kTable, kJson };

struct GlobalOptions {
  std::string address;
  std::string format = "table";
  std::string timeout;
  std::string tls_cert;  // these three: for TCP
  std::string tls_key;
  std::string tls_ca;
  bool help = false;
};

struct CommandSpec;

// One run of one command.
class Context {
 public:
  Context(const CommandSpec& command, std::string title, Stdio stdio)
      : command_(command), title_(std::move(title)), stdio_(stdio), out_(stdio.out) {}

  const Stdio& stdio() const { return stdio_; }
  Output& out() { return out_; }
  GlobalOptions& global() { return global_; }
  bool json() const { return global_.format == "json"; }

  // Arguments behind "--", or behind the container's id, that are a command line.
  const std::vector<std::string>& tail() const { return tail_; }
  void set_tail(std::vector<std::string> tail) { tail_ = std::move(tail); }

  // Checks the global options and makes the client, which connects with its first call.
  absl::Status Prepare();
  Client& client() { return *client_; }
  // For each call that answers at once, and for what a user waits for.
  CallOptions call() const { return {.timeout = timeout_}; }

  // Prints "ocictl: COMMAND SUBJECT: CAUSE (REASON)" and what helps; returns the exit code.
  int Fail(std::string_view subject, const absl::Status& status);
  // The same for a command line that makes no sense.
  int Usage(const absl::Status& status);
  // Waits for a daemon that went away while something of it was followed, as one does that restarts.
  // False where it does not come back.
  bool AwaitDaemon();
  // A line for the user that is no result: on standard error.
  void Note(std::string_view text);

  // The id of a container that something was done to, or that container as JSON.
  void PrintDone(const v1::Container& container);
  void PrintDone(const std::string& id);

 private:
  const CommandSpec& command_;
  std::string title_;  // "spec diff"
  Stdio stdio_;
  Output out_;
  GlobalOptions global_;
  std::vector<std::string> tail_;
  absl::Duration timeout_ = absl::InfiniteDuration();
  std::unique_ptr<Client> client_;
};

// Does what the command line asked for and returns the exit code.
using Action = std::function<int(Context&)>;

// What a positional argument is, for shell completion.
enum class Completes { kNothing, kContainers, kDevices, kImages, kPlugins, kShells };

struct CommandSpec {
  std::string_view name = {};
  std::string_view group = {};     // heading in `ocictl --help`; empty for subcommands
  std::string_view summary = {};   // one line
  std::string_view details = {};   // paragraphs for its own --help
  std::string_view examples = {};  // lines "$ ocictl ...", with '#' comments
  Completes completes = Completes::kNothing;
  // Exits with a process's code: see exit_code.h.
  bool stands_in = false;
  // Signals of ours go to that process: see signals.h.
  bool relays_signals = false;
  // The second positional argument starts a command line, with "--" before it or without.
  bool takes_tail = false;
  // Works without a daemon: no client is made.
  bool offline = false;
  // Adds the options and arguments to `app` and returns what to run once it has parsed them.
  Action (*define)(CLI::App& app) = nullptr;
  // Either these or `define`.
  std::span<const CommandSpec* const> subcommands = {};
  // The subcommand that is meant where the first argument names none.
  const CommandSpec* default_subcommand = nullptr;
};

// All commands, in the order of the help.
std::span<const CommandSpec* const> Commands();

// An option that takes one value each time it is given, unlike CLI11's own, which take all that
// follow.
CLI::Option* AddRepeated(CLI::App& app, const std::string& name, std::vector<std::string>& values,
                         const std::string& description);

// Runs `act` for each id, and goes on where one fails. Returns the last failure's exit code, else
// 0.
int ForEachId(Context& context, const std::vector<std::string>& ids,
              const std::function<absl::Status(const std::string&)>& act);

}  // namespace ocid::cli

#endif  // OCID_CLIENT_CLI_COMMAND_H_
