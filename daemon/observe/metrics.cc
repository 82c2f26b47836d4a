#include "daemon/observe/metrics.h"

#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <set>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/access/audit_log.h"
#include "daemon/base/version.h"
#include "daemon/cdi/cdi_registry.h"
#include "daemon/container/container_manager.h"
#include "daemon/events/event_log.h"
#include "daemon/nri/nri_host.h"
#include "daemon/observe/process_facts.h"
#include "runtime/base/mutex.h"

namespace ocid {
namespace {

using prometheus::ClientMetric;
using prometheus::Histogram;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<std::pair<std::string, std::string>>;

constexpr size_t kCodes = 17;
constexpr absl::Duration kSupervisorInterval = absl::Seconds(30);

// From what a read takes (100 us) to what a launch may (minutes).
const Histogram::BucketBoundaries& Buckets() {
  static const auto* const kBuckets = new Histogram::BucketBoundaries{
      0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
      0.1,    0.25,    0.5,    1,     2.5,    5,     10,   30,    120};
  return *kBuckets;
}

// Families that are made anew for every answer.
class Answer {
 public:
  explicit Answer(std::vector<MetricFamily>& families) : families_(families) {}

  void Gauge(const char* name, const char* help, double value, const Labels& labels = {}) {
    Add(name, help, MetricType::Gauge, labels).gauge.value = value;
  }
  void Counter(const char* name, const char* help, double value, const Labels& labels = {}) {
    Add(name, help, MetricType::Counter, labels).counter.value = value;
  }
  ClientMetric& Add(const char* name, const char* help, MetricType type, const Labels& labels) {
    MetricFamily* family = nullptr;
    for (MetricFamily& known : families_) {
      if (known.name == name) family = &known;
    }
    if (family == nullptr) {
      family = &families_.emplace_back();
      family->name = name;
      family->help = help;
      family->type = type;
    }
    ClientMetric& metric = family->metric.emplace_back();
    for (const auto& [key, value] : labels) metric.label.push_back({key, value});
    return metric;
  }

 private:
  std::vector<MetricFamily>& families_;
};

template <typename Number>
double ToDouble(Number number) {
  return static_cast<double>(number);
}

void DescribeProcess(Answer& answer) {
  const ProcessFacts facts = ReadProcessFacts();
  answer.Gauge("process_resident_memory_bytes", "Resident memory of ocid.",
               ToDouble(facts.resident_bytes));
  answer.Gauge("process_virtual_memory_bytes", "Virtual memory of ocid.",
               ToDouble(facts.virtual_bytes));
  answer.Gauge("process_open_fds", "Open descriptors of ocid.", ToDouble(facts.descriptors));
  answer.Gauge("process_max_fds", "Descriptors that ocid may have.",
               ToDouble(facts.max_descriptors));
  answer.Gauge("process_threads", "Threads of ocid.", ToDouble(facts.threads));
  answer.Counter("process_cpu_seconds_total", "CPU time of ocid.", facts.cpu_seconds);
  answer.Gauge("process_start_time_seconds", "When ocid started, since the Unix epoch.",
               facts.start_time_seconds);
  answer.Gauge("ocid_build_info", "1, with the version of ocid.", 1,
               {{"version", std::string(kVersion)}});
}

void DescribeDevices(const CdiRegistry& registry, Answer& answer) {
  const std::shared_ptr<const CdiSnapshot> snapshot = registry.Snapshot();
  const CdiRegistry::Refreshes refreshes = registry.refreshes();
  answer.Gauge("ocid_cdi_devices", "CDI devices known at the last look.",
               snapshot == nullptr ? 0 : ToDouble(snapshot->devices.size()));
  answer.Gauge("ocid_cdi_errors", "CDI files and devices that could not be used at the last look.",
               snapshot == nullptr
                   ? 0
                   : ToDouble(snapshot->errors.size() + snapshot->conflicts.size()));
  ClientMetric& refresh = answer.Add("ocid_cdi_refresh_duration_seconds",
                                     "What looking at the CDI folders took.", MetricType::Summary, {});
  refresh.summary.sample_count = refreshes.count;
  refresh.summary.sample_sum = absl::ToDoubleSeconds(refreshes.total);
}

void DescribePlugins(const NriHost& host, Answer& answer) {
  size_t connected = 0;
  std::set<std::string> seen;  // of one that is gone and one that is there, the latter
  for (const PluginReport& plugin : host.List()) {
    connected += plugin.connected ? 1 : 0;
    if (!seen.insert(plugin.name).second) continue;
    const Labels labels = {{"plugin", plugin.name}};
    ClientMetric& calls = answer.Add("ocid_nri_plugin_call_duration_seconds",
                                     "What calls of a plugin took.", MetricType::Summary, labels);
    calls.summary.sample_count = plugin.numbers.calls;
    calls.summary.sample_sum = absl::ToDoubleSeconds(plugin.numbers.total);
    calls.summary.quantile = {{0.5, absl::ToDoubleSeconds(plugin.numbers.p50)},
                              {0.99, absl::ToDoubleSeconds(plugin.numbers.p99)}};
    answer.Counter("ocid_nri_plugin_failures_total", "Calls that a plugin answered with an error.",
                   ToDouble(plugin.numbers.failures), labels);
    answer.Counter("ocid_nri_plugin_timeouts_total", "Calls that a plugin did not answer in time.",
                   ToDouble(plugin.numbers.timeouts), labels);
  }
  answer.Gauge("ocid_nri_plugins", "NRI plugins that are connected.", ToDouble(connected));
}

void DescribeEvents(EventLog& events, Answer& answer) {
  answer.Gauge("ocid_event_log_last_sequence", "Number of the newest event.",
               ToDouble(events.last_sequence()));
  answer.Gauge("ocid_event_log_size_bytes", "Size of the event log's files.",
               ToDouble(events.DiskBytes()));
  answer.Counter("ocid_event_log_lost_events_total", "Events that could not be written.",
                 ToDouble(events.lost_events()));
  const std::vector<uint64_t> lags = events.Lags();
  uint64_t longest = 0;
  for (const uint64_t lag : lags) longest = std::max(longest, lag);
  answer.Gauge("ocid_event_watchers", "Watchers of events.", ToDouble(lags.size()));
  answer.Gauge("ocid_event_watcher_lag_max_events", "Events that the slowest watcher has to read.",
               ToDouble(longest));
}

}  // namespace

struct Metrics::Parts {
  // Everything that is looked up when somebody asks.
  class Looker final : public prometheus::Collectable {
   public:
    void Set(std::unique_ptr<const Sources> sources) {
      const MutexLock lock(mutex_);
      sources_ = std::move(sources);
    }
    std::vector<MetricFamily> Collect() const override;

   private:
    void DescribeContainers(const ContainerManager& containers, Answer& answer) const
        ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

    // Held while an answer is made: Set waits for it, and so does who else asks.
    mutable Mutex mutex_;
    std::unique_ptr<const Sources> sources_ ABSL_GUARDED_BY(mutex_);
    mutable absl::Time supervisors_time_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
    mutable uint64_t supervisors_pss_ ABSL_GUARDED_BY(mutex_) = 0;
  };

  Histogram& Latency(const ApiMethod& method, absl::StatusCode code) {
    const auto number = std::min(static_cast<size_t>(code), kCodes - 1);
    std::atomic<Histogram*>& slot = histograms[method.index * kCodes + number];
    Histogram* histogram = slot.load(std::memory_order_acquire);
    if (histogram == nullptr) {
      // Of two that come at the same time both get the same.
      histogram = &latencies.Add(
          {{"method", method.name}, {"code", absl::StatusCodeToString(code)}}, Buckets());
      slot.store(histogram, std::memory_order_release);
    }
    return *histogram;
  }

  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  std::shared_ptr<Looker> looker = std::make_shared<Looker>();
  prometheus::Family<Histogram>& latencies =
      prometheus::BuildHistogram()
          .Name("ocid_rpc_duration_seconds")
          .Help("How long calls of the API took, streams from their beginning to their end.")
          .Register(*registry);
  prometheus::Family<Histogram>& phases =
      prometheus::BuildHistogram()
          .Name("ocid_container_phase_duration_seconds")
          .Help("How long the parts of a container's life took: spec, rootfs, cgroup, plan and launch "
                "of a create, start, stop, delete.")
          .Register(*registry);
  prometheus::Gauge& in_flight = prometheus::BuildGauge()
                                     .Name("ocid_rpc_in_flight")
                                     .Help("Calls of the API under way, streams included.")
                                     .Register(*registry)
                                     .Add({});
  std::vector<std::atomic<Histogram*>> histograms =
      std::vector<std::atomic<Histogram*>>((MethodTable::Get().methods().size() + 1) * kCodes);
  std::unique_ptr<prometheus::Exposer> exposer;
};

void Metrics::Parts::Looker::DescribeContainers(const ContainerManager& containers,
                                                Answer& answer) const {
  const ManagerInfo info = containers.GetInfo();
  for (const auto& [state, count] : info.containers_by_state) {
    answer.Gauge("ocid_containers", "Containers by state.", count,
                 {{"state", absl::AsciiStrToLower(state)}});
  }
  answer.Gauge("ocid_quarantined_records", "Records that could not be read at the start.",
               ToDouble(info.quarantined.size()));
  size_t waiting = 0;
  for (const auto& [id, count] : containers.QueuedOperations()) waiting += count;
  answer.Gauge("ocid_container_operations_queued", "Operations that wait for their container.",
               ToDouble(waiting));

  if (absl::Now() - supervisors_time_ >= kSupervisorInterval) {
    v1::ListContainersRequest request;
    request.set_page_size(kMaxSupervisors);
    const absl::StatusOr<v1::ListContainersResponse> page = containers.List(request);
    uint64_t sum = 0;
    uint64_t sampled = 0;
    for (int i = 0; page.ok() && i < page->containers_size(); ++i) {
      if (page->containers(i).supervisor_pid() == 0) continue;
      sum += ReadPssBytes(page->containers(i).supervisor_pid());
      ++sampled;
    }
    uint64_t all = 0;
    for (const auto& [state, count] : info.containers_by_state) all += count;
    const bool more = page.ok() && !page->next_page_token().empty();
    supervisors_pss_ = more && sampled > 0 ? sum / kMaxSupervisors * all : sum;
    supervisors_time_ = absl::Now();
  }
  answer.Gauge("ocid_supervisors_pss_bytes",
               "Memory of all supervisors, each page shared out among those who have it.",
               ToDouble(supervisors_pss_));
}

std::vector<MetricFamily> Metrics::Parts::Looker::Collect() const {
  std::vector<MetricFamily> families;
  Answer answer(families);
  DescribeProcess(answer);
  const MutexLock lock(mutex_);
  if (sources_ == nullptr) return families;
  DescribeContainers(*sources_->containers, answer);
  DescribeDevices(*sources_->devices, answer);
  if (sources_->plugins != nullptr) DescribePlugins(*sources_->plugins, answer);
  DescribeEvents(sources_->containers->events(), answer);
  size_t connections = 0;
  for (const auto& [peer, count] : sources_->connections()) connections += count;
  answer.Gauge("ocid_connections", "Clients that are connected.", ToDouble(connections));
  answer.Counter("ocid_connections_refused_total", "Connections beyond a limit.",
                 ToDouble(sources_->refused_connections()));
  for (const auto& [pool, count] : sources_->queued_work()) {
    answer.Gauge("ocid_pool_queue_length", "Work that waits for a thread.", ToDouble(count),
                 {{"pool", pool}});
  }
  if (sources_->audit != nullptr) {
    answer.Counter("ocid_audit_lines_total", "Lines of the audit log.",
                   ToDouble(sources_->audit->written()));
    answer.Counter("ocid_audit_lost_lines_total", "Lines that the audit log could not write.",
                   ToDouble(sources_->audit->lost()));
  }
  return families;
}

absl::StatusOr<std::unique_ptr<Metrics>> Metrics::Open(const std::string& address) {
  auto parts = std::make_unique<Parts>();
  try {
    parts->exposer = std::make_unique<prometheus::Exposer>(address);
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat("metrics-listen: ", address, ": ", error.what()));
  }
  parts->exposer->RegisterCollectable(parts->registry);
  parts->exposer->RegisterCollectable(parts->looker);
  return std::unique_ptr<Metrics>(new Metrics(std::move(parts)));
}

Metrics::Metrics(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Metrics::~Metrics() = default;

void Metrics::Start(Sources sources) {
  parts_->looker->Set(std::make_unique<const Sources>(std::move(sources)));
}

void Metrics::Stop() { parts_->looker->Set(nullptr); }

void Metrics::OnBegin(const ApiMethod&) { parts_->in_flight.Increment(); }

void Metrics::OnEnd(const ApiMethod& method, absl::StatusCode code, absl::Duration duration) {
  parts_->in_flight.Decrement();
  parts_->Latency(method, code).Observe(absl::ToDoubleSeconds(duration));
}

void Metrics::OnPhase(std::string_view phase, absl::Duration duration) {
  parts_->phases.Add({{"phase", std::string(phase)}}, Buckets())
      .Observe(absl::ToDoubleSeconds(duration));
}

}  // namespace ocid
