#include "daemon/container/lifecycle.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

struct Transition {
  v1::ContainerState from;
  LifecycleEvent event;
  v1::ContainerState to;
};

constexpr auto kNone = v1::CONTAINER_STATE_UNSPECIFIED;
constexpr auto kCreating = v1::CONTAINER_STATE_CREATING;
constexpr auto kCreated = v1::CONTAINER_STATE_CREATED;
constexpr auto kStarting = v1::CONTAINER_STATE_STARTING;
constexpr auto kRunning = v1::CONTAINER_STATE_RUNNING;
constexpr auto kPaused = v1::CONTAINER_STATE_PAUSED;
constexpr auto kStopping = v1::CONTAINER_STATE_STOPPING;
constexpr auto kStopped = v1::CONTAINER_STATE_STOPPED;
constexpr auto kDeleting = v1::CONTAINER_STATE_DELETING;

using E = LifecycleEvent;

constexpr Transition kTransitions[] = {
    {kNone, E::kCreate, kCreating},

    {kCreating, E::kCreated, kCreated},
    {kCreating, E::kCreateFailed, kNone},

    {kCreated, E::kStart, kStarting},
    {kCreated, E::kStop, kStopping},
    {kCreated, E::kDelete, kDeleting},
    {kCreated, E::kForceDelete, kDeleting},
    {kCreated, E::kExit, kStopped},
    {kCreated, E::kKill, kCreated},
    {kCreated, E::kUpdate, kCreated},
    {kCreated, E::kObserve, kCreated},

    {kStarting, E::kStarted, kRunning},
    {kStarting, E::kStartFailed, kStopped},
    {kStarting, E::kExit, kStopped},

    {kRunning, E::kPause, kPaused},
    {kRunning, E::kStop, kStopping},
    {kRunning, E::kForceDelete, kDeleting},
    {kRunning, E::kExit, kStopped},
    {kRunning, E::kKill, kRunning},
    {kRunning, E::kUpdate, kRunning},
    {kRunning, E::kExec, kRunning},
    {kRunning, E::kObserve, kRunning},

    {kPaused, E::kResume, kRunning},
    {kPaused, E::kStop, kStopping},
    {kPaused, E::kForceDelete, kDeleting},
    {kPaused, E::kExit, kStopped},
    {kPaused, E::kKill, kPaused},
    {kPaused, E::kUpdate, kPaused},
    {kPaused, E::kObserve, kPaused},

    {kStopping, E::kStop, kStopping},
    {kStopping, E::kForceDelete, kDeleting},
    {kStopping, E::kExit, kStopped},
    {kStopping, E::kGiveUp, kRunning},
    {kStopping, E::kKill, kStopping},
    {kStopping, E::kObserve, kStopping},

    {kStopped, E::kStart, kStarting},
    {kStopped, E::kStop, kStopped},
    {kStopped, E::kDelete, kDeleting},
    {kStopped, E::kForceDelete, kDeleting},
    {kStopped, E::kUpdate, kStopped},

    {kDeleting, E::kDelete, kDeleting},
    {kDeleting, E::kForceDelete, kDeleting},
    {kDeleting, E::kExit, kDeleting},
    {kDeleting, E::kGiveUp, kRunning},
    {kDeleting, E::kDeleted, kNone},
    {kDeleting, E::kDeleteFailed, kStopped},
};

}  // namespace

std::string_view LifecycleEventName(LifecycleEvent event) {
  switch (event) {
    case E::kCreate: return "create";
    case E::kCreated: return "created";
    case E::kCreateFailed: return "create failed";
    case E::kStart: return "start";
    case E::kStarted: return "started";
    case E::kStartFailed: return "start failed";
    case E::kPause: return "pause";
    case E::kResume: return "resume";
    case E::kStop: return "stop";
    case E::kGiveUp: return "give up";
    case E::kDelete: return "delete";
    case E::kForceDelete: return "force delete";
    case E::kDeleted: return "deleted";
    case E::kDeleteFailed: return "delete failed";
    case E::kExit: return "exit";
    case E::kKill: return "kill";
    case E::kUpdate: return "update";
    case E::kExec: return "exec";
    case E::kObserve: return "observe";
  }
  return "unknown";
}

std::string_view ContainerStateName(v1::ContainerState state) {
  switch (state) {
    case kCreating: return "CREATING";
    case kCreated: return "CREATED";
    case kStarting: return "STARTING";
    case kRunning: return "RUNNING";
    case kPaused: return "PAUSED";
    case kStopping: return "STOPPING";
    case kStopped: return "STOPPED";
    case kDeleting: return "DELETING";
    default: return "none";
  }
}

absl::StatusOr<v1::ContainerState> NextState(v1::ContainerState state, LifecycleEvent event) {
  for (const Transition& transition : kTransitions) {
    if (transition.from == state && transition.event == event) return transition.to;
  }
  const std::string name(ContainerStateName(state));
  const std::string operation(LifecycleEventName(event));
  return MakeError(absl::StatusCode::kFailedPrecondition, "INVALID_STATE",
                   absl::StrCat(operation, ": not possible in state ", name),
                   {{"state", name}, {"operation", operation}});
}

bool IsAlive(v1::ContainerState state) {
  return state == kCreated || state == kStarting || state == kRunning || state == kPaused ||
         state == kStopping;
}

}  // namespace ocid
