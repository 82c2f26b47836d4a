// Container: what can be seen of it.

#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/container/container.h"
#include "daemon/container/process_list.h"
#include "daemon/container/proto_time.h"
#include "daemon/container/public_error.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

void SetPressure(const std::optional<Pressure>& pressure,
                 const std::function<v1::ContainerStats::Pressure*()>& mutable_pressure) {
  if (!pressure.has_value()) return;
  v1::ContainerStats::Pressure& out = *mutable_pressure();
  out.set_some_avg10(pressure->some.avg10);
  out.set_some_avg60(pressure->some.avg60);
  out.set_some_avg300(pressure->some.avg300);
  out.set_some_total_us(pressure->some.total_ns / 1000);
  out.set_full_avg10(pressure->full.avg10);
  out.set_full_avg60(pressure->full.avg60);
  out.set_full_avg300(pressure->full.avg300);
  out.set_full_total_us(pressure->full.total_ns / 1000);
}

// The first of the names that memory.stat has: cgroup v2 and v1 call things differently.
std::optional<uint64_t> Detail(const MemoryStats& memory,
                               std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const auto found = memory.details.find(name);
    if (found != memory.details.end()) return found->second;
  }
  return std::nullopt;
}

void SetMemory(const MemoryStats& memory, v1::ContainerStats::Memory& out) {
  out.set_usage_bytes(memory.usage_bytes);
  if (memory.limit_bytes.has_value()) out.set_limit_bytes(*memory.limit_bytes);
  if (memory.peak_bytes.has_value()) out.set_peak_bytes(*memory.peak_bytes);
  if (memory.swap_usage_bytes.has_value()) out.set_swap_bytes(*memory.swap_usage_bytes);
  out.set_oom_kills(memory.oom_kills);
  if (const auto bytes = Detail(memory, {"anon", "total_rss", "rss"})) {
    out.set_anonymous_bytes(*bytes);
  }
  if (const auto bytes = Detail(memory, {"file", "total_cache", "cache"})) {
    out.set_file_bytes(*bytes);
  }
  if (const auto bytes = Detail(memory, {"kernel"})) out.set_kernel_bytes(*bytes);
}

v1::ContainerStats ToStats(const CgroupStats& stats) {
  v1::ContainerStats out;
  if (stats.cpu.has_value()) {
    v1::ContainerStats::Cpu& cpu = *out.mutable_cpu();
    cpu.set_usage_ns(stats.cpu->usage_ns);
    cpu.set_user_ns(stats.cpu->user_ns);
    cpu.set_system_ns(stats.cpu->system_ns);
    cpu.set_periods(stats.cpu->periods);
    cpu.set_throttled_periods(stats.cpu->throttled_periods);
    cpu.set_throttled_ns(stats.cpu->throttled_ns);
  }
  if (stats.memory.has_value()) SetMemory(*stats.memory, *out.mutable_memory());
  if (stats.pids.has_value()) {
    out.mutable_pids()->set_current(stats.pids->current);
    if (stats.pids->limit.has_value()) out.mutable_pids()->set_limit(*stats.pids->limit);
  }
  if (stats.io.has_value()) {
    for (const IoDeviceStats& device : *stats.io) {
      v1::ContainerStats::IoDevice& io = *out.mutable_io()->add_devices();
      io.set_major(device.major);
      io.set_minor(device.minor);
      io.set_read_bytes(device.read_bytes);
      io.set_write_bytes(device.write_bytes);
      io.set_read_operations(device.read_operations);
      io.set_write_operations(device.write_operations);
    }
  }
  for (const HugetlbStats& hugetlb : stats.hugetlb) {
    v1::ContainerStats::Hugetlb& huge = *out.add_hugetlb();
    huge.set_page_size(hugetlb.page_size);
    huge.set_usage_bytes(hugetlb.usage_bytes);
    huge.set_limit_bytes(hugetlb.limit_bytes.value_or(0));
  }
  SetPressure(stats.cpu_pressure, [&] { return out.mutable_cpu()->mutable_pressure(); });
  SetPressure(stats.memory_pressure, [&] { return out.mutable_memory()->mutable_pressure(); });
  SetPressure(stats.io_pressure, [&] { return out.mutable_io()->mutable_pressure(); });
  return out;
}

// What is asked for most stands in the record as it is shown: no journal is read for it.
bool IsInTheRecord(const v1::InspectOciSpecRequest& request,
                   const internal::Generation& generation) {
  const bool is_final =
      request.view() == v1::SPEC_VIEW_FINAL || request.view() == v1::SPEC_VIEW_UNSPECIFIED;
  return is_final && !request.redact() && !generation.final_spec().empty() &&
         !generation.original_sha256().empty();
}

v1::OciSpecHistory FinalHistory(const internal::Generation& generation) {
  v1::OciSpecHistory history;
  history.mutable_original()->set_sha256(generation.original_sha256());
  history.mutable_final()->set_sha256(generation.spec_sha256());
  history.mutable_final()->set_json(generation.final_spec());
  return history;
}

}  // namespace

void Container::ListProcesses(Done<v1::ListProcessesResponse> callback) {
  const absl::Status observable = CheckObservable();
  if (!observable.ok()) return callback(observable);
  OnLane(std::move(callback),
         [](Container& self, Lane::Turn turn, Done<v1::ListProcessesResponse> done) {
           const absl::Status legal = self.Check(LifecycleEvent::kObserve);
           if (!legal.ok()) return done(legal);
           std::vector<pid_t> pids = {self.init_.pid};
           if (self.cgroup_ != nullptr && self.cgroup_->exists()) {
             absl::StatusOr<std::vector<pid_t>> found = self.cgroup_->Pids();
             if (!found.ok()) return done(PublicError(found.status()));
             pids = *std::move(found);
           }
           std::map<pid_t, std::string> exec_pids;
           for (const v1::Exec& exec : self.execs_.List("", SIZE_MAX)) {
             if (exec.pid() != 0) exec_pids.emplace(exec.pid(), exec.id());
           }
           turn.End();
           done(ocid::ListProcesses(pids, exec_pids));
         });
}

void Container::GetStats(Done<v1::ContainerStats> callback) {
  const absl::Status observable = CheckObservable();
  if (!observable.ok()) return callback(observable);
  OnLane(std::move(callback), [](Container& self, Lane::Turn turn, Done<v1::ContainerStats> done) {
    const absl::Status legal = self.Check(LifecycleEvent::kObserve);
    if (!legal.ok()) return done(legal);
    v1::ContainerStats answer;
    if (self.cgroup_ != nullptr && self.cgroup_->exists()) {
      const absl::StatusOr<CgroupStats> stats = self.cgroup_->Stats();
      if (!stats.ok()) return done(PublicError(stats.status()));
      answer = ToStats(*stats);
    }
    answer.set_container_id(self.id_);
    *answer.mutable_time() = ToTimestamp(self.services_.timers.Now());
    turn.End();
    done(std::move(answer));
  });
}

void Container::InspectOciSpec(const v1::InspectOciSpecRequest& request,
                               Done<v1::OciSpecHistory> done) {
  // The record is replaced atomically: it can be read beside whatever the lane is doing.
  auto shared = std::make_shared<Done<v1::OciSpecHistory>>(std::move(done));
  services_.pool.Post([self = shared_from_this(), request, shared] {
    const absl::StatusOr<internal::ContainerRecord> record =
        self->services_.store.GetRecord(self->id_);
    if (!record.ok()) {
      const bool missing = absl::IsNotFound(record.status());
      return (*shared)(missing ? self->GoneError() : PublicError(record.status()));
    }
    const internal::Generation* found = nullptr;
    for (const internal::Generation& generation : record->generations()) {
      if (request.generation() == 0 || generation.number() == request.generation()) {
        found = &generation;
      }
    }
    if (found == nullptr) {
      return (*shared)(MakeError(
          absl::StatusCode::kNotFound, "GENERATION_NOT_FOUND",
          absl::StrCat("container ", self->id_, ": no generation ", request.generation()),
          {{"generation", absl::StrCat(request.generation())}}));
    }
    absl::StatusOr<v1::OciSpecHistory> history =
        IsInTheRecord(request, *found)
            ? FinalHistory(*found)
            : self->services_.compiler.Describe(found->journal(),
                                                {.view = request.view(),
                                                 .include_documents = request.include_documents(),
                                                 .redact = request.redact()});
    if (!history.ok()) return (*shared)(PublicError(history.status()));
    history->set_container_id(self->id_);
    history->set_generation(found->number());
    history->set_executor_sha256(found->executor_sha256());
    (*shared)(std::move(history));
  });
}

void Container::DetectDrift(const v1::DetectDriftRequest& request,
                            Done<v1::DetectDriftResponse> callback) {
  const absl::Status observable = CheckObservable();
  if (!observable.ok()) return callback(observable);
  OnLane(std::move(callback), [redact = request.redact()](Container& self, Lane::Turn turn,
                                                          Done<v1::DetectDriftResponse> done) {
    const absl::Status legal = self.Check(LifecycleEvent::kObserve);
    if (!legal.ok()) return done(legal);
    DriftQuestion question;
    question.container_id = self.id_;
    question.updated_resources = self.updated_resources_;
    question.init_pid = self.init_.pid;
    question.init_start_time = self.init_.start_time;
    question.supervisor_pid = self.supervisor_identity_.pid;
    question.executed = self.state() != v1::CONTAINER_STATE_CREATED;
    question.spec_text = *self.spec_text_;
    if (self.cgroup_ != nullptr && self.cgroup_->exists()) {
      question.cgroups = self.cgroup_->Paths();
    }
    question.systemd = self.services_.cgroups.kind() == CgroupManagerKind::kSystemd;
    question.redact = redact;
    const uint32_t generation = self.view_.generation();
    turn.End();
    done(self.AskForDrift(std::move(question), generation));
  });
}

absl::StatusOr<v1::DetectDriftResponse> Container::AskForDrift(DriftQuestion question,
                                                               uint32_t generation) {
  const absl::StatusOr<internal::ContainerRecord> record = services_.store.GetRecord(id_);
  if (!record.ok()) {
    return absl::IsNotFound(record.status()) ? GoneError() : PublicError(record.status());
  }
  for (const internal::Generation& stored : record->generations()) {
    if (stored.number() == generation) question.journal = stored.journal();
  }
  absl::StatusOr<v1::DetectDriftResponse> answer = services_.compiler.DetectDrift(question);
  if (!answer.ok()) return PublicError(answer.status());
  AnnounceDrift(*answer, generation);
  return answer;
}

// One event for each set of differences, however often somebody looks.
void Container::AnnounceDrift(const v1::DetectDriftResponse& found, uint32_t generation) {
  constexpr int kMostNamed = 5;
  std::string drifts;
  std::string named;
  for (const v1::SpecDrift& drift : found.drifts()) {
    absl::StrAppend(&drifts, drift.pointer(), "=", drift.observed(), "\n");
  }
  for (int i = 0; i < found.drifts_size() && i < kMostNamed; ++i) {
    absl::StrAppend(&named, i == 0 ? ": " : ", ", found.drifts(i).pointer());
  }
  {
    MutexLock lock(mutex_);
    if (last_drifts_ == drifts) return;
    last_drifts_ = drifts;
  }
  if (drifts.empty()) return;
  v1::Event event;
  event.set_type(v1::Event::DRIFT_DETECTED);
  event.set_container_id(id_);
  event.set_generation(generation);
  event.set_detail(absl::StrCat(found.drifts_size(), " differences from the spec", named,
                                found.drifts_size() > kMostNamed ? ", ..." : ""));
  services_.events.Append(std::move(event));
}

}  // namespace ocid
