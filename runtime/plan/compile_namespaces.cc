// linux.namespaces, linux.uidMappings, linux.gidMappings, linux.timeOffsets.
//
// Source: runtime-spec config-linux.md; namespaces(7), user_namespaces(7), time_namespaces(7).
#include <linux/sched.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/plan/compile_context.h"

namespace ocid {
namespace {

constexpr std::pair<std::string_view, uint64_t> kNamespaceTypes[] = {
    {"pid", CLONE_NEWPID},   {"network", CLONE_NEWNET},   {"mount", CLONE_NEWNS},
    {"ipc", CLONE_NEWIPC},   {"uts", CLONE_NEWUTS},       {"user", CLONE_NEWUSER},
    {"time", CLONE_NEWTIME}, {"cgroup", CLONE_NEWCGROUP},
};

// A map's text must fit a page, and the kernel takes 340 lines (user_namespaces(7)).
constexpr size_t kMaxMappings = 340;

// Namespaces that a process enters before it clones, so that the child is born there. The child
// could not enter them from a user namespace of its own.
void CompileJoin(CompileContext& context, const JsonCursor& entry, uint64_t flag) {
  const std::string path = entry["path"].String();
  if (path.front() != '/') return entry["path"].Invalid("must be absolute");
  // The child itself enters a mount namespace: the launcher must stay where the host's files are.
  const Phase phase = flag == CLONE_NEWNS ? Phase::kRoot : Phase::kBeforeClone;
  context.writer.Add(phase, Opcode::kJoinNamespace, entry.pointer(), {flag},
                     {context.writer.Text(path)});
}

}  // namespace

std::string IdMapText(const JsonCursor& list) {
  std::string text;
  const std::vector<JsonCursor> entries = list.Elements();
  if (entries.empty()) list.Invalid("a user namespace needs at least one mapping");
  if (entries.size() > kMaxMappings) list.Invalid("the kernel takes at most 340 mappings");
  for (const JsonCursor& entry : entries) {
    const uint64_t size = entry["size"].Unsigned(0, UINT32_MAX);
    if (size == 0) entry["size"].Invalid("must not be 0");
    absl::StrAppend(&text, entry["containerID"].Unsigned(0, UINT32_MAX), " ",
                    entry["hostID"].Unsigned(0, UINT32_MAX), " ", size, "\n");
  }
  return text;
}

namespace {

bool MapsOneId(const JsonCursor& list, uint32_t id) {
  const std::vector<JsonCursor> entries = list.Elements();
  return entries.size() == 1 && entries[0]["size"].Unsigned() == 1 &&
         entries[0]["hostID"].Unsigned() == id;
}

void AddMapper(CompileContext& context, const JsonCursor& list, const std::string& program,
               std::string_view name) {
  if (program.empty()) {
    return list.Unsupported(absl::StrCat("an ordinary user may map its own id alone where ",
                                         absl::string_view(name.data(), name.size()),
                                         " is not installed"));
  }
  std::vector<std::string> arguments = {std::string(name)};
  for (const JsonCursor& entry : list.Elements()) {
    for (const char* member : {"containerID", "hostID", "size"}) {
      arguments.push_back(absl::StrCat(entry[member].Unsigned(0, UINT32_MAX)));
    }
  }
  context.writer.Add(Phase::kAfterClone, Opcode::kMapIdsByProgram, list.pointer(),
                     {arguments.size()},
                     {context.writer.Text(program), context.writer.List(arguments)});
}

void CompileIdMaps(CompileContext& context, const JsonCursor& linux) {
  const JsonCursor uids = linux["uidMappings"];
  const JsonCursor gids = linux["gidMappings"];
  if ((context.new_namespaces & CLONE_NEWUSER) == 0) {
    // Engines send dummies along with a namespace by path, because there are runtimes that want some.
    const bool joins = context.has_user_namespace();
    for (const JsonCursor& list : {uids, gids}) {
      if (list.Elements().empty()) continue;
      if (!joins) list.Invalid("needs a new user namespace");
      context.warnings.push_back(
          absl::StrCat(list.pointer(), ": ignored, the user namespace that is joined has its own"));
    }
    return;
  }
  const std::string uid_map = IdMapText(uids);
  const std::string gid_map = IdMapText(gids);
  PlanWriter& writer = context.writer;
  if (!context.host.privileged) {
    writer.header().flags |= kPlanMapsAsUser;
    if (!context.denies_setgroups()) {
      AddMapper(context, gids, context.host.newgidmap, "newgidmap");
      AddMapper(context, uids, context.host.newuidmap, "newuidmap");
      return;
    }
    writer.Add(Phase::kAfterClone, Opcode::kWriteProcSelf, gids.pointer(), {},
               {writer.Text("setgroups"), writer.Text("deny")});
  }
  writer.Add(Phase::kAfterClone, Opcode::kWriteIdMaps, uids.pointer(), {},
             {writer.Text(uid_map), writer.Text(gid_map)});
}

// The clone is born into a time namespace whose offsets were set before: afterwards they are fixed.
void CompileTimeNamespace(CompileContext& context, const JsonCursor& linux) {
  const JsonCursor offsets = linux["timeOffsets"];
  if ((context.new_namespaces & CLONE_NEWTIME) == 0) {
    if (!offsets.Members().empty()) offsets.Invalid("needs a new time namespace");
    return;
  }
  context.writer.Add(Phase::kBeforeClone, Opcode::kUnshare, offsets.pointer(), {CLONE_NEWTIME});
  std::string text;
  for (const auto& [clock, offset] : offsets.Members()) {
    if (clock != "monotonic" && clock != "boottime") {
      offset.Invalid("must be monotonic or boottime");
      continue;
    }
    absl::StrAppend(&text, clock, " ", offset["secs"].Signed(), " ",
                    offset["nanosecs"].Unsigned(0, 999999999), "\n");
  }
  if (text.empty()) return;
  context.writer.Add(Phase::kBeforeClone, Opcode::kWriteProcSelf, offsets.pointer(), {},
                     {context.writer.Text("timens_offsets"), context.writer.Text(text)});
}

}  // namespace

bool CompileContext::has_user_namespace() const { return (named_namespaces & CLONE_NEWUSER) != 0; }

bool CompileContext::binds_devices() const {
  return has_user_namespace() || host.in_user_namespace;
}

bool CompileContext::denies_setgroups() const {
  if (host.privileged || (new_namespaces & CLONE_NEWUSER) == 0) return false;
  const JsonCursor linux = spec["linux"];
  return MapsOneId(linux["uidMappings"], host.uid) && MapsOneId(linux["gidMappings"], host.gid);
}

bool CompileContext::has_own_mount_namespace() const { return (new_namespaces & CLONE_NEWNS) != 0; }

void ReadNamespaces(CompileContext& context) {
  for (const JsonCursor& entry : context.spec["linux"]["namespaces"].Elements()) {
    const std::string type = entry["type"].String();
    const auto* known =
        std::find_if(std::begin(kNamespaceTypes), std::end(kNamespaceTypes),
                     [&type](const auto& candidate) { return candidate.first == type; });
    if (known == std::end(kNamespaceTypes)) {
      entry["type"].Invalid("unknown type of namespace");
      continue;
    }
    const uint64_t flag = known->second;
    if ((context.named_namespaces & flag) != 0) entry["type"].Invalid("named twice");
    context.named_namespaces |= flag;
    if (entry["path"].String().empty()) context.new_namespaces |= flag;
  }
}

void CompileNamespaces(CompileContext& context) {
  const JsonCursor linux = context.spec["linux"];
  // Who has privileges loses them in a user namespace, and who has none finds them there: so it comes
  // last or first.
  const auto join = [&](bool user) {
    for (const JsonCursor& entry : linux["namespaces"].Elements()) {
      if (entry["path"].String().empty()) continue;
      const std::string type = entry["type"].String();
      for (const auto& [name, flag] : kNamespaceTypes) {
        if (name == type && (flag == CLONE_NEWUSER) == user) CompileJoin(context, entry, flag);
      }
    }
  };
  join(/*user=*/!context.host.privileged);
  CompileTimeNamespace(context, linux);
  join(/*user=*/context.host.privileged);
  if (!context.network_namespace.empty()) {
    context.writer.Add(Phase::kBeforeClone, Opcode::kJoinNamespace, linux["namespaces"].pointer(),
                       {CLONE_NEWNET}, {context.writer.Text(context.network_namespace)});
  }
  CompileIdMaps(context, linux);
  // A cgroup namespace has its root where the process is when it is made: after it entered its
  // cgroup.
  const uint64_t made_otherwise = CLONE_NEWCGROUP | CLONE_NEWTIME |
                                  (context.network_namespace.empty() ? 0 : CLONE_NEWNET);
  context.writer.header().clone_flags = context.new_namespaces & ~made_otherwise;
  if ((context.new_namespaces & CLONE_NEWCGROUP) != 0) {
    context.writer.Add(Phase::kRoot, Opcode::kUnshare, linux["namespaces"].pointer(),
                       {CLONE_NEWCGROUP});
  }
}

}  // namespace ocid
