// Requests about a container, put together from parts that are encoded once.
//
// A container is described once and told of in many events, to many plugins. Its description is kept as
// the bytes of its message; a request is those bytes behind their tags, and what has changed since (state,
// pid, times) is appended to the container's: a parser takes the last value of a field.
//
// Pure; thread-safe. Source: protobuf.dev/programming-guides/encoding ("Last One Wins").
#ifndef OCID_DAEMON_NRI_NRI_REQUESTS_H_
#define OCID_DAEMON_NRI_NRI_REQUESTS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "daemon/nri/plugin_calls.h"

namespace ocid {

// Every event there is, as a mask of EventBit.
inline constexpr int kAllNriEvents = 0x3fff;
constexpr int EventBit(nri::Event event) { return 1 << (static_cast<int>(event) - 1); }

// The method of the plugin's service.
std::string_view EventMethod(nri::Event event);
// Events that plugins built before NRI 0.12 know as StateChange only.
bool HasLegacyForm(nri::Event event);
// Whether an event is of a pod alone.
bool IsPodEvent(nri::Event event);

// Bytes of a nri.PodSandbox and of a nri.Container.
struct EncodedContainer {
  std::string pod;
  std::string container;
  // It has a network namespace of its own without a name: it can be found while a process is in it.
  bool unnamed_network = false;
};

// What changes in a container's life. Times are nanoseconds since 1970; 0: not yet.
struct NriState {
  nri::ContainerState state = nri::CONTAINER_UNKNOWN;
  uint32_t pid = 0;
  int64_t created_at = 0;
  int64_t started_at = 0;
  int64_t finished_at = 0;
  int32_t exit_code = 0;
};

// The bytes of `parts` and of `state`.
EncodedContainer WithState(const EncodedContainer& parts, const NriState& state);

// One event, for any number of plugins.
class EventRequest {
 public:
  EventRequest(nri::Event event, EncodedContainer parts);

  nri::Event event() const { return event_; }
  // {1 pod, 2 container}, or the pod alone.
  const std::string& bytes() const { return bytes_; }
  // What old plugins take.
  std::string StateChange() const;

 private:
  const nri::Event event_;
  const EncodedContainer parts_;
  const std::string bytes_;
};

// Appends one field that is a message.
void AppendMessage(int field, std::string_view message, std::string& out);

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_NRI_REQUESTS_H_
