// ocirun list, ps; and the state document in words.
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "runtime/cli/command.h"

namespace ocid {
namespace {

using OrderedJson = nlohmann::ordered_json;

// runc's tests compare the order.
OrderedJson OrderedState(const Container& container) {
  const nlohmann::json state = container.StateJson();
  OrderedJson ordered;
  for (const char* name : {"ociVersion", "id", "pid", "status", "bundle", "rootfs", "created",
                           "annotations", "owner"}) {
    const auto found = state.find(name);
    if (found != state.end()) ordered[name] = *found;
  }
  return ordered;
}

std::string Dump(const OrderedJson& json, int indent) {
  return json.dump(indent, ' ', false, OrderedJson::error_handler_t::replace);
}

// Columns as wide as their widest cell.
std::string Table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(rows[0].size());
  for (const std::vector<std::string>& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const std::vector<std::string>& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      absl::StrAppend(&text, row[i]);
      if (i + 1 < row.size()) text.append(widths[i] - row[i].size() + 3, ' ');
    }
    text += '\n';
  }
  text.pop_back();
  return text;
}

absl::StatusOr<std::string> OutputFormat(const Flags& flags) {
  std::string format = flags.Value("format", "table");
  if (format == "table" || format == "json") return format;
  return absl::InvalidArgumentError(absl::StrCat("invalid format option: ", format));
}

// What ps(1) prints with these options.
absl::StatusOr<std::string> HostProcessTable(std::vector<std::string> options) {
  int ends[2] = {-1, -1};
  if (pipe(ends) != 0) return absl::ErrnoToStatus(errno, "pipe");
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  options.insert(options.begin(), "ps");
  std::vector<char*> arguments;
  for (std::string& option : options) arguments.push_back(option.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, writer.get(), STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&actions, reader.get());
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, "ps", &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return absl::ErrnoToStatus(error, "run ps");
  writer.reset();
  std::string text;
  char bytes[4096];
  for (;;) {
    const ssize_t size = read(reader.get(), bytes, sizeof(bytes));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    text.append(bytes, static_cast<size_t>(size));
  }
  int status = 0;
  waitpid(pid, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return text;
  return absl::FailedPreconditionError("ps failed");
}

// The header, and the lines whose PID column names one of `pids`.
std::string FilterByPid(const std::string& table, const std::vector<pid_t>& pids) {
  std::set<std::string> wanted;
  for (const pid_t pid : pids) wanted.insert(absl::StrCat(pid));
  const std::vector<std::string> lines = absl::StrSplit(table, '\n', absl::SkipEmpty());
  if (lines.empty()) return table;
  const std::vector<std::string> header = absl::StrSplit(lines[0], ' ', absl::SkipEmpty());
  const auto column =
      static_cast<size_t>(std::find(header.begin(), header.end(), "PID") - header.begin());
  std::string text = lines[0];
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::vector<std::string> cells = absl::StrSplit(lines[i], ' ', absl::SkipEmpty());
    if (column < cells.size() && wanted.contains(cells[column])) {
      absl::StrAppend(&text, "\n", lines[i]);
    }
  }
  return text;
}

}  // namespace

std::string StateText(const Container& container, int indent) {
  return Dump(OrderedState(container), indent);
}

absl::StatusOr<int> RunList(const Invocation& invocation) {
  const absl::StatusOr<std::string> format = OutputFormat(invocation.flags);
  if (!format.ok()) return format.status();
  const absl::StatusOr<std::vector<std::string>> ids =
      StateDirectory::List(invocation.runtime.root);
  const bool fails = !absl::IsNotFound(ids.status()) || invocation.root_is_explicit;
  if (!ids.ok() && fails) return ids.status();
  std::vector<std::vector<std::string>> rows = {
      {"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"}};
  OrderedJson all = OrderedJson::array();
  const std::vector<std::string> none;
  for (const std::string& id : ids.ok() ? *ids : none) {
    const absl::StatusOr<Container> container = Container::Open(invocation.runtime, id);
    if (!container.ok()) continue;  // deleted while we looked
    if (invocation.flags.Switch("quiet")) {
      Print(id);
      continue;
    }
    OrderedJson state = OrderedState(*container);
    rows.push_back({id, absl::StrCat(state["pid"].get<int>()), state["status"], state["bundle"],
                    state["created"], state["owner"]});
    all.push_back(std::move(state));
  }
  if (invocation.flags.Switch("quiet")) return 0;
  if (*format == "json") {
    // As Go writes an empty slice.
    Print(all.empty() ? "null" : Dump(all, -1));
  } else {
    Print(Table(rows));
  }
  return 0;
}

absl::StatusOr<int> RunPs(const Invocation& invocation) {
  const std::vector<std::string>& words = invocation.flags.positionals();
  if (words.empty()) return absl::InvalidArgumentError("ps: needs a container ID");
  const absl::StatusOr<std::string> format = OutputFormat(invocation.flags);
  if (!format.ok()) return format.status();
  const absl::StatusOr<Container> container = Container::Open(invocation.runtime, words[0]);
  if (!container.ok()) return container.status();
  std::vector<pid_t> pids;
  const absl::StatusOr<std::unique_ptr<Cgroup>> cgroup = container->OpenCgroup();
  if (cgroup.ok()) {
    absl::StatusOr<std::vector<pid_t>> listed = (*cgroup)->Pids();
    if (!listed.ok()) return listed.status();
    pids = *std::move(listed);
  } else if (!absl::IsNotFound(cgroup.status())) {
    return cgroup.status();
  }
  if (*format == "json") {
    Print(Dump(OrderedJson(pids), -1));
    return 0;
  }
  std::vector<std::string> options(words.begin() + 1, words.end());
  if (options.empty()) options.push_back("-ef");
  const absl::StatusOr<std::string> table = HostProcessTable(options);
  if (!table.ok()) return table.status();
  Print(FilterByPid(*table, pids));
  return 0;
}

}  // namespace ocid
