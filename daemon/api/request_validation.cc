#include "daemon/api/request_validation.h"

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "daemon/base/log.h"
#include "daemon/base/signal_name.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/util/field_mask_util.h"
#include "google/protobuf/util/time_util.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

using ::google::protobuf::util::FieldMaskUtil;
using ::google::protobuf::util::TimeUtil;

constexpr int kMaxItems = 4096;            // of any list in a request
constexpr size_t kMaxHostnameLength = 64;  // HOST_NAME_MAX
constexpr size_t kMaxShownBytes = 80;      // of a value in an error text
constexpr uint32_t kMaxConsoleSide = 65535;

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

// A value for an error text: quoted, and short however long it is.
std::string Shown(std::string_view value) {
  if (value.size() <= kMaxShownBytes) return QuoteForLog(value);
  return absl::StrCat(QuoteForLog(value.substr(0, kMaxShownBytes)), "... (", value.size(),
                      " bytes)");
}

std::string Child(std::string_view parent, std::string_view name) {
  return absl::StrCat(View(parent), ".", View(name));
}

std::string Item(std::string_view parent, int index) {
  return absl::StrCat(View(parent), "[", index, "]");
}

std::string Entry(std::string_view parent, std::string_view key) {
  return absl::StrCat(View(parent), "[", Shown(key), "]");
}

bool IsIdCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '+' || c == '-';
}

const std::set<std::string, std::less<>>& RlimitTypes() {
  static const auto* const kTypes = new std::set<std::string, std::less<>>{
      "RLIMIT_AS",     "RLIMIT_CORE",   "RLIMIT_CPU",        "RLIMIT_DATA",
      "RLIMIT_FSIZE",  "RLIMIT_LOCKS",  "RLIMIT_MEMLOCK",    "RLIMIT_MSGQUEUE",
      "RLIMIT_NICE",   "RLIMIT_NOFILE", "RLIMIT_NPROC",      "RLIMIT_RSS",
      "RLIMIT_RTPRIO", "RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_STACK"};
  return *kTypes;
}

}  // namespace

bool IsValidId(std::string_view id) {
  return !id.empty() && id.size() <= kMaxIdLength && IsIdCharacter(id[0]) &&
         std::all_of(id.begin(), id.end(), [](char c) { return c == '.' || IsIdCharacter(c); });
}

void RequestCheck::Violation(Kind kind, std::string_view field, std::string_view description) {
  if (count_ == 0) {
    first_ = absl::StrCat(View(field), ": ", View(description));
    kind_ = kind;
    status_ = absl::InvalidArgumentError("");
  } else if (kind != kind_) {
    kind_ = Kind::kRequest;
  }
  ++count_;
  AddFieldViolation(status_, field, description);
}

void RequestCheck::Fail(std::string_view field, std::string_view description) {
  Violation(Kind::kRequest, field, description);
}

absl::Status RequestCheck::Finish() const {
  if (count_ == 0) return absl::OkStatus();
  const std::string_view reason = kind_ == Kind::kContainerId ? "INVALID_CONTAINER_ID"
                                  : kind_ == Kind::kExecId    ? "INVALID_EXEC_ID"
                                                              : "INVALID_REQUEST";
  const std::string message =
      count_ == 1 ? first_ : absl::StrCat(first_, " (and ", count_ - 1, " more)");
  absl::Status status = MakeError(absl::StatusCode::kInvalidArgument, reason, message);
  for (const FieldViolation& violation : GetFieldViolations(status_)) {
    AddFieldViolation(status, violation.field, violation.description);
  }
  return status;
}

void RequestCheck::Id(Kind kind, std::string_view field, std::string_view id) {
  if (IsValidId(id)) return;
  Violation(kind, field,
            absl::StrCat(Shown(id), " is not an id: 1 to ", kMaxIdLength,
                         " letters, digits, '_', '+', '-' and, but first, '.'"));
}

void RequestCheck::ContainerId(std::string_view field, std::string_view id) {
  Id(Kind::kContainerId, field, id);
}

void RequestCheck::ExecId(std::string_view field, std::string_view id) {
  Id(Kind::kExecId, field, id);
}

void RequestCheck::OptionalContainerId(std::string_view field, std::string_view id) {
  if (!id.empty()) ContainerId(field, id);
}

void RequestCheck::OptionalExecId(std::string_view field, std::string_view id) {
  if (!id.empty()) ExecId(field, id);
}

void RequestCheck::RequestId(std::string_view request_id) {
  if (request_id.size() > kMaxRequestIdLength) {
    Fail("request_id", absl::StrCat("is longer than ", kMaxRequestIdLength, " bytes"));
  }
}

void RequestCheck::Etag(std::string_view etag) {
  if (etag.size() > kMaxEtagLength) {
    Fail("etag", absl::StrCat("is longer than ", kMaxEtagLength, " bytes"));
  }
}

void RequestCheck::Page(int32_t page_size, std::string_view page_token) {
  if (page_size < 0) Fail("page_size", "is negative");
  if (page_token.size() > kMaxPageTokenLength) {
    Fail("page_token", absl::StrCat("is longer than ", kMaxPageTokenLength, " bytes"));
  }
}

void RequestCheck::Filter(std::string_view filter) {
  if (filter.size() > kMaxFilterLength) {
    Fail("filter", absl::StrCat("is longer than ", kMaxFilterLength, " bytes"));
  }
}

void RequestCheck::Signal(std::string_view field, std::string_view signal) {
  if (signal.empty() || ParseSignal(signal).has_value()) return;
  Fail(field, absl::StrCat(Shown(signal),
                           " is not a signal: a name such as SIGTERM or TERM, or a number from 1 "
                           "to 64"));
}

void RequestCheck::NoNul(std::string_view field, std::string_view text) {
  if (text.find('\0') != std::string_view::npos) Fail(field, "holds a NUL character");
}

void RequestCheck::AbsolutePath(std::string_view field, std::string_view path) {
  if (!path.starts_with('/')) {
    Fail(field, absl::StrCat(Shown(path), " is not an absolute path"));
  } else if (path.size() > kMaxPathLength) {
    Fail(field, absl::StrCat("is longer than ", kMaxPathLength, " bytes"));
  } else {
    NoNul(field, path);
  }
}

void RequestCheck::Duration(std::string_view field, const google::protobuf::Duration& duration) {
  const bool well_formed = duration.seconds() <= TimeUtil::kDurationMaxSeconds &&
                           duration.nanos() >= 0 && duration.nanos() < 1'000'000'000;
  if (duration.seconds() < 0 || duration.nanos() < 0) {
    Fail(field, "is negative");
  } else if (!well_formed) {
    Fail(field, "is not a duration: nanos are 0 to 999999999, seconds at most 315576000000");
  }
}

void RequestCheck::Timestamp(std::string_view field, const google::protobuf::Timestamp& timestamp) {
  if (timestamp.seconds() < TimeUtil::kTimestampMinSeconds ||
      timestamp.seconds() > TimeUtil::kTimestampMaxSeconds || timestamp.nanos() < 0 ||
      timestamp.nanos() >= 1'000'000'000) {
    Fail(field, "is not a time of the years 1 to 9999");
  }
}

void RequestCheck::ConsoleSize(std::string_view field, const v1::ConsoleSize& size) {
  for (const auto& [name, value] : {std::pair("rows", size.rows()), {"columns", size.columns()}}) {
    if (value < 1 || value > kMaxConsoleSide) {
      Fail(Child(field, name), absl::StrCat(value, " is not 1 to ", kMaxConsoleSide));
    }
  }
}

void RequestCheck::Arguments(std::string_view field,
                             const google::protobuf::RepeatedPtrField<std::string>& args) {
  if (!args.empty() && args[0].empty()) Fail(Item(field, 0), "is empty");
  for (int i = 0; i < args.size(); ++i) NoNul(Item(field, i), args[i]);
}

void RequestCheck::Environment(std::string_view field,
                               const google::protobuf::Map<std::string, std::string>& env) {
  for (const auto& [name, value] : env) {
    if (name.empty()) Fail(field, "has a variable without a name");
    if (name.find('=') != std::string::npos) {
      Fail(Entry(field, name), "a variable's name holds no '='");
    }
    NoNul(Entry(field, name), name);
    NoNul(Entry(field, name), value);
  }
}

void RequestCheck::Labels(std::string_view field,
                          const google::protobuf::Map<std::string, std::string>& labels) {
  for (const auto& [key, value] : labels) {
    if (key.empty()) Fail(field, "has an entry without a key");
    NoNul(Entry(field, key), key);
  }
}

void RequestCheck::Mounts(const v1::ContainerConfig& config) {
  for (int i = 0; i < config.mounts_size(); ++i) {
    const std::string field = Item("config.mounts", i);
    const v1::Mount& mount = config.mounts(i);
    AbsolutePath(Child(field, "destination"), mount.destination());
    NoNul(Child(field, "source"), mount.source());
    NoNul(Child(field, "type"), mount.type());
    for (int j = 0; j < mount.options_size(); ++j) {
      NoNul(Item(Child(field, "options"), j), mount.options(j));
    }
  }
}

void RequestCheck::Rlimits(const v1::ContainerConfig& config) {
  std::set<std::string> seen;
  for (int i = 0; i < config.rlimits_size(); ++i) {
    const std::string field = Item("config.rlimits", i);
    const v1::Rlimit& rlimit = config.rlimits(i);
    if (!RlimitTypes().contains(rlimit.type())) {
      Fail(Child(field, "type"),
           absl::StrCat(Shown(rlimit.type()), " is not a limit such as RLIMIT_NOFILE"));
    } else if (!seen.insert(rlimit.type()).second) {
      Fail(Child(field, "type"), absl::StrCat(rlimit.type(), " stands here twice"));
    }
    if (rlimit.soft() > rlimit.hard()) Fail(Child(field, "soft"), "is above the hard limit");
  }
}

void RequestCheck::HealthCheck(const v1::HealthCheck& health_check) {
  if (health_check.args().empty()) Fail("config.health_check.args", "is empty");
  Arguments("config.health_check.args", health_check.args());
  Duration("config.health_check.interval", health_check.interval());
  Duration("config.health_check.timeout", health_check.timeout());
  Duration("config.health_check.start_period", health_check.start_period());
  // Zero is the default; less than this would be no check but a load.
  constexpr int32_t kMinNanos = 10'000'000;
  for (const auto& [name, duration] : {std::pair("interval", health_check.interval()),
                                       std::pair("timeout", health_check.timeout())}) {
    if (duration.seconds() == 0 && duration.nanos() > 0 && duration.nanos() < kMinNanos) {
      Fail(absl::StrCat("config.health_check.", name), "is under 10 ms");
    }
  }
}

void RequestCheck::RestartPolicy(std::string_view field, const v1::RestartPolicy& policy) {
  if (!v1::RestartPolicy::Mode_IsValid(policy.mode())) {
    Fail(Child(field, "mode"), absl::StrCat(static_cast<int>(policy.mode()), " is not a mode"));
  }
  if (policy.max_retries() != 0 && policy.mode() != v1::RestartPolicy::ON_FAILURE) {
    Fail(Child(field, "max_retries"), "goes with ON_FAILURE alone");
  }
}

void RequestCheck::Resources(std::string_view field, const v1::Resources& resources) {
  if (resources.memory().swappiness() > 100) {
    Fail(Child(field, "memory.swappiness"), "is above 100");
  }
  const v1::Resources::BlockIo& block_io = resources.block_io();
  if (block_io.has_weight() && (block_io.weight() < 10 || block_io.weight() > 1000)) {
    Fail(Child(field, "block_io.weight"), "is not 10 to 1000");
  }
  for (int i = 0; i < resources.devices_size(); ++i) {
    const v1::Resources::DeviceRule& rule = resources.devices(i);
    const std::string item = Item(Child(field, "devices"), i);
    if (rule.type().find_first_not_of("abc") != std::string::npos || rule.type().size() > 1) {
      Fail(Child(item, "type"), absl::StrCat(Shown(rule.type()), " is not \"a\", \"b\" or \"c\""));
    }
    if (rule.access().find_first_not_of("rwm") != std::string::npos) {
      Fail(Child(item, "access"), absl::StrCat(Shown(rule.access()), " is not of \"rwm\""));
    }
  }
  for (const auto& [name, value] : resources.unified()) {
    // A file of the container's own cgroup directory, and no other.
    if (name.empty() || name.find('/') != std::string::npos || name.starts_with('.')) {
      Fail(Entry(Child(field, "unified"), name), "is not the name of a cgroup file");
    }
    NoNul(Entry(Child(field, "unified"), name), name);
  }
}

void RequestCheck::Config(const v1::ContainerConfig& config) {
  switch (config.source_case()) {
    case v1::ContainerConfig::kBundle:
      AbsolutePath("config.bundle", config.bundle());
      break;
    case v1::ContainerConfig::kImage:
      if (config.image().empty()) Fail("config.image", "is empty");
      NoNul("config.image", config.image());
      break;
    case v1::ContainerConfig::SOURCE_NOT_SET:
      Fail("config", "names neither a bundle nor an image");
  }
  if (config.mounts_size() > kMaxItems || config.cdi_devices_size() > kMaxItems ||
      config.rlimits_size() > kMaxItems || config.resources().devices_size() > kMaxItems) {
    Fail("config", absl::StrCat("has a list of more than ", kMaxItems, " entries"));
    return;
  }
  for (int i = 0; i < config.cdi_devices_size(); ++i) {
    NoNul(Item("config.cdi_devices", i), config.cdi_devices(i));
    if (config.cdi_devices(i).empty()) Fail(Item("config.cdi_devices", i), "is empty");
  }
  Arguments("config.args", config.args());
  Environment("config.env", config.env());
  if (config.has_cwd()) AbsolutePath("config.cwd", config.cwd());
  if (config.has_console_size()) ConsoleSize("config.console_size", config.console_size());
  if (config.has_hostname()) {
    NoNul("config.hostname", config.hostname());
    if (config.hostname().size() > kMaxHostnameLength) {
      Fail("config.hostname", absl::StrCat("is longer than ", kMaxHostnameLength, " bytes"));
    }
  }
  Mounts(config);
  Rlimits(config);
  if (config.has_resources()) Resources("config.resources", config.resources());
  Labels("config.annotations", config.annotations());
  Labels("config.labels", config.labels());
  if (config.log().has_max_files() && config.log().max_files() < 1) {
    Fail("config.log.max_files", "is not at least 1");
  }
  if (!v1::LogConfig::Format_IsValid(config.log().format())) {
    Fail("config.log.format", "is not a format");
  }
  if (config.has_restart_policy()) RestartPolicy("config.restart_policy", config.restart_policy());
  if (config.has_health_check()) HealthCheck(config.health_check());
  Signal("config.stop_signal", config.stop_signal());
}

void RequestCheck::ExecConfig(const v1::ExecConfig& config) {
  if (config.args().empty()) Fail("config.args", "is empty");
  Arguments("config.args", config.args());
  Environment("config.env", config.env());
  if (config.has_cwd()) AbsolutePath("config.cwd", config.cwd());
  if (config.has_console_size()) ConsoleSize("config.console_size", config.console_size());
  for (int i = 0; i < config.added_capabilities_size(); ++i) {
    if (!std::string_view(config.added_capabilities(i)).starts_with("CAP_")) {
      Fail(Item("config.added_capabilities", i),
           absl::StrCat(Shown(config.added_capabilities(i)),
                        " is not a capability such as CAP_NET_ADMIN"));
    }
  }
}

void RequestCheck::UpdateMask(const google::protobuf::FieldMask& mask) {
  if (mask.paths().empty()) Fail("update_mask", "is empty: it names what to change");
  for (const std::string& path : mask.paths()) {
    const std::string root = path.substr(0, path.find('.'));
    const bool updatable = root == "resources" || root == "labels" || root == "restart_policy";
    if (!updatable || !FieldMaskUtil::IsValidPath<v1::UpdateContainerRequest>(path)) {
      Fail("update_mask", absl::StrCat(Shown(path), " is nothing that Update can change"));
    }
  }
}

}  // namespace ocid
