// Container: its end.

#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/log.h"
#include "daemon/container/container.h"
#include "daemon/container/public_error.h"
#include "runtime/base/error_details.h"

namespace ocid {

void Container::Delete(const v1::DeleteContainerRequest& request,
                       Done<v1::DeleteContainerResponse> callback) {
  // A create or a start that hangs holds the lane: it ends now, and what there is of it goes.
  const bool aborted = request.force() && !request.validate_only() && AbortLaunch();
  OnLane(std::move(callback), [request, aborted](Container& self, Lane::Turn,
                                    Done<v1::DeleteContainerResponse> done) {
    const LifecycleEvent event =
        request.force() ? LifecycleEvent::kForceDelete : LifecycleEvent::kDelete;
    absl::Status status = self.Check(event);
    if (aborted && absl::IsNotFound(status)) return done(v1::DeleteContainerResponse());
    if (status.ok() && !request.etag().empty() && request.etag() != self.view_.etag()) {
      status = MakeError(absl::StatusCode::kAborted, "ETAG_MISMATCH",
                         absl::StrCat("container ", self.id_, ": it has changed"));
    }
    if (!status.ok()) return done(status);
    if (request.validate_only()) return done(v1::DeleteContainerResponse());
    self.CancelRestart();
    self.CancelDelete();
    const bool alive = IsAlive(self.state());
    const bool under_way = self.state() == v1::CONTAINER_STATE_DELETING;
    status = self.Intend(event);
    if (!status.ok()) return done(PublicError(status));
    self.deletes_.push_back(std::move(done));
    if (under_way) return;
    // A Stop that waits has its wish; who deletes is told of what follows.
    self.DisarmTimers();
    if (!alive) return self.FinishDelete();
    self.KillTimeUp(self.view_.generation());  // HandleExit goes on
  });
}

void Container::FinishDelete() {
  if (pod_ != nullptr) Lent([this] { pod_->StopPod(); });
  const absl::Time begin = absl::Now();
  const absl::Status removed = RemoveEverything();
  PhaseEnded("delete", begin);
  if (!removed.ok()) {
    Commit(LifecycleEvent::kDeleteFailed);
    for (Done<v1::Container>& done : std::exchange(stops_, {})) done(BasicView());
    return AnswerDeletes(PublicError(removed));
  }
  if (pod_ != nullptr) Lent([this] { pod_->Removed(); });
  const v1::Container last = BasicView();
  Commit(LifecycleEvent::kDeleted);
  {
    MutexLock lock(mutex_);
    gone_ = true;
  }
  services_.forget(*this);
  AnswerWaiters(GoneError());
  execs_.RemoveAll(GoneError());
  for (Done<v1::Container>& done : std::exchange(stops_, {})) done(last);
  AnswerDeletes(absl::OkStatus());
  // A loss of power may bring the record back until this is done, as STOPPED: nothing worse.
  services_.writers.Post([&store = services_.store] {
    const absl::Status synced = store.SyncRemovals();
    if (!synced.ok()) Log(LogLevel::kWarning, "delete: not synced", {{"error", synced}});
  });
}

absl::Status Container::RemoveEverything() {
  absl::Status released = ReleaseRuntime();
  if (released.ok() && services_.networks != nullptr) released = services_.networks->Remove(id_);
  if (!released.ok()) return released;
  return RemoveFiles();
}

absl::Status Container::RemoveFiles() {
  // While its directories are there, an interrupted removal is found and finished.
  if (services_.rootfs != nullptr) {
    const absl::Status released = services_.rootfs->Release(id_);
    if (!released.ok()) return released;
  }
  return services_.store.RemoveDirectories(id_);
}

void Container::AnswerDeletes(const absl::Status& status) {
  for (Done<v1::DeleteContainerResponse>& done : std::exchange(deletes_, {})) {
    if (status.ok()) {
      done(v1::DeleteContainerResponse());
    } else {
      done(status);
    }
  }
}

}  // namespace ocid
