// What the host does for a container besides cgroups: linux.netDevices, linux.intelRdt.
//
// Source: runtime-spec config-linux.md.
#include <linux/sched.h>
#include <net/if.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "runtime/plan/compile_context.h"

namespace ocid {
namespace {

// As dev_valid_name() of the kernel has it; a name in the container may hold one %d.
bool IsDeviceName(const std::string& name, bool may_count) {
  if (name.empty() || name.size() >= IFNAMSIZ || name == "." || name == "..") return false;
  const auto bad = [](unsigned char c) { return c == '/' || c == ':' || c <= ' ' || c == 0x7f; };
  if (std::any_of(name.begin(), name.end(), bad)) return false;
  const size_t percent = name.find('%');
  if (percent == std::string::npos) return true;
  return may_count && name.compare(percent, 2, "%d") == 0 &&
         name.find('%', percent + 1) == std::string::npos;
}

// A directory of resctrl or below its mon_groups.
bool IsGroupName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of("/\n") == std::string::npos;
}

// Lines as resctrl's file takes them, the ones with a name of their own first.
std::string Schemata(const JsonCursor& rdt) {
  std::string text;
  const auto add = [&text](const JsonCursor& where, const std::string& line) {
    if (line.empty()) return;
    if (line.find(':') == std::string::npos) where.Invalid("must be lines of NAME:ID=VALUE");
    absl::StrAppend(&text, line, line.back() == '\n' ? "" : "\n");
  };
  add(rdt["l3CacheSchema"], rdt["l3CacheSchema"].String());
  add(rdt["memBwSchema"], rdt["memBwSchema"].String());
  for (const JsonCursor& line : rdt["schemata"].Elements()) add(line, line.String());
  return text;
}

}  // namespace

void CompileNetDevices(CompileContext& context) {
  const JsonCursor devices = context.spec["linux"]["netDevices"];
  if (devices.Members().empty()) return;
  if ((context.named_namespaces & CLONE_NEWNET) == 0) {
    return devices.Invalid("needs a network namespace");
  }
  PlanWriter& writer = context.writer;
  for (const auto& [name, device] : devices.Members()) {
    std::string renamed = device["name"].String();
    if (renamed.empty()) renamed = name;
    if (!IsDeviceName(name, /*may_count=*/false)) device.Invalid("is no name of a network device");
    if (!IsDeviceName(renamed, /*may_count=*/true)) {
      device["name"].Invalid("is no name of a network device");
    }
    writer.Add(Phase::kAfterClone, Opcode::kMoveNetDevice, device.pointer(), {},
               {writer.Text(name), writer.Text(renamed)});
  }
}

void CompileIntelRdt(CompileContext& context, const std::string& id) {
  const JsonCursor rdt = context.spec["linux"]["intelRdt"];
  if (!rdt.exists()) return;
  if (context.host.resctrl.empty()) {
    return rdt.Unsupported("resctrl is not mounted on this host (Intel RDT, AMD QoS)");
  }
  const std::string closid = rdt["closID"].String();
  const std::string schemata = Schemata(rdt);
  const bool is_root = closid == "/";
  const std::string name = closid.empty() ? id : closid;
  if (!is_root && !IsGroupName(name)) rdt["closID"].Invalid("is no name of a directory");
  uint64_t flags = 0;
  if (!closid.empty()) {
    flags = schemata.empty() || is_root ? uint64_t{kResctrlMustExist} : uint64_t{kResctrlMayExist};
  }
  const std::string group =
      is_root ? context.host.resctrl : absl::StrCat(context.host.resctrl, "/", name);
  const std::string monitor =
      rdt["enableMonitoring"].Bool() ? absl::StrCat(group, "/mon_groups/", id) : "";
  PlanWriter& writer = context.writer;
  writer.Add(Phase::kAfterClone, Opcode::kJoinResctrl, rdt.pointer(), {flags},
             {writer.Text(group), writer.Text(schemata), writer.Text(monitor)});
}

}  // namespace ocid
