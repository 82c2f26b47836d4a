#include "daemon/nri/plugin_stats.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ocid {
namespace {

constexpr double kGrowth = 1.2;
constexpr size_t kMaxErrorBytes = 1024;

std::string Shortened(std::string text) {
  if (text.size() > kMaxErrorBytes) text.resize(kMaxErrorBytes);
  return text;
}

}  // namespace

void PluginStats::Add(std::string_view method, const RpcResult& result, absl::Duration duration) {
  const bool answered =
      result.kind == RpcResult::Kind::kAnswered || result.kind == RpcResult::Kind::kError;
  MutexLock lock(mutex_);
  ++numbers_.calls;
  numbers_.total += duration;
  if (answered) {
    const double microseconds = std::max(1.0, absl::ToDoubleMicroseconds(duration));
    const auto bucket = static_cast<size_t>(std::log(microseconds) / std::log(kGrowth));
    ++buckets_[std::min(bucket, kBuckets - 1)];
    ++answered_;
  }
  if (result.ok()) return;
  if (result.kind == RpcResult::Kind::kTimeout) {
    ++numbers_.timeouts;
  } else {
    ++numbers_.failures;
  }
  numbers_.last_error = Shortened(
      absl::StrCat(absl::string_view(method.data(), method.size()), ": ", result.message));
}

void PluginStats::SetError(std::string error) {
  MutexLock lock(mutex_);
  numbers_.last_error = Shortened(std::move(error));
}

absl::Duration PluginStats::Percentile(double fraction) const {
  const auto rank = static_cast<uint64_t>(std::ceil(fraction * static_cast<double>(answered_)));
  uint64_t seen = 0;
  for (size_t bucket = 0; bucket < kBuckets && answered_ > 0; ++bucket) {
    seen += buckets_[bucket];
    // The middle of the bucket.
    if (seen >= rank) return absl::Microseconds(std::pow(kGrowth, static_cast<double>(bucket) + 0.5));
  }
  return absl::ZeroDuration();
}

PluginStats::Numbers PluginStats::Read() const {
  MutexLock lock(mutex_);
  Numbers numbers = numbers_;
  numbers.p50 = Percentile(0.5);
  numbers.p99 = Percentile(0.99);
  return numbers;
}

}  // namespace ocid
