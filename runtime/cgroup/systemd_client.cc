#include "runtime/cgroup/systemd_client.h"

#include <unistd.h>

#include <fstream>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/cgroup/systemd_connection.h"

namespace ocid {
namespace {

constexpr char kManagerPath[] = "/org/freedesktop/systemd1";
constexpr char kManager[] = "org.freedesktop.systemd1.Manager";
constexpr char kUnit[] = "org.freedesktop.systemd1.Unit";
constexpr size_t kMaxIdle = 8;
constexpr absl::Duration kWaitForReturn = absl::Milliseconds(20);

absl::Status Filled(int result, const std::string& unit) {
  if (result >= 0) return absl::OkStatus();
  return BusError("make the request for", unit, SD_BUS_ERROR_NULL, result);
}

// The system's manager is process 1, and moved itself to a leaf of its cgroup: what its property says, for
// less. Nothing where that is not how it looks.
std::optional<std::string> ReadControlGroup() {
  if (::geteuid() != 0) return std::nullopt;
  std::ifstream file("/proc/1/cgroup");
  constexpr std::string_view kUnified = "0::/", kLeaf = "/init.scope";
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(kUnified) || !line.ends_with(kLeaf)) continue;
    line.resize(line.size() - kLeaf.size());
    const std::string group = line.substr(kUnified.size() - 1);
    if (group.find("/..") == std::string::npos) return group;
  }
  return std::nullopt;
}

// While systemd executes itself anew (daemon-reexec) it is not on the bus, for some 50 milliseconds.
bool HasLeftTheBus(const absl::Status& status) {
  if (status.ok()) return false;
  const ErrorMetadata metadata = GetErrorMetadata(status);
  const auto error = metadata.find("error");
  return error != metadata.end() && (error->second == SD_BUS_ERROR_NO_REPLY ||
                                     error->second == SD_BUS_ERROR_SERVICE_UNKNOWN ||
                                     error->second == SD_BUS_ERROR_NAME_HAS_NO_OWNER);
}

const absl::Status& StatusOf(const absl::Status& status) { return status; }
const absl::Status& StatusOf(const absl::StatusOr<std::string>& result) { return result.status(); }

bool IsInUnit(pid_t pid, const std::string& unit) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/cgroup"));
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::") && line.ends_with(absl::StrCat("/", unit))) return true;
  }
  return false;
}

}  // namespace

// A connection for one request; it goes back to the idle ones if it is still good.
class SystemdClient::Lease {
 public:
  static absl::StatusOr<Lease> Take(SystemdClient& client) {
    while (true) {
      std::unique_ptr<SystemdConnection> idle;
      {
        const MutexLock lock(client.mutex_);
        if (client.idle_.empty()) break;
        idle = std::move(client.idle_.back());
        client.idle_.pop_back();
      }
      if (idle->Alive()) return Lease(client, std::move(idle));
    }
    absl::StatusOr<std::unique_ptr<SystemdConnection>> opened = SystemdConnection::Open();
    if (!opened.ok()) return opened.status();
    return Lease(client, *std::move(opened));
  }
  Lease(Lease&&) = default;
  Lease& operator=(Lease&&) = delete;
  ~Lease() {
    if (connection_ == nullptr) return;
    const bool alive = connection_->Alive();
    const absl::Duration spent = absl::Now() - begin_;
    const MutexLock lock(client_->mutex_);
    client_->time_spent_ += spent;
    if (alive && client_->idle_.size() < kMaxIdle) {
      client_->idle_.push_back(std::move(connection_));
    }
  }

  SystemdConnection* operator->() const { return connection_.get(); }

 private:
  Lease(SystemdClient& client, std::unique_ptr<SystemdConnection> connection)
      : client_(&client), connection_(std::move(connection)) {}

  SystemdClient* client_;
  std::unique_ptr<SystemdConnection> connection_;
  absl::Time begin_ = absl::Now();
};

SystemdClient::SystemdClient(absl::Duration timeout) : timeout_(timeout) {}

SystemdClient::~SystemdClient() = default;

// For requests that may be made twice.
template <typename Request>
auto SystemdClient::Insist(const Request& request) {
  const Deadline deadline(timeout_);
  auto answer = request();
  while (HasLeftTheBus(StatusOf(answer)) && !deadline.Passed()) {
    absl::SleepFor(kWaitForReturn);
    answer = request();
  }
  return answer;
}

absl::StatusOr<std::unique_ptr<SystemdClient>> SystemdClient::Open(absl::Duration timeout,
                                                                   Use use) {
  std::unique_ptr<SystemdClient> client(new SystemdClient(timeout));
  std::optional<std::string> group;
  if (use == Use::kOnce) group = ReadControlGroup();
  if (!group) {
    absl::StatusOr<std::string> answer = client->AskControlGroup();
    if (!answer.ok()) {
      return MakeError(absl::StatusCode::kUnavailable, "SYSTEMD_FAILED",
                       absl::StrCat(answer.status().message()), GetErrorMetadata(answer.status()));
    }
    group = *std::move(answer);
  }
  client->control_group_ = *group == "/" ? "" : *std::move(group);
  return client;
}

absl::StatusOr<std::string> SystemdClient::AskControlGroup() {
  return Insist([&]() -> absl::StatusOr<std::string> {
    const absl::StatusOr<Lease> lease = Lease::Take(*this);
    if (!lease.ok()) return lease.status();
    return (*lease)->GetString(kManagerPath, kManager, "ControlGroup", Deadline(timeout_));
  });
}

void SystemdClient::Connect() {
  const absl::StatusOr<Lease> unused = Lease::Take(*this);
  static_cast<void>(unused);  // the request will say what is wrong
}

absl::Status SystemdClient::StartScope(const std::string& unit, pid_t pid,
                                       const std::vector<UnitProperty>& properties) {
  const absl::Status first = StartInsistently(unit, pid, properties);
  if (!absl::IsAlreadyExists(first)) return first;
  const absl::StatusOr<std::string> state = ActiveState(unit);
  if (state.ok() && *state != "failed" && *state != "inactive") {
    return MakeError(absl::StatusCode::kAlreadyExists, "CGROUP_BUSY",
                     absl::StrCat("unit ", unit, " exists and is ", *state), {{"unit", unit}});
  }
  // A failed unit keeps its name until it is reset. It may go by itself meanwhile.
  const absl::Status reset = ResetFailed(unit);
  if (!reset.ok() && !absl::IsNotFound(reset)) return reset;
  return StartInsistently(unit, pid, properties);
}

absl::Status SystemdClient::StartInsistently(const std::string& unit, pid_t pid,
                                             const std::vector<UnitProperty>& properties) {
  const Deadline deadline(timeout_);
  absl::Status started = StartOnce(unit, pid, properties);
  while (HasLeftTheBus(started) && !deadline.Passed()) {
    absl::SleepFor(kWaitForReturn);
    started = StartOnce(unit, pid, properties);
    // Of the first time, with nobody told: what holds the process has all its properties.
    if (absl::IsAlreadyExists(started) && IsInUnit(pid, unit)) return absl::OkStatus();
  }
  return started;
}

absl::Status SystemdClient::StartOnce(const std::string& unit, pid_t pid,
                                      const std::vector<UnitProperty>& properties) {
  const absl::StatusOr<Lease> lease = Lease::Take(*this);
  if (!lease.ok()) return lease.status();
  const absl::StatusOr<BusMessage> request = (*lease)->NewCall("StartTransientUnit");
  if (!request.ok()) return request.status();
  sd_bus_message* const message = request->get();
  int result = sd_bus_message_append(message, "ss", unit.c_str(), "fail");
  if (result >= 0) result = sd_bus_message_open_container(message, 'a', "(sv)");
  if (result >= 0) {
    result = sd_bus_message_append(message, "(sv)", "PIDs", "au", 1, static_cast<uint32_t>(pid));
  }
  absl::Status filled = Filled(result, unit);
  if (!filled.ok()) return filled;
  filled = AppendProperties(message, properties);
  if (!filled.ok()) return filled;
  result = sd_bus_message_close_container(message);
  if (result >= 0) result = sd_bus_message_append(message, "a(sa(sv))", 0);
  filled = Filled(result, unit);
  if (!filled.ok()) return filled;
  return (*lease)->CallJob(*request, unit, Deadline(timeout_));
}

absl::Status SystemdClient::ResetFailed(const std::string& unit) {
  return Insist([&]() -> absl::Status {
    const absl::StatusOr<Lease> lease = Lease::Take(*this);
    if (!lease.ok()) return lease.status();
    const absl::StatusOr<BusMessage> request = (*lease)->NewCall("ResetFailedUnit");
    if (!request.ok()) return request.status();
    const absl::Status filled =
        Filled(sd_bus_message_append(request->get(), "s", unit.c_str()), unit);
    if (!filled.ok()) return filled;
    return (*lease)->Call(*request, unit, Deadline(timeout_)).status();
  });
}

absl::Status SystemdClient::StopUnit(const std::string& unit) {
  return Insist([&]() -> absl::Status {
    const absl::StatusOr<Lease> lease = Lease::Take(*this);
    if (!lease.ok()) return lease.status();
    const absl::StatusOr<BusMessage> request = (*lease)->NewCall("StopUnit");
    if (!request.ok()) return request.status();
    const absl::Status filled =
        Filled(sd_bus_message_append(request->get(), "ss", unit.c_str(), "replace"), unit);
    if (!filled.ok()) return filled;
    const absl::Status stopped = (*lease)->CallJob(*request, unit, Deadline(timeout_));
    return absl::IsNotFound(stopped) ? absl::OkStatus() : stopped;
  });
}

void SystemdClient::RequestStop(const std::string& unit) {
  const absl::StatusOr<Lease> lease = Lease::Take(*this);
  if (!lease.ok()) return;
  const absl::StatusOr<BusMessage> request = (*lease)->NewCall("StopUnit");
  if (!request.ok()) return;
  if (sd_bus_message_append(request->get(), "ss", unit.c_str(), "replace") < 0) return;
  (*lease)->Send(*request);
}

absl::Status SystemdClient::SetProperties(const std::string& unit,
                                          const std::vector<UnitProperty>& properties) {
  return Insist([&]() -> absl::Status {
    const absl::StatusOr<Lease> lease = Lease::Take(*this);
    if (!lease.ok()) return lease.status();
    const absl::StatusOr<BusMessage> request = (*lease)->NewCall("SetUnitProperties");
    if (!request.ok()) return request.status();
    sd_bus_message* const message = request->get();
    // Until the unit ends: a scope of ours does not outlive this boot anyway.
    int result = sd_bus_message_append(message, "sb", unit.c_str(), /*runtime=*/1);
    if (result >= 0) result = sd_bus_message_open_container(message, 'a', "(sv)");
    absl::Status filled = Filled(result, unit);
    if (!filled.ok()) return filled;
    filled = AppendProperties(message, properties);
    if (!filled.ok()) return filled;
    filled = Filled(sd_bus_message_close_container(message), unit);
    if (!filled.ok()) return filled;
    return (*lease)->Call(*request, unit, Deadline(timeout_)).status();
  });
}

absl::StatusOr<std::string> SystemdClient::ActiveState(const std::string& unit) {
  return Insist([&]() -> absl::StatusOr<std::string> {
    const absl::StatusOr<Lease> lease = Lease::Take(*this);
    if (!lease.ok()) return lease.status();
    const Deadline deadline(timeout_);
    const absl::StatusOr<BusMessage> request = (*lease)->NewCall("GetUnit");
    if (!request.ok()) return request.status();
    absl::Status filled = Filled(sd_bus_message_append(request->get(), "s", unit.c_str()), unit);
    if (!filled.ok()) return filled;
    const absl::StatusOr<BusMessage> reply = (*lease)->Call(*request, unit, deadline);
    if (!reply.ok()) return reply.status();
    const char* path = nullptr;
    filled = Filled(sd_bus_message_read(reply->get(), "o", &path), unit);
    if (!filled.ok()) return filled;
    return (*lease)->GetString(path, kUnit, "ActiveState", deadline);
  });
}

absl::Duration SystemdClient::TimeSpent() const {
  const MutexLock lock(mutex_);
  return time_spent_;
}

}  // namespace ocid
