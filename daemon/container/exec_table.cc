#include "daemon/container/exec_table.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/container/proto_time.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

absl::Status StateError(const v1::Exec& exec, bool starting, const char* operation) {
  const std::string state =
      starting ? "STARTING" : v1::ExecState_Name(exec.state()).substr(sizeof("EXEC_STATE_") - 1);
  return MakeError(absl::StatusCode::kFailedPrecondition, "INVALID_STATE",
                   absl::StrCat("exec ", exec.id(), ": ", operation, ": not possible in state ", state),
                   {{"state", state}, {"operation", operation}});
}

}  // namespace

absl::Status ExecTable::NotFound(const std::string& exec_id) {
  return MakeError(absl::StatusCode::kNotFound, "EXEC_NOT_FOUND",
                   absl::StrCat("exec ", exec_id, ": not found"), {{"exec_id", exec_id}});
}

absl::Status ExecTable::Add(v1::Exec exec) {
  const std::string id = exec.id();
  MutexLock lock(mutex_);
  const auto [entry, is_new] = entries_.try_emplace(id);
  if (!is_new) {
    return MakeError(absl::StatusCode::kAlreadyExists, "EXEC_EXISTS",
                     absl::StrCat("exec ", id, ": exists"), {{"exec_id", id}});
  }
  if (entries_.size() > kMaxExecs) {
    entries_.erase(entry);
    return MakeError(absl::StatusCode::kResourceExhausted, "BUSY",
                     absl::StrCat("exec ", id, ": the container has ", kMaxExecs, " already"));
  }
  if (exec.state() == v1::EXEC_STATE_EXITED) {
    entry->second.exit_number = ++last_exit_;
    entry->second.announced = true;
    ++exited_;
  }
  entry->second.exec = std::move(exec);
  return absl::OkStatus();
}

absl::StatusOr<v1::Exec> ExecTable::Get(const std::string& exec_id) const {
  MutexLock lock(mutex_);
  const auto found = entries_.find(exec_id);
  if (found == entries_.end()) return NotFound(exec_id);
  return found->second.exec;
}

std::vector<v1::Exec> ExecTable::List(const std::string& after, size_t max) const {
  std::vector<v1::Exec> execs;
  MutexLock lock(mutex_);
  for (auto entry = entries_.upper_bound(after); entry != entries_.end() && execs.size() < max;
       ++entry) {
    execs.push_back(entry->second.exec);
  }
  return execs;
}

absl::Status ExecTable::BeginStart(const std::string& exec_id) {
  MutexLock lock(mutex_);
  const auto found = entries_.find(exec_id);
  if (found == entries_.end()) return NotFound(exec_id);
  Entry& entry = found->second;
  if (entry.starting || entry.exec.state() != v1::EXEC_STATE_CREATED) {
    return StateError(entry.exec, entry.starting, "start");
  }
  entry.starting = true;
  return absl::OkStatus();
}

absl::StatusOr<ExecTable::Started> ExecTable::FinishStart(const std::string& exec_id, int32_t pid,
                                                          int64_t time_ns) {
  MutexLock lock(mutex_);
  const auto found = entries_.find(exec_id);
  if (found == entries_.end()) return NotFound(exec_id);
  Entry& entry = found->second;
  entry.starting = false;
  entry.exec.set_state(v1::EXEC_STATE_RUNNING);
  entry.exec.set_pid(pid);
  *entry.exec.mutable_start_time() = ToTimestamp(time_ns);
  return Started{entry.exec, std::exchange(entry.early_exit, std::nullopt)};
}

void ExecTable::FailStart(const std::string& exec_id) {
  MutexLock lock(mutex_);
  const auto found = entries_.find(exec_id);
  if (found == entries_.end()) return;
  found->second.starting = false;
  found->second.early_exit.reset();
}

std::optional<v1::Exec> ExecTable::Exit(const std::string& exec_id, const v1::ExitStatus& status) {
  MutexLock lock(mutex_);
  const auto found = entries_.find(exec_id);
  if (found == entries_.end()) return std::nullopt;
  Entry& entry = found->second;
  if (entry.starting) entry.early_exit = status;
  if (entry.exec.state() != v1::EXEC_STATE_RUNNING) return std::nullopt;
  entry.exec.set_state(v1::EXEC_STATE_EXITED);
  entry.exec.set_pid(0);
  *entry.exec.mutable_exit_status() = status;
  entry.exit_number = ++last_exit_;
  ++exited_;
  return entry.exec;
}

bool ExecTable::HasSurplus() const {
  MutexLock lock(mutex_);
  return exited_ > kMaxExited;
}

std::vector<std::string> ExecTable::Surplus() const {
  std::map<uint64_t, std::string> by_exit;
  {
    MutexLock lock(mutex_);
    for (const auto& [id, entry] : entries_) {
      if (entry.exit_number != 0) by_exit.emplace(entry.exit_number, id);
    }
  }
  std::vector<std::string> oldest;
  for (const auto& [number, id] : by_exit) {
    if (by_exit.size() - oldest.size() <= kMaxExited) break;
    oldest.push_back(id);
  }
  return oldest;
}

std::vector<std::string> ExecTable::Unfinished() const {
  std::vector<std::string> ids;
  MutexLock lock(mutex_);
  for (const auto& [id, entry] : entries_) {
    if (entry.starting || entry.exec.state() == v1::EXEC_STATE_RUNNING) ids.push_back(id);
  }
  return ids;
}

bool ExecTable::AnswerWaiters(const std::string& exec_id) {
  std::map<uint64_t, Waiter> waiters;
  v1::WaitExecResponse answer;
  bool remove = false;
  {
    MutexLock lock(mutex_);
    const auto found = entries_.find(exec_id);
    if (found == entries_.end()) return false;
    found->second.announced = true;
    waiters = std::exchange(found->second.waiters, {});
    *answer.mutable_exit_status() = found->second.exec.exit_status();
    remove = found->second.exec.config().auto_delete() && !waiters.empty();
  }
  Answer(std::move(waiters), answer);
  return remove;
}

bool ExecTable::Wait(const std::string& exec_id, std::shared_ptr<Cancellation> cancellation,
                     WaitDone done, std::weak_ptr<void> owner) {
  absl::StatusOr<v1::WaitExecResponse> answer = NotFound(exec_id);
  bool remove = false;
  uint64_t waiter = 0;
  {
    MutexLock lock(mutex_);
    const auto found = entries_.find(exec_id);
    if (found != entries_.end() && !found->second.announced) {
      waiter = ++last_waiter_;
      found->second.waiters.emplace(waiter, Waiter{std::move(done), cancellation});
    } else if (found != entries_.end()) {
      answer.emplace();
      *answer->mutable_exit_status() = found->second.exec.exit_status();
      remove = found->second.exec.config().auto_delete();
    }
  }
  if (waiter == 0) {
    done(std::move(answer));
    return remove;
  }
  if (cancellation != nullptr) {
    // The table is a part of `owner`, which keeps it while the wait is cancelled.
    cancellation->OnCancel([this, owner = std::move(owner), exec_id, waiter] {
      const std::shared_ptr<void> alive = owner.lock();
      if (alive != nullptr) CancelWait(exec_id, waiter);
    });
  }
  return false;
}

void ExecTable::CancelWait(const std::string& exec_id, uint64_t waiter) {
  std::map<uint64_t, Waiter> cancelled;
  {
    MutexLock lock(mutex_);
    const auto found = entries_.find(exec_id);
    if (found == entries_.end()) return;
    auto node = found->second.waiters.extract(waiter);
    if (node.empty()) return;
    cancelled.insert(std::move(node));
  }
  Answer(std::move(cancelled), absl::CancelledError("the wait was cancelled"));
}

void ExecTable::Remove(const std::string& exec_id) {
  std::map<uint64_t, Waiter> waiters;
  {
    MutexLock lock(mutex_);
    const auto found = entries_.find(exec_id);
    if (found == entries_.end()) return;
    waiters = std::move(found->second.waiters);
    if (found->second.exit_number != 0) --exited_;
    entries_.erase(found);
  }
  Answer(std::move(waiters), NotFound(exec_id));
}

void ExecTable::RemoveAll(const absl::Status& status) {
  std::map<std::string, Entry> entries;
  {
    MutexLock lock(mutex_);
    entries = std::exchange(entries_, {});
    exited_ = 0;
  }
  for (auto& [id, entry] : entries) Answer(std::move(entry.waiters), status);
}

void ExecTable::Answer(std::map<uint64_t, Waiter> waiters,
                       const absl::StatusOr<v1::WaitExecResponse>& answer) {
  for (auto& [id, waiter] : waiters) {
    if (waiter.cancellation != nullptr) waiter.cancellation->Clear();
    waiter.done(answer);
  }
}

}  // namespace ocid
