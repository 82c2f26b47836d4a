#include "daemon/nri/plugin_context.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/log.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

constexpr std::string_view kPluginFailed = "PLUGIN_FAILED";

// The updates of one request, until the last of them has ended.
class UpdateRound {
 public:
  UpdateRound(size_t count, std::function<void(const PluginContext::UpdateOutcome&)> done)
      : left_(count), done_(std::move(done)) {}

  void End(const nri::ContainerUpdate& update, const absl::Status& status,
           const std::string& plugin) {
    if (!status.ok()) {
      Log(LogLevel::kWarning, "nri: update",
          {{"plugin", plugin}, {"container", update.container_id()}, {"error", status}});
    }
    {
      MutexLock lock(mutex_);
      if (!status.ok() && !absl::IsNotFound(status) && !update.ignore_failure()) {
        outcome_.failed.push_back(update);
        if (outcome_.first_error.ok()) outcome_.first_error = status;
      }
      if (--left_ > 0) return;
    }
    done_(outcome_);  // nobody else has it any more
  }

 private:
  Mutex mutex_;
  size_t left_;
  PluginContext::UpdateOutcome outcome_;
  const std::function<void(const PluginContext::UpdateOutcome&)> done_;
};

}  // namespace

absl::Status PluginContext::CheckRequired() const {
  const std::vector<std::string> required = policies.Required();
  if (required.empty()) return absl::OkStatus();
  const PluginTable::Plugins active = table.active();
  for (const std::string& name : required) {
    const bool there = std::any_of(active.begin(), active.end(), [&](const auto& plugin) {
      return plugin->qualified_name() == name || plugin->info().name == name;
    });
    if (there) continue;
    return MakeError(absl::StatusCode::kFailedPrecondition, kPluginFailed,
                     absl::StrCat("plugin ", name, " is required and not connected"),
                     {{"plugin", name}});
  }
  return absl::OkStatus();
}

void PluginContext::Apply(const std::vector<nri::ContainerUpdate>& updates,
                          const std::vector<nri::ContainerEviction>& evictions,
                          const std::string& plugin,
                          std::function<void(const UpdateOutcome&)> done) {
  PluginTargets* const to = targets;
  const auto round = std::make_shared<UpdateRound>(updates.size() + 1, std::move(done));
  for (const nri::ContainerUpdate& update : updates) {
    if (to == nullptr) {
      round->End(update, absl::UnavailableError("the daemon is not ready"), plugin);
      continue;
    }
    to->UpdateFromPlugin(update.container_id(), update.linux().resources(), plugin,
                         [round, update, plugin](const absl::Status& status) {
                           round->End(update, status, plugin);
                         });
  }
  for (const nri::ContainerEviction& eviction : evictions) {
    if (to != nullptr) to->EvictForPlugin(eviction.container_id(), eviction.reason(), plugin);
  }
  round->End({}, absl::OkStatus(), plugin);
}

absl::Status JudgeFailure(const Plugin& plugin, std::string_view method, const RpcResult& result) {
  if (result.ok()) return absl::OkStatus();
  const bool answered = result.kind == RpcResult::Kind::kError;
  if (!answered && !plugin.info().policy.fail_closed) return absl::OkStatus();
  const std::string& name = plugin.qualified_name();
  return MakeError(absl::StatusCode::kFailedPrecondition, kPluginFailed,
                   absl::StrCat("plugin ", name, ": ",
                                absl::string_view(method.data(), method.size()), ": ",
                                result.message),
                   {{"plugin", name}});
}

}  // namespace ocid
