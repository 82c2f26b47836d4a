// LogContext: what call the work on this thread belongs to, so that every line of the log it leads to,
// and every event, can name it.
//
//   const ScopedLogContext scope(context);   // until the end of the block
//
// ThreadPool and Lane carry the context of whoever posts to the thread that runs what was posted.
// What a context holds does not change. Thread-safe; nothing blocks.
// Source: W3C Trace Context, https://www.w3.org/TR/trace-context/.
#ifndef OCID_DAEMON_BASE_LOG_CONTEXT_H_
#define OCID_DAEMON_BASE_LOG_CONTEXT_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace ocid {

struct LogContext {
  std::string trace_id;  // 32 hexadecimal digits; empty: the caller sent none
  std::string method;    // "ocid.v1.ContainerService/Start"
};

namespace internal_log {
inline thread_local std::shared_ptr<const LogContext> current;
}  // namespace internal_log

// Null: this thread works for no call.
inline const std::shared_ptr<const LogContext>& CurrentLogContext() {
  return internal_log::current;
}

class ScopedLogContext {
 public:
  explicit ScopedLogContext(std::shared_ptr<const LogContext> context)
      : before_(std::exchange(internal_log::current, std::move(context))) {}
  ScopedLogContext(const ScopedLogContext&) = delete;
  ScopedLogContext& operator=(const ScopedLogContext&) = delete;
  ~ScopedLogContext() { internal_log::current = std::move(before_); }

 private:
  std::shared_ptr<const LogContext> before_;
};

// The trace id of a `traceparent` header: "00-<32 hex>-<16 hex>-<2 hex>". Empty where it is malformed,
// as the specification asks: such a header counts as absent.
std::string TraceIdOf(std::string_view traceparent);

}  // namespace ocid

#endif  // OCID_DAEMON_BASE_LOG_CONTEXT_H_
