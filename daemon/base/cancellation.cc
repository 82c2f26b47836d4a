#include "daemon/base/cancellation.h"

#include <utility>

namespace ocid {

void Cancellation::Cancel() {
  std::function<void()> function;
  {
    MutexLock lock(mutex_);
    if (cancelled_) return;
    cancelled_ = true;
    function = std::exchange(function_, nullptr);
  }
  if (function) function();
}

bool Cancellation::cancelled() const {
  MutexLock lock(mutex_);
  return cancelled_;
}

void Cancellation::OnCancel(std::function<void()> function) {
  {
    MutexLock lock(mutex_);
    if (!cancelled_) {
      function_ = std::move(function);
      return;
    }
  }
  function();
}

void Cancellation::Clear() {
  std::function<void()> function;  // destroyed outside the lock: it may own much
  MutexLock lock(mutex_);
  function = std::exchange(function_, nullptr);
}

}  // namespace ocid
