// ExecTable: the execs of one container: what is known about each, and who waits for its end.
//
// An exec is CREATED, then RUNNING, then EXITED; between the first two it may be *starting*, which
// callers see as CREATED. An exit that is reported before the start has returned is kept until then,
// so that nobody sees an exec exit that has not begun.
//
// Thread-safe; nothing blocks; waiters are answered under no lock.
#ifndef OCID_DAEMON_CONTAINER_EXEC_TABLE_H_
#define OCID_DAEMON_CONTAINER_EXEC_TABLE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/base/cancellation.h"
#include "proto/ocid/v1/exec.pb.h"
#include "runtime/base/mutex.h"

namespace ocid {

class ExecTable {
 public:
  using WaitDone = absl::AnyInvocable<void(absl::StatusOr<v1::WaitExecResponse>)>;

  static constexpr size_t kMaxExecs = 1024;
  static constexpr size_t kMaxExited = 64;  // that nobody has taken away

  // ALREADY_EXISTS, EXEC_EXISTS; RESOURCE_EXHAUSTED, BUSY where there are kMaxExecs.
  absl::Status Add(v1::Exec exec);

  // NOT_FOUND, EXEC_NOT_FOUND, here and below.
  absl::StatusOr<v1::Exec> Get(const std::string& exec_id) const;
  // In the order of their ids, those behind `after`, at most `max`.
  std::vector<v1::Exec> List(const std::string& after, size_t max) const;

  // FAILED_PRECONDITION, INVALID_STATE, unless it is CREATED and not starting.
  absl::Status BeginStart(const std::string& exec_id);
  // The exec as it is now, RUNNING, and its exit where that was reported before.
  struct Started {
    v1::Exec exec;
    std::optional<v1::ExitStatus> exit;
  };
  absl::StatusOr<Started> FinishStart(const std::string& exec_id, int32_t pid, int64_t time_ns);
  void FailStart(const std::string& exec_id);

  // The exec as it is now, EXITED. Nothing where it is not RUNNING: unknown, over already, or
  // starting, in which case FinishStart tells.
  std::optional<v1::Exec> Exit(const std::string& exec_id, const v1::ExitStatus& status);
  // Whether more than kMaxExited are EXITED, and which of them ended first.
  bool HasSurplus() const;
  std::vector<std::string> Surplus() const;

  // Every exec that is RUNNING or starting.
  std::vector<std::string> Unfinished() const;

  // Answers those who wait: to be called after Exit, once the event of the exit is out, so that who has
  // waited finds it among the events. True where the exec is to be deleted now, because auto_delete was
  // asked for and somebody has been told.
  bool AnswerWaiters(const std::string& exec_id);

  // `done` is called with the exit status, at once where the exec has ended, NOT_FOUND where it is
  // removed, CANCELLED. True where it has answered the first wait of an exec with auto_delete.
  bool Wait(const std::string& exec_id, std::shared_ptr<Cancellation> cancellation, WaitDone done,
            std::weak_ptr<void> owner);

  // Forgets it; waiters get NOT_FOUND.
  void Remove(const std::string& exec_id);
  void RemoveAll(const absl::Status& status);

 private:
  struct Waiter {
    WaitDone done;
    std::shared_ptr<Cancellation> cancellation;
  };
  struct Entry {
    v1::Exec exec;
    bool starting = false;
    uint64_t exit_number = 0;  // the order of the exits
    bool announced = false;    // of its exit: the event is out, and a wait ends at once
    std::optional<v1::ExitStatus> early_exit;
    std::map<uint64_t, Waiter> waiters;
  };

  static absl::Status NotFound(const std::string& exec_id);
  static void Answer(std::map<uint64_t, Waiter> waiters,
                     const absl::StatusOr<v1::WaitExecResponse>& answer);
  void CancelWait(const std::string& exec_id, uint64_t waiter);

  mutable Mutex mutex_;
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_waiter_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t last_exit_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t exited_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace ocid

#endif  // OCID_DAEMON_CONTAINER_EXEC_TABLE_H_
