#include "daemon/watchdog.h"

#include <atomic>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "runtime/base/mutex.h"

namespace ocid {

struct Watchdog::State {
  Timers& timers;
  const absl::Duration interval;
  const Probe probe;
  const std::function<void()> feed;
  std::atomic<bool> probing = false;
  Mutex mutex = {};
  bool ended ABSL_GUARDED_BY(mutex) = false;
  TimerId timer ABSL_GUARDED_BY(mutex) = 0;
};

Watchdog::Watchdog(Timers& timers, absl::Duration interval, Probe probe,
                   std::function<void()> feed)
    : state_(new State{.timers = timers,
                       .interval = interval,
                       .probe = std::move(probe),
                       .feed = std::move(feed)}) {
  Tick(state_);
}

Watchdog::~Watchdog() {
  const MutexLock lock(state_->mutex);
  state_->ended = true;
  state_->timers.Cancel(state_->timer);
}

void Watchdog::Tick(const std::shared_ptr<State>& state) {
  {
    const MutexLock lock(state->mutex);
    if (state->ended) return;
    state->timer = state->timers.After(state->interval, [state] { Tick(state); });
  }
  if (state->probing.exchange(true)) return;
  state->probe([state](bool well) {
    state->probing = false;
    if (well) state->feed();
  });
}

}  // namespace ocid
