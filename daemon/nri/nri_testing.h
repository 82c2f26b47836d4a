// For tests: messages of the Node Resource Interface from JSON text.
#ifndef OCID_DAEMON_NRI_NRI_TESTING_H_
#define OCID_DAEMON_NRI_NRI_TESTING_H_

#include <stdexcept>
#include <string>

#include "daemon/nri/plugin_calls.h"
#include "google/protobuf/util/json_util.h"

namespace ocid {

template <typename Message>
Message FromJson(const std::string& text) {
  Message message;
  const auto status = google::protobuf::util::JsonStringToMessage(text, &message);
  if (!status.ok()) throw std::invalid_argument(std::string(status.message()) + ": " + text);
  return message;
}

inline nri::ContainerAdjustment Adjustment(const std::string& text) {
  return FromJson<nri::ContainerAdjustment>(text);
}

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_NRI_TESTING_H_
