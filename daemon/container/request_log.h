// RequestLog: makes a mutation that carries a request_id safe to retry.
//
//   RequestLog::Key key{caller, request_id, DigestRequest(request)};
//   done = log.Begin<v1::Container>(key, std::move(done));
//   if (done == nullptr) return;     // a retry: it is answered with the first answer, now or later
//   ... do it, and call done ...
//
// A retry with another request gets INVALID_ARGUMENT, REQUEST_ID_REUSED. Answers are remembered for an
// hour, the newest ten thousand at most; errors that say "not now" (RESOURCE_EXHAUSTED, UNAVAILABLE)
// are not, since nothing was done. Requests without an id pass through.
//
// Thread-safe; nothing blocks. Answers go out under no lock.
#ifndef OCID_DAEMON_CONTAINER_REQUEST_LOG_H_
#define OCID_DAEMON_CONTAINER_REQUEST_LOG_H_

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/base/timers.h"
#include "google/protobuf/message.h"
#include "runtime/base/mutex.h"

namespace ocid {

// "sha256:<hex>" over the kind of the message and what it says besides its request_id.
std::string DigestRequest(const google::protobuf::Message& request);

class RequestLog {
 public:
  static constexpr absl::Duration kMemory = absl::Hours(1);
  static constexpr size_t kMaxAnswers = 10000;

  struct Key {
    std::string caller;
    std::string request_id;  // empty: none
    std::string digest;
  };

  explicit RequestLog(const Timers& timers) : timers_(timers) {}

  template <class T>
  using Answer = absl::AnyInvocable<void(absl::StatusOr<T>)>;

  // What to answer with instead of `done`; null where this is a retry.
  template <class T>
  Answer<T> Begin(const Key& key, Answer<T> done) {
    if (key.request_id.empty()) return done;
    auto raw = [done = std::move(done)](const absl::Status& status,
                                        const std::string& bytes) mutable {
      if (!status.ok()) return done(status);
      T message;
      message.ParseFromString(bytes);
      done(std::move(message));
    };
    if (!Enter(key, std::move(raw))) return nullptr;
    return [this, name = std::make_pair(key.caller, key.request_id)](absl::StatusOr<T> answer) {
      Finish(name, answer.status(), answer.ok() ? answer->SerializeAsString() : std::string());
    };
  }

 private:
  using Name = std::pair<std::string, std::string>;  // caller, request id
  using RawAnswer = absl::AnyInvocable<void(const absl::Status&, const std::string&)>;

  struct Entry {
    std::string digest;
    bool answered = false;
    absl::Status status;
    std::string bytes;
    std::vector<RawAnswer> waiting;  // the first caller and those who retried meanwhile
  };

  // True where this is the first with its name.
  bool Enter(const Key& key, RawAnswer answer);
  void Finish(const Name& name, const absl::Status& status, const std::string& bytes);
  void ForgetOld() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Timers& timers_;
  Mutex mutex_;
  std::map<Name, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::pair<absl::Time, Name>> answered_ ABSL_GUARDED_BY(mutex_);  // oldest first
};

}  // namespace ocid

#endif  // OCID_DAEMON_CONTAINER_REQUEST_LOG_H_
