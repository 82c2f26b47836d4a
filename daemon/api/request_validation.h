// RequestCheck: the form of a request, before anything is looked up or done.
//
//   RequestCheck check;
//   check.ContainerId("container_id", request.container_id());
//   check.Signal("signal", request.signal());
//   if (absl::Status status = check.Finish(); !status.ok()) ...
//
// Finds everything that is wrong at once: Finish returns INVALID_ARGUMENT with one BadRequest
// violation for each, INVALID_CONTAINER_ID or INVALID_EXEC_ID where ids were all that was wrong,
// and INVALID_REQUEST else. What only the state or the host can tell (is there such a container,
// such a device, such a file) is not asked here.
//
// A value on one thread; nothing blocks. Rules: proto/ocid/v1/*.proto.
#ifndef OCID_DAEMON_API_REQUEST_VALIDATION_H_
#define OCID_DAEMON_API_REQUEST_VALIDATION_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/field_mask.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "proto/ocid/v1/container.pb.h"
#include "proto/ocid/v1/exec.pb.h"
#include "proto/ocid/v1/types.pb.h"

namespace ocid {

inline constexpr size_t kMaxIdLength = 128;
inline constexpr size_t kMaxRequestIdLength = 64;
inline constexpr size_t kMaxFilterLength = 1024;
inline constexpr size_t kMaxPageTokenLength = 1024;
inline constexpr size_t kMaxPathLength = 4095;  // PATH_MAX without its NUL
inline constexpr size_t kMaxEtagLength = 128;

// The rule of container.proto: 1 to 128 of letters, digits, '_', '+', '-' and, but first, '.'.
bool IsValidId(std::string_view id);

class RequestCheck {
 public:
  void ContainerId(std::string_view field, std::string_view id);
  void ExecId(std::string_view field, std::string_view id);
  // These may be empty.
  void OptionalContainerId(std::string_view field, std::string_view id);
  void OptionalExecId(std::string_view field, std::string_view id);

  void RequestId(std::string_view request_id);
  void Etag(std::string_view etag);
  void Page(int32_t page_size, std::string_view page_token);
  void Filter(std::string_view filter);
  void Signal(std::string_view field, std::string_view signal);  // may be empty
  void AbsolutePath(std::string_view field, std::string_view path);
  // Well-formed and not negative.
  void Duration(std::string_view field, const google::protobuf::Duration& duration);
  void Timestamp(std::string_view field, const google::protobuf::Timestamp& timestamp);
  void ConsoleSize(std::string_view field, const v1::ConsoleSize& size);
  void Config(const v1::ContainerConfig& config);
  void ExecConfig(const v1::ExecConfig& config);
  void Resources(std::string_view field, const v1::Resources& resources);
  void Labels(std::string_view field,
              const google::protobuf::Map<std::string, std::string>& labels);
  void RestartPolicy(std::string_view field, const v1::RestartPolicy& policy);
  // Not empty, and only paths of `resources`, `labels` and `restart_policy`.
  void UpdateMask(const google::protobuf::FieldMask& mask);
  // What has a rule of its own.
  void Fail(std::string_view field, std::string_view description);

  absl::Status Finish() const;

 private:
  enum class Kind { kRequest, kContainerId, kExecId };
  void Violation(Kind kind, std::string_view field, std::string_view description);
  void Id(Kind kind, std::string_view field, std::string_view id);
  void NoNul(std::string_view field, std::string_view text);
  void Arguments(std::string_view field,
                 const google::protobuf::RepeatedPtrField<std::string>& args);
  void Environment(std::string_view field,
                   const google::protobuf::Map<std::string, std::string>& env);
  void Mounts(const v1::ContainerConfig& config);
  void Rlimits(const v1::ContainerConfig& config);
  void HealthCheck(const v1::HealthCheck& health_check);

  absl::Status status_;  // INVALID_ARGUMENT with the violations so far
  std::string first_;
  int count_ = 0;
  Kind kind_ = Kind::kRequest;
};

}  // namespace ocid

#endif  // OCID_DAEMON_API_REQUEST_VALIDATION_H_
