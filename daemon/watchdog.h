// Watchdog: tells the service manager that the daemon is alive, for as long as it is.
//
//   Watchdog watchdog(timers, interval, probe, [] { sd_notify(0, "WATCHDOG=1"); });
//
// Every `interval` it begins a probe, unless the one before has not come back, and feeds when a probe
// says that all is well. So a daemon whose threads wait for each other is not fed, and the service
// manager ends and restarts it (WatchdogSec= in systemd.service(5)); its containers do not notice.
//
// Thread-safe. Nothing blocks. Destroying it begins no more probes; one under way may still come back.
#ifndef OCID_DAEMON_WATCHDOG_H_
#define OCID_DAEMON_WATCHDOG_H_

#include <functional>
#include <memory>

#include "absl/time/time.h"
#include "daemon/base/timers.h"

namespace ocid {

class Watchdog {
 public:
  using Result = std::function<void(bool well)>;
  using Probe = std::function<void(Result result)>;  // `result` from any thread, at most once

  // `timers` must outlive it. The first probe begins at once.
  Watchdog(Timers& timers, absl::Duration interval, Probe probe, std::function<void()> feed);
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog();

 private:
  struct State;
  static void Tick(const std::shared_ptr<State>& state);

  const std::shared_ptr<State> state_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_WATCHDOG_H_
