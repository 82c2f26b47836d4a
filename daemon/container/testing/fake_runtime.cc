#include "daemon/container/testing/fake_runtime.h"

#include <signal.h>
#include <sys/socket.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/nri/plugin_calls.h"
#include "nlohmann/json.hpp"
#include "runtime/base/error_details.h"

namespace ocid {

// ---- Supervisors

class FakeHandle final : public SupervisorHandle {
 public:
  FakeHandle(FakeRuntime& runtime, std::shared_ptr<FakeRuntime::Supervisor> supervisor)
      : runtime_(runtime), supervisor_(std::move(supervisor)) {}

  pid_t supervisor_pid() const override { return 1; }
  ProcessIdentity init() const override { return {supervisor_->pid, 1}; }

  absl::Status Start(absl::Duration) override {
    const absl::Status failure = runtime_.Step("start");
    MutexLock lock(runtime_.mutex_);
    if (runtime_.starts_hang_) {
      while (runtime_.supervisors_.contains(supervisor_->id)) runtime_.killed_.Wait(runtime_.mutex_);
      return absl::UnavailableError("the supervisor is gone");
    }
    if (supervisor_->init != ProcessState::kCreated) return Wrong();
    supervisor_->init = failure.ok() ? ProcessState::kRunning : ProcessState::kExited;
    return failure;
  }

  absl::Status Signal(int signal, absl::Duration) override {
    return runtime_.SignalInit(supervisor_->id, signal);
  }

  absl::Status SignalExec(std::string_view exec_id, int signal, absl::Duration) override {
    if (signal == SIGKILL) runtime_.ExitExec(supervisor_->id, std::string(exec_id), 137);
    return absl::OkStatus();
  }

  absl::StatusOr<ExecStarted> Exec(const ExecRequest& request, absl::Duration) override {
    const absl::Status failure = runtime_.Step("exec");
    if (!failure.ok()) return failure;
    MutexLock lock(runtime_.mutex_);
    if (supervisor_->init != ProcessState::kRunning) return Wrong();
    ExecStatus& exec = supervisor_->execs[request.exec_id];
    exec.exec_id = request.exec_id;
    exec.status.state = ProcessState::kRunning;
    exec.status.process = {runtime_.next_pid_++, 1};
    return ExecStarted{exec.status.process, request.attach ? MakeStream() : UniqueFd()};
  }

  absl::Status Resize(std::string_view, uint16_t, uint16_t, absl::Duration) override {
    return absl::OkStatus();
  }
  absl::Status CloseStdin(std::string_view, absl::Duration) override { return absl::OkStatus(); }
  absl::StatusOr<UniqueFd> Attach(std::string_view, AttachOffsets, absl::Duration) override {
    return MakeStream();
  }

  absl::StatusOr<SupervisorStatus> Status(absl::Duration) override {
    MutexLock lock(runtime_.mutex_);
    return StatusLocked();
  }

  absl::Status RemoveExec(std::string_view exec_id, absl::Duration) override {
    MutexLock lock(runtime_.mutex_);
    const bool erased = supervisor_->execs.erase(std::string(exec_id)) != 0;
    return erased ? absl::OkStatus() : absl::NotFoundError("no such exec");
  }

  absl::Status Shutdown(absl::Duration) override {
    MutexLock lock(runtime_.mutex_);
    if (supervisor_->init != ProcessState::kExited) return Wrong();
    ++supervisor_->shutdowns;
    runtime_.supervisors_.erase(supervisor_->id);
    return absl::OkStatus();
  }

  absl::Status KillSupervisor() override {
    MutexLock lock(runtime_.mutex_);
    runtime_.supervisors_.erase(supervisor_->id);
    runtime_.killed_.SignalAll();
    return absl::OkStatus();
  }

  SupervisorStatus StatusLocked() const {
    SupervisorStatus status;
    status.supervisor_pid = 1;
    status.init = {supervisor_->init, {supervisor_->pid, 1}, supervisor_->exit};
    for (const auto& [id, exec] : supervisor_->execs) status.execs.push_back(exec);
    return status;
  }

 private:
  static absl::Status Wrong() { return absl::FailedPreconditionError("wrong state"); }
  static UniqueFd MakeStream() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return UniqueFd();
    const UniqueFd other(ends[1]);
    return UniqueFd(ends[0]);
  }

  FakeRuntime& runtime_;
  const std::shared_ptr<FakeRuntime::Supervisor> supervisor_;
};

class FakeHost final : public SupervisorHost {
 public:
  explicit FakeHost(FakeRuntime& runtime) : runtime_(runtime) {}
  ~FakeHost() override { runtime_.Disconnect(); }

  absl::StatusOr<std::shared_ptr<SupervisorHandle>> Create(const CreateRequest& request,
                                                           SupervisorCallbacks callbacks,
                                                           absl::Duration) override {
    const absl::Status failure = runtime_.Step("spawn");
    if (!failure.ok()) return failure;
    auto supervisor = std::make_shared<FakeRuntime::Supervisor>();
    supervisor->id = request.id;
    supervisor->callbacks = std::move(callbacks);
    MutexLock lock(runtime_.mutex_);
    supervisor->pid = runtime_.next_pid_++;
    runtime_.supervisors_[request.id] = supervisor;
    return std::make_shared<FakeHandle>(runtime_, supervisor);
  }

  absl::StatusOr<std::shared_ptr<SupervisorHandle>> Reattach(BorrowedFd state_dir,
                                                             SupervisorCallbacks callbacks,
                                                             absl::Duration,
                                                             SupervisorStatus* status) override {
    char path[4096];
    const ssize_t length = ::readlink(absl::StrCat("/proc/self/fd/", state_dir.get()).c_str(), path,
                                      sizeof(path));
    const std::string directory(path, length > 0 ? static_cast<size_t>(length) : 0);
    MutexLock lock(runtime_.mutex_);
    const auto found = runtime_.supervisors_.find(directory.substr(directory.rfind('/') + 1));
    if (found == runtime_.supervisors_.end()) {
      return MakeError(absl::StatusCode::kUnavailable, kReasonSupervisorGone, "nobody answers");
    }
    found->second->callbacks = std::move(callbacks);
    auto handle = std::make_shared<FakeHandle>(runtime_, found->second);
    *status = handle->StatusLocked();
    return handle;
  }

 private:
  FakeRuntime& runtime_;
};

// ---- Cgroups

class FakeCgroup final : public Cgroup {
 public:
  FakeCgroup(FakeRuntime& runtime, std::string id) : runtime_(runtime), id_(std::move(id)) {}

  bool exists() const override { return true; }
  BorrowedFd unified_fd() const override { return BorrowedFd(); }
  std::vector<BorrowedFd> v1_procs_fds() const override { return {}; }
  void ReleaseAnchor() override {}
  std::vector<CgroupPath> Paths() const override { return {{"", "/fake/" + id_}}; }
  std::string unit() const override { return ""; }
  const std::vector<std::string>& warnings() const override { return warnings_; }
  absl::Status Freeze(absl::Duration) override {
    MutexLock lock(runtime_.mutex_);
    runtime_.frozen_.insert(id_);
    return absl::OkStatus();
  }
  absl::Status Thaw(absl::Duration) override {
    MutexLock lock(runtime_.mutex_);
    runtime_.frozen_.erase(id_);
    return absl::OkStatus();
  }
  absl::StatusOr<bool> Frozen() const override {
    MutexLock lock(runtime_.mutex_);
    return runtime_.frozen_.contains(id_);
  }
  absl::Status Kill() override { return runtime_.SignalInit(id_, SIGKILL); }
  absl::StatusOr<std::vector<pid_t>> Pids() const override {
    std::vector<pid_t> pids;
    MutexLock lock(runtime_.mutex_);
    const auto found = runtime_.supervisors_.find(id_);
    if (found != runtime_.supervisors_.end() && found->second->init != ProcessState::kExited) {
      pids.push_back(found->second->pid);
    }
    return pids;
  }
  absl::StatusOr<bool> Populated() const override { return !Pids()->empty(); }
  absl::StatusOr<CgroupStats> Stats() const override {
    CgroupStats stats;
    stats.pids = PidsStats{.current = Pids()->size(), .limit = std::nullopt};
    return stats;
  }
  absl::StatusOr<uint64_t> OomKillCount() const override {
    MutexLock lock(runtime_.mutex_);
    const auto found = runtime_.cgroups_.find(id_);
    return found == runtime_.cgroups_.end() ? 0 : found->second;
  }
  UniqueFd OpenOomKillFile() const override { return {}; }
  absl::Status Update(const nlohmann::json&) override { return runtime_.Step("update"); }
  absl::Status GiveTo(uid_t) override { return absl::OkStatus(); }
  absl::Status Remove(absl::Duration) override {
    MutexLock lock(runtime_.mutex_);
    runtime_.cgroups_.erase(id_);
    return absl::OkStatus();
  }

 private:
  FakeRuntime& runtime_;
  const std::string id_;
  const std::vector<std::string> warnings_;
};

class FakeCgroups final : public CgroupManager {
 public:
  explicit FakeCgroups(FakeRuntime& runtime) : runtime_(runtime) {}

  CgroupManagerKind kind() const override { return CgroupManagerKind::kCgroupfs; }
  std::string Describe() const override { return "fake"; }
  absl::Status Validate(std::string_view, std::string_view,
                        const nlohmann::json&) const override {
    return runtime_.Step("validate");
  }
  absl::StatusOr<std::unique_ptr<Cgroup>> Create(std::string_view id, std::string_view,
                                                 const nlohmann::json&,
                                                 const std::vector<UnitProperty>&) override {
    const absl::Status failure = runtime_.Step("cgroup");
    if (!failure.ok()) return failure;
    MutexLock lock(runtime_.mutex_);
    runtime_.cgroups_.emplace(id, 0);
    return std::make_unique<FakeCgroup>(runtime_, std::string(id));
  }
  absl::StatusOr<std::unique_ptr<Cgroup>> Open(std::string_view id, std::string_view) override {
    MutexLock lock(runtime_.mutex_);
    if (!runtime_.cgroups_.contains(std::string(id))) return absl::NotFoundError("no cgroup");
    return std::make_unique<FakeCgroup>(runtime_, std::string(id));
  }

 private:
  FakeRuntime& runtime_;
};

// ---- Specs

class FakeCompiler final : public SpecCompiler {
 public:
  explicit FakeCompiler(FakeRuntime& runtime) : runtime_(runtime) {}

  absl::StatusOr<GeneratedSpec> Generate(const std::string& container_id,
                                         const v1::ContainerConfig& config,
                                         absl::Time, PluginCalls* plugins) const override {
    const absl::Status failure = runtime_.Step("generate");
    if (!failure.ok()) return failure;
    if (plugins != nullptr) {
      nri::CreateContainerRequest request;
      request.mutable_pod()->set_id(container_id);
      request.mutable_container()->set_id(container_id);
      for (size_t i = 0; i < plugins->plugins().size(); ++i) {
        const absl::StatusOr<CreateAnswer> answer = plugins->CreateContainer(i, request);
        if (!answer.ok()) return answer.status();
      }
    }
    {
      MutexLock lock(runtime_.mutex_);
      ++runtime_.generated_;
    }
    nlohmann::json document = {{"ociVersion", "1.2.0"}, {"hostname", container_id}};
    for (const std::string& arg : config.args()) document["process"]["args"].push_back(arg);
    OciSpec spec(std::move(document));
    std::string digest = spec.Digest();
    return GeneratedSpec{std::move(spec), std::move(digest), "journal of " + container_id};
  }

  absl::StatusOr<CompiledPlan> CompilePlan(const std::string&, const v1::ContainerConfig&,
                                           const OciSpec& spec,
                                           const LaunchPlaces&) const override {
    const absl::Status failure = runtime_.Step("plan");
    if (!failure.ok()) return failure;
    return CompiledPlan{"plan", spec.Digest()};
  }

  absl::StatusOr<std::string> CompileExecPlan(const std::string&, const v1::ContainerConfig&,
                                              const OciSpec&,
                                              const v1::ExecConfig&) const override {
    const absl::Status failure = runtime_.Step("exec plan");
    if (!failure.ok()) return failure;
    return std::string("exec plan");
  }

  absl::StatusOr<v1::DetectDriftResponse> DetectDrift(const DriftQuestion& question) const override {
    const absl::Status failure = runtime_.Step("drift");
    if (!failure.ok()) return failure;
    v1::DetectDriftResponse response;
    response.add_checked("/hostname");
    MutexLock lock(runtime_.mutex_);
    if (!runtime_.drift_.empty()) {
      v1::SpecDrift& drift = *response.add_drifts();
      drift.set_pointer("/hostname");
      drift.set_expected(question.container_id);
      drift.set_observed(runtime_.drift_);
    }
    return response;
  }

  absl::StatusOr<v1::OciSpecHistory> Describe(std::string_view journal,
                                              const HistoryOptions&) const override {
    v1::OciSpecHistory history;
    history.mutable_final()->set_json(std::string(journal));
    return history;
  }

 private:
  FakeRuntime& runtime_;
};

// ---- FakeRuntime

void FakeRuntime::SetDrift(std::string observed) {
  MutexLock lock(mutex_);
  drift_ = std::move(observed);
}

void FakeRuntime::HangStarts() {
  MutexLock lock(mutex_);
  starts_hang_ = true;
}

void FakeRuntime::FailAt(const std::string& step) {
  MutexLock lock(mutex_);
  fail_at_ = step;
}

absl::Status FakeRuntime::Step(const std::string& step) {
  MutexLock lock(mutex_);
  if (step != fail_at_) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "LAUNCH_FAILED",
                   absl::StrCat("injected: ", step));
}

void FakeRuntime::SetObedience(bool to_term, bool to_kill) {
  MutexLock lock(mutex_);
  dies_by_term_ = to_term;
  dies_by_kill_ = to_kill;
}

absl::Status FakeRuntime::SignalInit(const std::string& id, int signal) {
  bool dies = false;
  {
    MutexLock lock(mutex_);
    const auto found = supervisors_.find(id);
    if (found == supervisors_.end() || found->second->init == ProcessState::kExited) {
      return absl::FailedPreconditionError("it has exited");
    }
    dies = (signal == SIGTERM && dies_by_term_) || (signal == SIGKILL && dies_by_kill_);
  }
  if (dies) ExitInit(id, 0, signal);
  return absl::OkStatus();
}

void FakeRuntime::ExitInit(const std::string& id, int code, int signal) {
  std::function<void(const ExitRecord&)> tell;
  ExitRecord record;
  {
    MutexLock lock(mutex_);
    const auto found = supervisors_.find(id);
    if (found == supervisors_.end() || found->second->init == ProcessState::kExited) return;
    Supervisor& supervisor = *found->second;
    supervisor.init = ProcessState::kExited;
    supervisor.exit.code = code;
    supervisor.exit.signal = signal;
    supervisor.exit.time_unix_ns = absl::ToUnixNanos(absl::Now());
    record = supervisor.exit;
    tell = supervisor.callbacks.on_init_exit;
  }
  if (tell) tell(record);
}

void FakeRuntime::ExitExec(const std::string& id, const std::string& exec_id, int code) {
  std::function<void(const std::string&, const ExitRecord&)> tell;
  ExitRecord record;
  record.code = code;
  {
    MutexLock lock(mutex_);
    const auto found = supervisors_.find(id);
    if (found == supervisors_.end()) return;
    ExecStatus& exec = found->second->execs[exec_id];
    exec.status.state = ProcessState::kExited;
    exec.status.exit = record;
    tell = found->second->callbacks.on_exec_exit;
  }
  if (tell) tell(exec_id, record);
}

void FakeRuntime::LoseSupervisor(const std::string& id) {
  std::function<void()> tell;
  {
    MutexLock lock(mutex_);
    const auto found = supervisors_.find(id);
    if (found == supervisors_.end()) return;
    tell = found->second->callbacks.on_lost;
    supervisors_.erase(found);
  }
  if (tell) tell();
}

void FakeRuntime::OomKill(const std::string& id) {
  {
    MutexLock lock(mutex_);
    ++cgroups_[id];
  }
  ExitInit(id, 0, SIGKILL);
}

void FakeRuntime::Disconnect() {
  MutexLock lock(mutex_);
  for (auto& [id, supervisor] : supervisors_) supervisor->callbacks = {};
}

size_t FakeRuntime::supervisors() const {
  MutexLock lock(mutex_);
  return supervisors_.size();
}

size_t FakeRuntime::cgroups() const {
  MutexLock lock(mutex_);
  return cgroups_.size();
}

int FakeRuntime::generated() const {
  MutexLock lock(mutex_);
  return generated_;
}

std::unique_ptr<SupervisorHost> FakeRuntime::MakeHost() { return std::make_unique<FakeHost>(*this); }
std::unique_ptr<CgroupManager> FakeRuntime::MakeCgroups() {
  return std::make_unique<FakeCgroups>(*this);
}
std::unique_ptr<SpecCompiler> FakeRuntime::MakeCompiler() {
  return std::make_unique<FakeCompiler>(*this);
}

}  // namespace ocid
