// KnownContainer: a container as plugins are told of it, described when first somebody asks.
//
// While no plugin is connected a container costs no description. Shared; immutable but for what it caches.
// Thread-safe. Describe parses the spec once, and does not block.
#ifndef OCID_DAEMON_NRI_KNOWN_CONTAINER_H_
#define OCID_DAEMON_NRI_KNOWN_CONTAINER_H_

#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "daemon/nri/nri_requests.h"
#include "daemon/nri/plugin_calls.h"

namespace ocid {

class KnownContainer {
 public:
  // `spec_text`: the final spec, JSON.
  KnownContainer(PluginSubject subject, std::shared_ptr<const std::string> spec_text)
      : subject_(std::move(subject)), spec_text_(std::move(spec_text)) {}

  const std::string& id() const { return subject_.container_id; }

  // Without state. A spec that does not parse leaves what the subject says.
  const EncodedContainer& Describe() const;

  EventRequest Event(nri::Event event, const NriState& state) const {
    return EventRequest(event, WithState(Describe(), state));
  }

 private:
  const PluginSubject subject_;
  const std::shared_ptr<const std::string> spec_text_;
  mutable std::once_flag once_;
  mutable EncodedContainer described_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_KNOWN_CONTAINER_H_
