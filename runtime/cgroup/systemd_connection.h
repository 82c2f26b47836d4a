// SystemdConnection: one connection to a bus, used by one request at a time. Internal to
// systemd_client.cc; thread-compatible.
#ifndef OCID_RUNTIME_CGROUP_SYSTEMD_CONNECTION_H_
#define OCID_RUNTIME_CGROUP_SYSTEMD_CONNECTION_H_

#include <systemd/sd-bus.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/cgroup/cgroup_files.h"
#include "runtime/cgroup/unit_property.h"

namespace ocid {

struct UnrefMessage {
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using BusMessage = std::unique_ptr<sd_bus_message, UnrefMessage>;

class SystemdConnection {
 public:
  // Does not wait for the bus: what is sent next goes out behind the greeting.
  static absl::StatusOr<std::unique_ptr<SystemdConnection>> Open();
  // Stays, for a second at most, until what was sent is answered: systemd asks the bus about a sender,
  // and refuses one that has gone.
  ~SystemdConnection();
  SystemdConnection(const SystemdConnection&) = delete;
  SystemdConnection& operator=(const SystemdConnection&) = delete;

  // False once the connection is of no more use. Reads what has come in meanwhile.
  bool Alive();

  // A method call to systemd's manager, to be filled.
  absl::StatusOr<BusMessage> NewCall(const char* method);
  absl::StatusOr<BusMessage> Call(const BusMessage& request, const std::string& unit,
                                  const Deadline& deadline);

  // Waits for no answer, good or bad, but, for a second at most, until the request is on its way.
  void Send(const BusMessage& request);

  // Calls a method that answers with a job, and waits until that job is removed. The job's result
  // is OK if it is "done" or "skipped".
  absl::Status CallJob(const BusMessage& request, const std::string& unit,
                       const Deadline& deadline);

  absl::StatusOr<std::string> GetString(const std::string& path, const char* interface,
                                        const char* property, const Deadline& deadline);

 private:
  explicit SystemdConnection(sd_bus* bus) : bus_(bus) {}

  // Reads and writes until `condition` holds, the connection is of no more use, or a second is over.
  template <typename Condition>
  void ProcessUntil(const Condition& condition);
  int CallBus(const char* method, const std::string& argument);
  static int OnReply(sd_bus_message* message, void* self, sd_bus_error* error);
  static int OnMessage(sd_bus_message* message, void* self, sd_bus_error* error);

  sd_bus* bus_;
  int unanswered_ = 0;  // of Send
  std::vector<std::pair<std::string, std::string>> finished_jobs_;  // path, result
};

// D-Bus' own names of errors, as metadata "error".
absl::Status BusError(const std::string& what, const std::string& unit, const sd_bus_error& error,
                      int result);

absl::Status AppendProperties(sd_bus_message* message, const std::vector<UnitProperty>& properties);

}  // namespace ocid

#endif  // OCID_RUNTIME_CGROUP_SYSTEMD_CONNECTION_H_
