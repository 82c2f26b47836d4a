#include "absl/strings/numbers.h"
#include "daemon/api/api_context.h"
#include "daemon/api/plugin_service.h"
#include "google/protobuf/util/time_util.h"

namespace ocid {
namespace {

using google::protobuf::util::TimeUtil;

google::protobuf::Duration ToProto(absl::Duration duration) {
  return TimeUtil::NanosecondsToDuration(absl::ToInt64Nanoseconds(duration));
}

google::protobuf::Timestamp ToProto(absl::Time time) {
  return TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(time));
}

}  // namespace

v1::Plugin DescribePlugin(const PluginReport& report) {
  v1::Plugin plugin;
  plugin.set_name(report.name);
  uint32_t index = 0;
  if (absl::SimpleAtoi(report.index, &index)) plugin.set_index(index);
  plugin.set_connected(report.connected);
  plugin.set_pid(report.process.pid);
  plugin.set_executable(report.process.executable);
  plugin.set_launched(report.process.launched);
  *plugin.mutable_subscriptions() = {report.subscriptions.begin(), report.subscriptions.end()};
  plugin.set_calls(report.numbers.calls);
  plugin.set_failures(report.numbers.failures);
  plugin.set_timeouts(report.numbers.timeouts);
  plugin.set_last_error(report.numbers.last_error);
  if (report.numbers.p50 > absl::ZeroDuration()) {
    *plugin.mutable_latency_p50() = ToProto(report.numbers.p50);
    *plugin.mutable_latency_p99() = ToProto(report.numbers.p99);
  }
  *plugin.mutable_connect_time() = ToProto(report.connect_time);
  if (!report.connected) {
    *plugin.mutable_disconnect_time() = ToProto(report.disconnect_time);
    plugin.set_disconnect_reason(report.disconnect_reason);
  }
  v1::PluginPolicy& policy = *plugin.mutable_policy();
  policy.set_required(report.policy.required);
  policy.set_fail_closed(report.policy.fail_closed);
  *policy.mutable_timeout() = ToProto(report.policy.timeout);
  policy.set_restricted(report.policy.fields.has_value());
  if (report.policy.fields.has_value()) {
    for (const nri::Field field : *report.policy.fields) {
      policy.add_fields(nri::Field_Name(field));
    }
  }
  return plugin;
}

grpc::ServerUnaryReactor* PluginService::List(grpc::CallbackServerContext* context,
                                              const v1::ListPluginsRequest* request,
                                              v1::ListPluginsResponse* response) {
  UnaryCall<v1::ListPluginsResponse> call(api_, context, *request, response);
  v1::ListPluginsResponse list;
  if (plugins_ != nullptr) {
    for (const PluginReport& report : plugins_->List()) *list.add_plugins() = DescribePlugin(report);
  }
  call.Finish(std::move(list));
  return call.reactor();
}

}  // namespace ocid
