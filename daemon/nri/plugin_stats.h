// PluginStats: what calls to one plugin took and how they ended.
//
// Latencies are counted in buckets that grow by a fifth, so a percentile is off by at most a tenth and
// memory does not grow. Thread-safe; nothing blocks.
#ifndef OCID_DAEMON_NRI_PLUGIN_STATS_H_
#define OCID_DAEMON_NRI_PLUGIN_STATS_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "daemon/nri/plugin_channel.h"
#include "runtime/base/mutex.h"

namespace ocid {

class PluginStats {
 public:
  struct Numbers {
    uint64_t calls = 0;
    uint64_t failures = 0;  // errors it answered
    uint64_t timeouts = 0;
    std::string last_error;
    absl::Duration p50;  // of calls that were answered; zero: there were none
    absl::Duration p99;
    absl::Duration total;  // of all calls, answered or not
  };

  void Add(std::string_view method, const RpcResult& result, absl::Duration duration);
  // Something that is no call's end: a refused edit, a policy's.
  void SetError(std::string error);
  Numbers Read() const;

 private:
  static constexpr size_t kBuckets = 128;  // from 1 us: 1.2^127 us is longer than any timeout

  absl::Duration Percentile(double fraction) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  Numbers numbers_ ABSL_GUARDED_BY(mutex_);
  uint64_t answered_ ABSL_GUARDED_BY(mutex_) = 0;
  std::array<uint64_t, kBuckets> buckets_ ABSL_GUARDED_BY(mutex_) = {};
};

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_PLUGIN_STATS_H_
