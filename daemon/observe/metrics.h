// Metrics: what Prometheus is told, at http://HOST:PORT/metrics of a listener of its own.
//
// Calls and phases are counted when they happen; everything else is looked up when somebody asks. What
// costs more to look up, the memory of supervisors, is looked up at most every 30 s and for at most
// kMaxSupervisors of them; the sum then stands for all.
//
// Labels have few values: methods, codes, states, plugins. Never ids of containers.
//
// It has no certificates: loopback, or a network where everybody may read how many containers there are.
// Thread-safe. Open blocks. Source: prometheus.io/docs/practices/naming.
#ifndef OCID_DAEMON_OBSERVE_METRICS_H_
#define OCID_DAEMON_OBSERVE_METRICS_H_

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/api/call_gate.h"

namespace ocid {

class AuditLog;
class CdiRegistry;
class ContainerManager;
class NriHost;

class Metrics final : public CallObserver {
 public:
  static constexpr int kMaxSupervisors = 1000;

  // What is looked up. All of it outlives the Metrics, or Stop.
  struct Sources {
    ContainerManager* containers = nullptr;
    const CdiRegistry* devices = nullptr;
    const NriHost* plugins = nullptr;   // may be null
    const AuditLog* audit = nullptr;    // likewise
    std::function<std::map<std::string, size_t>()> connections = nullptr;  // by peer
    std::function<uint64_t()> refused_connections = nullptr;
    std::function<std::map<std::string, size_t>()> queued_work = nullptr;  // by pool
  };

  // Listens; answers once Start was called. `address`: "127.0.0.1:9464".
  static absl::StatusOr<std::unique_ptr<Metrics>> Open(const std::string& address);
  ~Metrics() override;

  void Start(Sources sources);
  void Stop();

  void OnBegin(const ApiMethod& method) override;
  void OnEnd(const ApiMethod& method, absl::StatusCode code, absl::Duration duration) override;
  void OnPhase(std::string_view phase, absl::Duration duration);

 private:
  struct Parts;
  explicit Metrics(std::unique_ptr<Parts> parts);

  const std::unique_ptr<Parts> parts_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_OBSERVE_METRICS_H_
