#include "runtime/plan/plan_compile.h"

#include <linux/sched.h>

#include <utility>

#include "runtime/base/error_details.h"
#include "runtime/plan/compile_context.h"

namespace ocid {
namespace {

absl::Status RequireAbsolute(std::string_view what, const std::string& path) {
  if (!path.empty() && path.front() == '/') return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "PATH_NOT_ABSOLUTE",
                   std::string(what) + ": must be an absolute path");
}

std::string FindRootfs(const CompileContext& context, const std::string& override_path) {
  if (!override_path.empty()) return override_path;
  const JsonCursor path = context.spec["root"]["path"];
  const std::string text = path.String();
  if (text.empty()) path.Invalid("is missing");
  return ResolvePath(context.bundle, text);
}

absl::StatusOr<LaunchPlan> Finish(CompileContext&& context, const absl::Status& error) {
  if (!error.ok()) return error;
  const std::string bytes = std::move(context.writer).Finish();
  if (bytes.size() > kMaxPlanBytes) {
    return MakeError(absl::StatusCode::kInvalidArgument, "SPEC_TOO_LARGE",
                     "the spec compiles to a plan of more than 16 MiB");
  }
  return LaunchPlan::Parse(bytes, std::move(context.warnings));
}

}  // namespace

std::string CleanPlanPath(std::string_view path) {
  std::string clean;
  size_t begin = 0;
  while (begin < path.size()) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view name = path.substr(begin, end - begin);
    if (!name.empty() && name != ".") clean.append("/").append(name);
    begin = end + 1;
  }
  return clean.empty() ? "/" : clean;
}

std::string ResolvePath(std::string_view base, std::string_view path) {
  if (!path.empty() && path.front() == '/') return CleanPlanPath(path);
  return CleanPlanPath(std::string(base) + "/" + std::string(path));
}

bool IsBeneath(std::string_view path, std::string_view directory) {
  return path.size() > directory.size() && path.substr(0, directory.size()) == directory &&
         path[directory.size()] == '/';
}

uint32_t TakeSlot(CompileContext& context, const JsonCursor& where) {
  if (context.next_slot < kMaxSlots) return context.next_slot++;
  where.Unsupported("too many mounts with mapped ids, or bind mounts and devices for a container "
                    "with a user namespace");
  return 0;
}

uint32_t AddOpenTree(CompileContext& context, const JsonCursor& where, std::string_view path,
                     bool recursive, SourceCheck check) {
  // The mapped root of a user namespace may not be able to reach the source, so that all are opened
  // before the child becomes it; else one slot does.
  uint32_t slot = 0;
  Phase phase = Phase::kSetup;
  if (context.has_user_namespace()) {
    slot = TakeSlot(context, where);
    phase = Phase::kRoot;
  }
  context.writer.Add(phase, Opcode::kOpenTree, where.pointer(),
                     {slot, recursive ? 1u : 0u, static_cast<uint64_t>(check)},
                     {context.writer.Text(path)});
  return slot;
}

absl::StatusOr<LaunchPlan> CompileCreate(const CreatePlanRequest& request) {
  absl::Status error = RequireAbsolute("bundle", request.bundle);
  if (!error.ok()) return error;
  CompileContext context{JsonCursor(request.spec, "", &error), request.host, request.seccomp_cache,
                         request.bundle};
  context.writer.header().flags |= kPlanHasGate;
  ReadNamespaces(context);
  if ((context.new_namespaces & CLONE_NEWNET) != 0 && !context.has_user_namespace()) {
    context.network_namespace = request.network_namespace;
  }
  if (!context.has_own_mount_namespace()) context.writer.header().flags |= kPlanSharesMounts;
  CompileState(context, request.id);
  context.writer.Add(Phase::kRoot, Opcode::kNewSession, "", {request.keep_keyring ? 1u : 0u});
  CompileNamespaces(context);
  CompileNetDevices(context);
  CompileIntelRdt(context, request.id);
  CompileMounts(context, {FindRootfs(context, request.rootfs_override), request.cgroup_mounts});
  CompileDevices(context);
  // createContainer hooks come before pivot_root, and everything that hides something after them.
  CompileHooks(context);
  const JsonCursor process = context.spec["process"];
  if (process.exists()) {
    const std::string directory = CleanPlanPath(process["cwd"].String());
    if (directory != "/") {
      context.writer.Add(Phase::kEnter, Opcode::kMakeDirectory, process["cwd"].pointer(), {0755},
                         {context.writer.Text(directory)});
    }
  }
  CompileKernelSettings(context);
  CompileEnterRoot(context);
  if (process.exists()) {
    CompileProcessPrepare(context, process, /*joins=*/false);
    CompileProcessStart(context, process);
  }
  if (context.has_user_namespace()) {
    context.writer.Add(Phase::kRoot, Opcode::kBecomeNamespaceRoot, "");
  }
  return Finish(std::move(context), error);
}

absl::StatusOr<LaunchPlan> CompileExec(const ExecPlanRequest& request) {
  absl::Status error = RequireAbsolute("bundle", request.bundle);
  if (!error.ok()) return error;
  CompileContext context{JsonCursor(request.spec, "", &error), request.host, request.seccomp_cache,
                         request.bundle};
  PlanWriter& writer = context.writer;
  writer.header().flags |= kPlanJoins;
  ReadNamespaces(context);
  CompileState(context, request.id);
  const JsonCursor process(request.process, "/process", &error);
  if (!process.exists()) process.Invalid("is missing");
  CompileProcessPrepare(context, process, /*joins=*/true);
  writer.Add(Phase::kRoot, Opcode::kJoinProcess, "",
             {context.named_namespaces, context.has_own_mount_namespace() ? 0u : 1u});
  if ((context.named_namespaces & CLONE_NEWPID) != 0) {
    writer.header().flags |= kPlanClonesAgain;
    writer.Add(Phase::kRoot, Opcode::kCloneAgain, "");
  }
  writer.Add(Phase::kRoot, Opcode::kNewSession, "");
  if ((context.named_namespaces & CLONE_NEWUSER) != 0) {
    writer.Add(Phase::kRoot, Opcode::kBecomeNamespaceRoot, "");
  }
  CompileProcessStart(context, process);
  return Finish(std::move(context), error);
}

}  // namespace ocid
