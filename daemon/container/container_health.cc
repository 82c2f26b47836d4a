// Container: how it is, while it runs: its health check, and whether its log can be written.

#include <fcntl.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/log.h"
#include "daemon/container/container.h"
#include "daemon/container/proto_time.h"

namespace ocid {

std::shared_ptr<HealthMonitor> Container::health() const {
  MutexLock lock(mutex_);
  return health_;
}

void Container::AddHealth(v1::Container& view) const {
  const std::shared_ptr<HealthMonitor> monitor = health();
  if (monitor != nullptr) *view.mutable_health() = monitor->health();
}

void Container::BeginHealth(const HealthState& known) {
  if (!view_.config().has_health_check() || services_.closing) return;
  const v1::HealthCheck& check = view_.config().health_check();
  HealthMonitor::Target target;
  target.supervisor = supervisor();
  if (target.supervisor == nullptr) return;
  const absl::StatusOr<std::shared_ptr<const OciSpec>> spec = ParsedSpec();
  v1::ExecConfig config;
  *config.mutable_args() = check.args();
  absl::StatusOr<std::string> plan =
      spec.ok() ? services_.compiler.CompileExecPlan(id_, view_.config(), **spec, config)
                : absl::StatusOr<std::string>(spec.status());
  if (!plan.ok()) {
    AddWarning(absl::StrCat("the health check cannot be run: ",
                            std::string(plan.status().message())));
    return Publish();
  }
  target.plan = *std::move(plan);
  LendCgroup(&target.cgroup2, &target.cgroup1);

  const std::weak_ptr<Container> weak = weak_from_this();
  HealthMonitor::Hooks hooks;
  hooks.changed = LaterOnLane([generation = view_.generation()](Container& self) {
    const std::shared_ptr<HealthMonitor> monitor = self.health();
    if (monitor == nullptr || generation != self.view_.generation()) return;
    const v1::Health health = monitor->health();
    v1::Event event;
    event.set_type(v1::Event::HEALTH_CHANGED);
    event.set_container_id(self.id_);
    event.set_generation(generation);
    event.set_health(health.status());
    if (health.status() == v1::HEALTH_STATUS_UNHEALTHY && !health.probes().empty()) {
      const v1::Health::Probe& last = *health.probes().rbegin();
      event.set_detail(last.error().empty() ? absl::StrCat("exit code ", last.exit_code())
                                            : last.error());
    }
    self.services_.events.Append(std::move(event));
    self.StoreStateOrLog();
  });
  hooks.paused = [weak] {
    const std::shared_ptr<Container> self = weak.lock();
    return self == nullptr || self->snapshot()->state() != v1::CONTAINER_STATE_RUNNING;
  };
  auto monitor = std::make_shared<HealthMonitor>(RulesOf(check), services_.pool, services_.timers,
                                                 services_.control_timeout, std::move(hooks));
  monitor->Begin(std::move(target), FromTimestamp(view_.start_time()), known);
  MutexLock lock(mutex_);
  health_.swap(monitor);
}

void Container::EndHealth() {
  std::shared_ptr<HealthMonitor> last;  // dies outside the lock
  {
    MutexLock lock(mutex_);
    last.swap(health_);
  }
  if (last != nullptr) last->End();
}

void Container::HandleLogState(const LogState& state) {
  v1::Event event;
  event.set_type(state.writable ? v1::Event::LOG_RESUMED : v1::Event::LOG_INTERRUPTED);
  event.set_container_id(id_);
  event.set_generation(view_.generation());
  event.set_detail(absl::StrCat(state.dropped_bytes, " bytes could not be written"));
  services_.events.Append(std::move(event));
  if (state.writable) return;
  AddWarning("output was lost: it could not be written to the log");
  Publish();
  StoreStateOrLog();
}

}  // namespace ocid
