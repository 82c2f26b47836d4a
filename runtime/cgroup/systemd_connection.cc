#include "runtime/cgroup/systemd_connection.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

constexpr char kService[] = "org.freedesktop.systemd1";
constexpr char kManagerPath[] = "/org/freedesktop/systemd1";
constexpr char kManager[] = "org.freedesktop.systemd1.Manager";
constexpr absl::Duration kLongestProcessing = absl::Seconds(1);

uint64_t Microseconds(const Deadline& deadline) {
  return static_cast<uint64_t>(std::max(deadline.PollMilliseconds(), 1)) * 1000;
}

absl::StatusCode CodeOf(const char* name, int error) {
  const std::string_view text = name == nullptr ? "" : name;
  if (text == "org.freedesktop.systemd1.NoSuchUnit") return absl::StatusCode::kNotFound;
  if (text == "org.freedesktop.systemd1.UnitExists") return absl::StatusCode::kAlreadyExists;
  if (text == SD_BUS_ERROR_ACCESS_DENIED || text.ends_with("InteractiveAuthorizationRequired")) {
    return absl::StatusCode::kPermissionDenied;
  }
  if (text == SD_BUS_ERROR_INVALID_ARGS || text == SD_BUS_ERROR_PROPERTY_READ_ONLY ||
      text == SD_BUS_ERROR_UNKNOWN_PROPERTY) {
    return absl::StatusCode::kInvalidArgument;
  }
  if (text == SD_BUS_ERROR_NO_REPLY || text == SD_BUS_ERROR_TIMEOUT || error == ETIMEDOUT) {
    return absl::StatusCode::kDeadlineExceeded;
  }
  switch (error) {
    case ECONNRESET:
    case ENOTCONN:
    case EPIPE:
    case ECONNREFUSED:
    case ENOENT:
    case ESTALE:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kFailedPrecondition;
  }
}

// Appends a value in a variant of its D-Bus type. Results are sd-bus': negative errno.
struct VariantAppender {
  sd_bus_message* message;

  int operator()(bool value) const {
    return sd_bus_message_append(message, "v", "b", value ? 1 : 0);
  }
  int operator()(int32_t value) const { return sd_bus_message_append(message, "v", "i", value); }
  int operator()(uint32_t value) const { return sd_bus_message_append(message, "v", "u", value); }
  int operator()(uint64_t value) const { return sd_bus_message_append(message, "v", "t", value); }
  int operator()(const std::string& value) const {
    return sd_bus_message_append(message, "v", "s", value.c_str());
  }
  int operator()(const UnitProperty::Bytes& value) const {
    int result = sd_bus_message_open_container(message, 'v', "ay");
    if (result < 0) return result;
    result = sd_bus_message_append_array(message, 'y', value.data(), value.size());
    if (result < 0) return result;
    return sd_bus_message_close_container(message);
  }
  int operator()(const UnitProperty::Strings& value) const {
    return Array("as", "s", value, [this](const std::string& text) {
      return sd_bus_message_append(message, "s", text.c_str());
    });
  }
  int operator()(const UnitProperty::DeviceLimits& value) const {
    return Array("a(st)", "(st)", value, [this](const auto& entry) {
      return sd_bus_message_append(message, "(st)", entry.first.c_str(), entry.second);
    });
  }
  int operator()(const UnitProperty::DeviceRules& value) const {
    return Array("a(ss)", "(ss)", value, [this](const auto& entry) {
      return sd_bus_message_append(message, "(ss)", entry.first.c_str(), entry.second.c_str());
    });
  }

 private:
  template <typename List, typename AppendElement>
  int Array(const char* type, const char* element_type, const List& list,
            const AppendElement& append) const {
    int result = sd_bus_message_open_container(message, 'v', type);
    if (result < 0) return result;
    result = sd_bus_message_open_container(message, 'a', element_type);
    for (auto entry = list.begin(); result >= 0 && entry != list.end(); ++entry) {
      result = append(*entry);
    }
    if (result < 0) return result;
    result = sd_bus_message_close_container(message);
    if (result < 0) return result;
    return sd_bus_message_close_container(message);
  }
};

}  // namespace

absl::Status BusError(const std::string& what, const std::string& unit, const sd_bus_error& error,
                      int result) {
  const int number = result < 0 ? -result : 0;
  const char* const name = error.name != nullptr ? error.name : strerrorname_np(number);
  const char* const message = error.message != nullptr ? error.message : strerrordesc_np(number);
  return MakeError(
      CodeOf(error.name, number), "SYSTEMD_FAILED",
      absl::StrCat("systemd: ", what, " ", unit, ": ", message != nullptr ? message : "failed"),
      {{"unit", unit}, {"error", name != nullptr ? name : "unknown"}});
}

absl::Status AppendProperties(sd_bus_message* message,
                              const std::vector<UnitProperty>& properties) {
  for (const UnitProperty& property : properties) {
    int result = sd_bus_message_open_container(message, 'r', "sv");
    if (result >= 0) result = sd_bus_message_append(message, "s", property.name.c_str());
    if (result >= 0) result = std::visit(VariantAppender{message}, property.value);
    if (result >= 0) result = sd_bus_message_close_container(message);
    if (result < 0) return BusError("encode property", property.name, SD_BUS_ERROR_NULL, result);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<SystemdConnection>> SystemdConnection::Open() {
  sd_bus* bus = nullptr;
  // Not sd_bus_default_*: those belong to a thread, and these connections change hands.
  const int result = ::geteuid() == 0 ? sd_bus_open_system(&bus) : sd_bus_open_user(&bus);
  if (result < 0) {
    return MakeError(absl::StatusCode::kUnavailable, "SYSTEMD_FAILED",
                     absl::StrCat("systemd: no D-Bus connection: ", strerrordesc_np(-result)),
                     {{"error", strerrorname_np(-result)}});
  }
  std::unique_ptr<SystemdConnection> connection(new SystemdConnection(bus));
  const int filtered = sd_bus_add_filter(bus, nullptr, &OnMessage, connection.get());
  if (filtered < 0) return BusError("listen to", "jobs", SD_BUS_ERROR_NULL, filtered);
  return connection;
}

SystemdConnection::~SystemdConnection() {
  ProcessUntil([this] { return unanswered_ == 0; });
  sd_bus_flush_close_unref(bus_);
}

template <typename Condition>
void SystemdConnection::ProcessUntil(const Condition& condition) {
  const Deadline deadline(kLongestProcessing);
  int result = 1;
  while (!condition() && result >= 0 && !deadline.Passed()) {
    result = sd_bus_process(bus_, nullptr);
    if (result == 0) result = sd_bus_wait(bus_, Microseconds(deadline));
  }
}

bool SystemdConnection::Alive() {
  int result = 1;
  while (result > 0) result = sd_bus_process(bus_, nullptr);
  return result == 0 && sd_bus_is_open(bus_) > 0;
}

absl::StatusOr<BusMessage> SystemdConnection::NewCall(const char* method) {
  sd_bus_message* message = nullptr;
  const int result =
      sd_bus_message_new_method_call(bus_, &message, kService, kManagerPath, kManager, method);
  if (result < 0) return BusError("make the request", method, SD_BUS_ERROR_NULL, result);
  return BusMessage(message);
}

absl::StatusOr<BusMessage> SystemdConnection::Call(const BusMessage& request,
                                                   const std::string& unit,
                                                   const Deadline& deadline) {
  sd_bus_error error = SD_BUS_ERROR_NULL;
  const absl::Cleanup free_error = [&] { sd_bus_error_free(&error); };
  sd_bus_message* reply = nullptr;
  const int result = sd_bus_call(bus_, request.get(), Microseconds(deadline), &error, &reply);
  if (result < 0) {
    return BusError(sd_bus_message_get_member(request.get()), unit, error, result);
  }
  return BusMessage(reply);
}

void SystemdConnection::Send(const BusMessage& request) {
  const int sent = sd_bus_call_async(bus_, nullptr, request.get(), &OnReply, this, /*usec=*/0);
  if (sent < 0) return;  // a connection that broke is seen by whoever takes it next
  ++unanswered_;
  // While the bus has not been greeted, a request is in this process only, and would stay there until
  // somebody uses the connection again.
  ProcessUntil([this] {
    uint64_t queued = 0;
    return sd_bus_is_ready(bus_) > 0 && sd_bus_get_n_queued_write(bus_, &queued) >= 0 &&
           queued == 0;
  });
}

int SystemdConnection::OnReply(sd_bus_message* /*message*/, void* self, sd_bus_error* /*error*/) {
  --static_cast<SystemdConnection*>(self)->unanswered_;
  return 0;
}

absl::Status SystemdConnection::CallJob(const BusMessage& request, const std::string& unit,
                                        const Deadline& deadline) {
  finished_jobs_.clear();
  // systemd tells the end of a job to who asked for it, with no Subscribe, which would have it tell the bus
  // of everything that happens to any unit. The bus itself is asked to pass it on, of this unit alone,
  // because sd_bus_add_match compares no argument after one that is not a string.
  const std::string match =
      absl::StrCat("type='signal',sender='", kService, "',path='", kManagerPath, "',interface='",
                   kManager, "',member='JobRemoved',arg2='", unit, "'");
  int result = CallBus("AddMatch", match);
  if (result < 0) return BusError("watch jobs of", unit, SD_BUS_ERROR_NULL, result);
  const absl::Cleanup unwatch = [&] { CallBus("RemoveMatch", match); };
  const absl::StatusOr<BusMessage> reply = Call(request, unit, deadline);
  if (!reply.ok()) return reply.status();
  const char* job = nullptr;
  result = sd_bus_message_read(reply->get(), "o", &job);
  if (result < 0) return BusError("read the job of", unit, SD_BUS_ERROR_NULL, result);
  while (true) {
    const auto finished = std::find_if(finished_jobs_.begin(), finished_jobs_.end(),
                                       [&](const auto& entry) { return entry.first == job; });
    if (finished != finished_jobs_.end()) {
      if (finished->second == "done" || finished->second == "skipped") return absl::OkStatus();
      return MakeError(absl::StatusCode::kFailedPrecondition, "SYSTEMD_FAILED",
                       absl::StrCat("systemd: the job for ", unit, " ended as ", finished->second),
                       {{"unit", unit}, {"error", finished->second}});
    }
    result = sd_bus_process(bus_, nullptr);
    if (result == 0) {
      if (deadline.Passed()) {
        return MakeError(absl::StatusCode::kDeadlineExceeded, "SYSTEMD_FAILED",
                         absl::StrCat("systemd: the job for ", unit, " did not end in time"),
                         {{"unit", unit}, {"error", "ETIMEDOUT"}});
      }
      result = sd_bus_wait(bus_, Microseconds(deadline));
    }
    if (result < 0 && result != -EINTR) {
      return BusError("wait for the job of", unit, SD_BUS_ERROR_NULL, result);
    }
  }
}

absl::StatusOr<std::string> SystemdConnection::GetString(const std::string& path,
                                                         const char* interface,
                                                         const char* property,
                                                         const Deadline& deadline) {
  sd_bus_message* raw = nullptr;
  int result = sd_bus_message_new_method_call(bus_, &raw, kService, path.c_str(),
                                              "org.freedesktop.DBus.Properties", "Get");
  if (result < 0) return BusError("read the property", property, SD_BUS_ERROR_NULL, result);
  const BusMessage request(raw);
  result = sd_bus_message_append(raw, "ss", interface, property);
  if (result < 0) return BusError("read the property", property, SD_BUS_ERROR_NULL, result);
  const absl::StatusOr<BusMessage> reply = Call(request, property, deadline);
  if (!reply.ok()) return reply.status();
  const char* value = nullptr;
  result = sd_bus_message_read(reply->get(), "v", "s", &value);
  if (result < 0) return BusError("read the property", property, SD_BUS_ERROR_NULL, result);
  return std::string(value);
}

// Without an answer: requests of one connection are read in their order.
int SystemdConnection::CallBus(const char* method, const std::string& argument) {
  return sd_bus_call_method_async(bus_, nullptr, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                  "org.freedesktop.DBus", method, nullptr, nullptr, "s",
                                  argument.c_str());
}

// JobRemoved(u id, o job, s unit, s result).
int SystemdConnection::OnMessage(sd_bus_message* message, void* self, sd_bus_error* /*error*/) {
  if (sd_bus_message_is_signal(message, kManager, "JobRemoved") <= 0) return 0;
  uint32_t id = 0;
  const char* job = nullptr;
  const char* unit = nullptr;
  const char* result = nullptr;
  if (sd_bus_message_read(message, "uoss", &id, &job, &unit, &result) >= 0) {
    static_cast<SystemdConnection*>(self)->finished_jobs_.emplace_back(job, result);
  }
  return 0;
}

}  // namespace ocid
