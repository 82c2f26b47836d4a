#include "runtime/cli/container.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "runtime/base/error_details.h"
#include "runtime/cli/log.h"
#include "runtime/plan/launch_host.h"

namespace ocid {
namespace {

constexpr int kKillTimeoutMs = 10000;
constexpr absl::Duration kCgroupTimeout = absl::Seconds(10);

absl::Status WrongStatus(std::string_view what, const std::string& id, ContainerStatus status) {
  const std::string_view name = ContainerStatusName(status);
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "CONTAINER_STATUS",
      absl::StrCat("cannot ", std::string(what), " container ", id, ": it is ", std::string(name)));
}

// Valid only if it is the process that the record means and not one that got its number.
UniqueFd OpenProcess(const ContainerRecord& record) {
  if (record.pid == 0) return UniqueFd();
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, record.pid, 0)));
  if (ProcessStartTime(record.pid) != record.start_time) return UniqueFd();
  return pidfd;
}

// The specification would have an error here; its own conformance suite, and crun, have none.
bool HasProgram(const PlanView& plan) {
  if (plan.begin(Phase::kStart) != plan.end(Phase::kStart)) return true;
  LogWarning("/process: the spec has none, there is nothing to run");
  return false;
}

absl::Status SendSignal(BorrowedFd pidfd, int signal) {
  if (syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) == 0) {
    return absl::OkStatus();
  }
  return absl::ErrnoToStatus(errno, "send signal");
}

}  // namespace

absl::StatusOr<Container> Container::Open(const RuntimeOptions& runtime, const std::string& id) {
  absl::StatusOr<StateDirectory> state = StateDirectory::Open(runtime.root, id);
  if (!state.ok()) return state.status();
  absl::StatusOr<ContainerRecord> record = state->ReadRecord();
  if (!record.ok()) {
    // Between the two lines of its creator that make the directory and write the record.
    ContainerRecord empty;
    empty.id = id;
    if (!absl::IsNotFound(record.status())) return record.status();
    return Container(runtime, *std::move(state), std::move(empty));
  }
  return Container(runtime, *std::move(state), *std::move(record));
}

absl::Status Container::LockAndReload() {
  const absl::Status locked = state_.Lock();
  if (!locked.ok()) return locked;
  absl::StatusOr<ContainerRecord> record = state_.ReadRecord();
  if (record.ok()) record_ = *std::move(record);
  // Another command was faster, and there may be another container of this name by now.
  const bool had_record = !record_.cgroup_manager.empty();
  if (had_record && absl::IsNotFound(record.status())) return record.status();
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Cgroup>> Container::OpenCgroup() const {
  const absl::StatusOr<CgroupManagerKind> kind = ParseCgroupManagerKind(record_.cgroup_manager);
  if (!kind.ok()) return kind.status();
  const absl::StatusOr<std::unique_ptr<CgroupManager>> manager =
      OpenCgroupManager(*kind, runtime_);
  if (!manager.ok()) return manager.status();
  return (*manager)->Open(record_.id, record_.cgroups_path);
}

ContainerStatus Container::Status() const {
  const ContainerStatus status = state_.StatusOf(record_);
  if (status != ContainerStatus::kRunning) return status;
  const absl::StatusOr<std::unique_ptr<Cgroup>> cgroup = OpenCgroup();
  if (!cgroup.ok()) return status;
  const absl::StatusOr<bool> frozen = (*cgroup)->Frozen();
  return frozen.ok() && *frozen ? ContainerStatus::kPaused : status;
}

nlohmann::json Container::StateJson() const {
  const ContainerStatus status = Status();
  const bool alive = status != ContainerStatus::kStopped;
  nlohmann::json state = {
      {"ociVersion", record_.oci_version}, {"id", record_.id},
      {"pid", alive ? record_.pid : 0},    {"status", std::string(ContainerStatusName(status))},
      {"bundle", record_.bundle},          {"rootfs", record_.rootfs},
      {"created", record_.created},        {"owner", record_.owner}};
  if (!record_.annotations.empty()) state["annotations"] = record_.annotations;
  return state;
}

absl::Status Container::Start() {
  absl::Status status = LockAndReload();
  if (!status.ok()) return status;
  const ContainerStatus now = state_.StatusOf(record_);
  if (now != ContainerStatus::kCreated) return WrongStatus("start", record_.id, now);
  const absl::StatusOr<LaunchPlan> plan = state_.ReadPlan();
  if (!plan.ok()) return plan.status();
  const PlanView& view = plan->view();
  if (!HasProgram(view)) {
    KillAndWait();
    state_.RemoveGate();
    return absl::OkStatus();
  }
  Launched launched;
  launched.pid = record_.pid;
  launched.container = record_.pid;
  launched.pidfd = OpenPidfd();
  const FailureRecord failure = ConnectGate(state_.GatePath().c_str(), &launched);
  status = failure.ok() ? WaitUntilExecuted(view, &launched) : LaunchError(view, failure);
  state_.RemoveGate();
  return status.ok() ? EndStart(view) : status;
}

absl::Status Container::StartOwn(const LaunchPlan& plan, Launched* launched) {
  const PlanView& view = plan.view();
  if (!HasProgram(view)) {
    KillAndWait();
    return absl::OkStatus();
  }
  const FailureRecord failure = OpenGate(*launched);
  const absl::Status status =
      failure.ok() ? WaitUntilExecuted(view, launched) : LaunchError(view, failure);
  return status.ok() ? EndStart(view) : status;
}

absl::Status Container::EndStart(const PlanView& plan) {
  const FailureRecord hooks =
      RunHooks(plan, Phase::kPoststartHooks, record_.pid, BorrowedFd(STDERR_FILENO));
  if (hooks.ok()) return absl::OkStatus();
  KillAndWait();
  return LaunchError(plan, hooks);
}

UniqueFd Container::OpenPidfd() const { return OpenProcess(record_); }

absl::Status Container::Kill(int signal, bool all) {
  // Where the processes of a container are not in a pid namespace of theirs, the end of the first one
  // ends no other.
  if (all || (record_.shares_pids && signal == SIGKILL)) {
    const absl::StatusOr<std::unique_ptr<Cgroup>> cgroup = OpenCgroup();
    const absl::StatusOr<bool> populated =
        cgroup.ok() && (*cgroup)->exists() ? (*cgroup)->Populated() : absl::StatusOr<bool>(false);
    if (populated.ok() && *populated) {
      if (signal == SIGKILL) return (*cgroup)->Kill();
      const absl::StatusOr<std::vector<pid_t>> pids = (*cgroup)->Pids();
      if (!pids.ok()) return pids.status();
      for (const pid_t pid : *pids) kill(pid, signal);
      return absl::OkStatus();
    }
  }
  const UniqueFd pidfd = OpenProcess(record_);
  if (!pidfd.valid()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "CONTAINER_STATUS",
                     "container not running");
  }
  return SendSignal(pidfd, signal);
}

void Container::KillAndWait() {
  const UniqueFd pidfd = OpenProcess(record_);
  if (!pidfd.valid()) return;
  if (!SendSignal(pidfd, SIGKILL).ok()) return;
  pollfd item = {pidfd.get(), POLLIN, 0};
  poll(&item, 1, kKillTimeoutMs);
}

absl::Status Container::TearDown() {
  KillAndWait();
  if (record_.joined_resctrl) {
    const absl::StatusOr<OciSpec> spec = state_.ReadSpec();
    if (spec.ok()) RemoveResctrlGroups(spec->json(), record_.id);
  }
  const absl::StatusOr<std::unique_ptr<Cgroup>> cgroup = OpenCgroup();
  if (!cgroup.ok() && !absl::IsNotFound(cgroup.status())) return cgroup.status();
  if (cgroup.ok()) {
    const absl::Status removed = (*cgroup)->Remove(kCgroupTimeout);
    if (!removed.ok()) return removed;
  }
  // The bind of the root file system onto itself, with all that is mounted there. Without a process
  // it may not be there, and what is mounted there would be the caller's.
  if (!record_.shares_mounts || record_.pid == 0) return absl::OkStatus();
  if (umount2(record_.rootfs.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno == EINVAL) {
    return absl::OkStatus();
  }
  return absl::ErrnoToStatus(errno, absl::StrCat("unmount ", record_.rootfs));
}

absl::Status Container::RunPoststopHooks() {
  const absl::StatusOr<LaunchPlan> plan = state_.ReadPlan();
  if (!plan.ok()) return absl::OkStatus();  // it was not launched
  const FailureRecord failure =
      RunHooks(plan->view(), Phase::kPoststopHooks, 0, BorrowedFd(STDERR_FILENO));
  return failure.ok() ? absl::OkStatus() : LaunchError(plan->view(), failure);
}

absl::Status Container::Delete(bool force) {
  absl::Status status = LockAndReload();
  if (!status.ok()) return status;
  const ContainerStatus now = state_.StatusOf(record_);
  if (now != ContainerStatus::kStopped && !force) return WrongStatus("delete", record_.id, now);
  // A directory without a record holds nothing else.
  if (!record_.cgroup_manager.empty()) {
    status = TearDown();
    if (!status.ok()) return status;
    const absl::Status hooks = RunPoststopHooks();
    // As the specification asks: reported, and no reason to keep the container.
    if (!hooks.ok()) LogWarning(hooks.message());
  }
  return state_.Remove();
}

absl::Status Container::Pause() {
  absl::Status status = LockAndReload();
  if (!status.ok()) return status;
  const ContainerStatus now = Status();
  if (now != ContainerStatus::kRunning && now != ContainerStatus::kCreated) {
    return WrongStatus("pause", record_.id, now);
  }
  const absl::StatusOr<std::unique_ptr<Cgroup>> cgroup = OpenCgroup();
  if (!cgroup.ok()) return cgroup.status();
  return (*cgroup)->Freeze(kCgroupTimeout);
}

absl::Status Container::Resume() {
  absl::Status status = LockAndReload();
  if (!status.ok()) return status;
  const ContainerStatus now = Status();
  if (now != ContainerStatus::kPaused) return WrongStatus("resume", record_.id, now);
  const absl::StatusOr<std::unique_ptr<Cgroup>> cgroup = OpenCgroup();
  if (!cgroup.ok()) return cgroup.status();
  return (*cgroup)->Thaw(kCgroupTimeout);
}

absl::Status Container::Update(const nlohmann::json& resources) {
  absl::Status status = LockAndReload();
  if (!status.ok()) return status;
  const ContainerStatus now = state_.StatusOf(record_);
  if (now == ContainerStatus::kStopped || now == ContainerStatus::kCreating) {
    return WrongStatus("update", record_.id, now);
  }
  absl::StatusOr<OciSpec> spec = state_.ReadSpec();
  if (!spec.ok()) return spec.status();
  const absl::StatusOr<std::unique_ptr<Cgroup>> cgroup = OpenCgroup();
  if (!cgroup.ok()) return cgroup.status();
  status = (*cgroup)->Update(resources);
  if (!status.ok()) return status;
  for (const std::string& warning : (*cgroup)->warnings()) LogWarning(warning);
  spec->json()["linux"]["resources"].merge_patch(resources);
  return state_.WriteSpec(*spec);
}

}  // namespace ocid
