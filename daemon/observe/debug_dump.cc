#include "daemon/observe/debug_dump.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/access/audit_log.h"
#include "daemon/base/version.h"
#include "daemon/container/container_manager.h"
#include "daemon/events/event_log.h"
#include "daemon/observe/process_facts.h"
#include "nlohmann/json.hpp"
#include "runtime/base/unique_fd.h"

namespace ocid {
namespace {

constexpr int kPageSize = 1000;

nlohmann::json DescribeContainers(const ContainerManager& manager) {
  const std::map<std::string, size_t> queued = manager.QueuedOperations();
  nlohmann::json containers = nlohmann::json::array();
  v1::ListContainersRequest request;
  request.set_page_size(kPageSize);
  do {
    const absl::StatusOr<v1::ListContainersResponse> page = manager.List(request);
    if (!page.ok()) break;
    for (const v1::Container& container : page->containers()) {
      const auto waiting = queued.find(container.id());
      containers.push_back({{"id", container.id()},
                            {"state", v1::ContainerState_Name(container.state())},
                            {"pid", container.pid()},
                            {"supervisor_pid", container.supervisor_pid()},
                            {"generation", container.generation()},
                            {"owner", container.owner()},
                            {"queued", waiting == queued.end() ? 0 : waiting->second}});
    }
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty() && containers.size() < kMaxDumpedContainers);
  return containers;
}

nlohmann::json DescribeProcess() {
  const ProcessFacts facts = ReadProcessFacts();
  nlohmann::json threads = nlohmann::json::array();
  for (const ThreadFacts& thread : ReadThreads()) {
    threads.push_back({{"id", thread.id},
                       {"name", thread.name},
                       {"state", thread.state},
                       {"waits", thread.waits}});
  }
  return {{"pid", getpid()},
          {"resident_bytes", facts.resident_bytes},
          {"pss_bytes", ReadPssBytes(getpid())},
          {"cpu_seconds", facts.cpu_seconds},
          {"start_time_seconds", facts.start_time_seconds},
          {"max_descriptors", facts.max_descriptors},
          {"descriptors", ReadDescriptors()},
          {"threads", threads}};
}

}  // namespace

std::string DebugDump(const Metrics::Sources& sources, const std::string& config) {
  EventLog& events = sources.containers->events();
  nlohmann::json dump = {
      {"version", std::string(kVersion)},
      {"time", absl::FormatTime(absl::RFC3339_full, absl::Now(), absl::UTCTimeZone())},
      {"config", config},
      {"process", DescribeProcess()},
      {"containers", DescribeContainers(*sources.containers)},
      {"containers_by_state", sources.containers->GetInfo().containers_by_state},
      {"connections", sources.connections()},
      {"connections_refused", sources.refused_connections()},
      {"queues", sources.queued_work()},
      {"events",
       {{"last_sequence", events.last_sequence()},
        {"lost", events.lost_events()},
        {"watcher_lags", events.Lags()}}}};
  if (sources.audit != nullptr) {
    dump["audit"] = {{"written", sources.audit->written()}, {"lost", sources.audit->lost()}};
  }
  // A name in /proc may be any bytes.
  return dump.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

absl::StatusOr<std::string> WriteDebugDump(const std::string& directory, const std::string& dump) {
  const std::string path = absl::StrCat(
      directory, "/debug-",
      absl::FormatTime("%Y%m%dT%H%M%E6S", absl::Now(), absl::UTCTimeZone()), ".json");
  const UniqueFd file(
      open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return absl::ErrnoToStatus(errno, path);
  std::string_view rest = dump;
  while (!rest.empty()) {
    const ssize_t put = write(file.get(), rest.data(), rest.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      const int error = errno;
      unlink(path.c_str());
      return absl::ErrnoToStatus(error, path);
    }
    rest.remove_prefix(static_cast<size_t>(put));
  }
  return path;
}

}  // namespace ocid
