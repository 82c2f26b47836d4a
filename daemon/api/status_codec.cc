#include "daemon/api/status_codec.h"

#include <string>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/util/time_util.h"
#include "proto/google/rpc/error_details.pb.h"
#include "proto/google/rpc/status.pb.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

using ::google::protobuf::Any;
using ::google::protobuf::util::TimeUtil;
using RpcStatus = ::google::rpc::Status;
using ::google::rpc::BadRequest;
using ::google::rpc::ErrorInfo;
using ::google::rpc::ResourceInfo;
using ::google::rpc::RetryInfo;

constexpr absl::string_view kDetailPrefix = "type.googleapis.com/google.rpc.";
constexpr size_t kMaxMessageBytes = 1500;
constexpr size_t kMaxMetadataValueBytes = 512;
constexpr absl::string_view kEllipsis = "...";

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

// The reason of an error that came without one.
std::string_view GeneralReason(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return "INVALID_REQUEST";
    case absl::StatusCode::kDeadlineExceeded:
      return "TIMED_OUT";
    case absl::StatusCode::kFailedPrecondition:
      return "INVALID_STATE";
    case absl::StatusCode::kResourceExhausted:
      return "BUSY";
    case absl::StatusCode::kUnavailable:
      return "SHUTTING_DOWN";
    case absl::StatusCode::kUnimplemented:
      return "NOT_IMPLEMENTED";
    case absl::StatusCode::kPermissionDenied:
      return "PERMISSION_DENIED";
    case absl::StatusCode::kUnauthenticated:
      return "UNAUTHENTICATED";
    default:
      return "INTERNAL";
  }
}

// Cut at a character, so that the text stays UTF-8.
std::string Shorten(const std::string& text, size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  size_t end = max_bytes - kEllipsis.size();
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return absl::StrCat(text.substr(0, end), kEllipsis);
}

// grpc-message is percent-encoded, grpc-status-details-bin is base64.
size_t EncodedSize(const std::string& message, const RpcStatus& details) {
  size_t size = (details.ByteSizeLong() + 2) / 3 * 4;
  for (const char c : message) size += c >= 0x20 && c < 0x7f && c != '%' ? 1 : 3;
  return size;
}

template <typename Message, typename Function>
void EditDetail(RpcStatus& status, Function edit) {
  for (Any& detail : *status.mutable_details()) {
    Message message;
    if (!detail.UnpackTo(&message)) continue;
    edit(message);
    detail.PackFrom(message);
  }
}

void KeepViolations(BadRequest& bad_request, int count) {
  auto& violations = *bad_request.mutable_field_violations();
  const int dropped = violations.size() - count;
  if (dropped <= 0) return;
  violations.DeleteSubrange(count, dropped);
  violations.Add()->set_description(absl::StrCat("and ", dropped, " more"));
}

void ShortenToFit(std::string& message, RpcStatus& status) {
  const auto fits = [&] { return EncodedSize(message, status) <= kMaxEncodedStatusBytes; };
  if (fits()) return;
  message = Shorten(message, kMaxMessageBytes);
  status.set_message(message);
  EditDetail<ErrorInfo>(status, [](ErrorInfo& info) {
    for (auto& [key, value] : *info.mutable_metadata()) {
      value = Shorten(value, kMaxMetadataValueBytes);
    }
  });
  const RpcStatus whole = status;
  for (int count = 64; count > 0 && !fits(); count /= 2) {
    status = whole;
    EditDetail<BadRequest>(status, [count](BadRequest& bad) {
      for (auto& violation : *bad.mutable_field_violations()) {
        violation.set_field(Shorten(violation.field(), kMaxMetadataValueBytes));
        violation.set_description(Shorten(violation.description(), kMaxMetadataValueBytes));
      }
      KeepViolations(bad, count);
    });
  }
  if (fits()) return;
  EditDetail<ErrorInfo>(status, [](ErrorInfo& info) { info.clear_metadata(); });
  message = Shorten(message, kMaxMessageBytes / 4);
  status.set_message(message);
  if (fits()) return;
  // Details of some other kind: the first is the ErrorInfo.
  status.mutable_details()->DeleteSubrange(1, status.details_size() - 1);
}

}  // namespace

grpc::Status EncodeStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  std::string message(status.message());
  RpcStatus details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(message);

  ErrorInfo info;
  const absl::optional<absl::Cord> given = status.GetPayload(View(kErrorInfoTypeUrl));
  if (!given.has_value() || !info.ParseFromString(std::string(*given)) || info.reason().empty()) {
    info.set_reason(std::string(GeneralReason(status.code())));
    info.set_domain(std::string(kErrorDomain));
  }
  details.add_details()->PackFrom(info);
  status.ForEachPayload([&details](absl::string_view type_url, const absl::Cord& payload) {
    if (!absl::StartsWith(type_url, kDetailPrefix) || type_url == View(kErrorInfoTypeUrl)) return;
    Any& detail = *details.add_details();
    detail.set_type_url(std::string(type_url));
    detail.set_value(std::string(payload));
  });
  ShortenToFit(message, details);
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message,
                      details.SerializeAsString());
}

absl::Status DecodeStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status decoded(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  RpcStatus details;
  if (!details.ParseFromString(status.error_details())) return decoded;
  for (const Any& detail : details.details()) {
    if (!absl::StartsWith(detail.type_url(), kDetailPrefix)) continue;
    decoded.SetPayload(detail.type_url(), absl::Cord(detail.value()));
  }
  return decoded;
}

void AddRetryInfo(absl::Status& status, absl::Duration delay) {
  RetryInfo info;
  *info.mutable_retry_delay() = TimeUtil::NanosecondsToDuration(absl::ToInt64Nanoseconds(delay));
  status.SetPayload(absl::StrCat(kDetailPrefix, "RetryInfo"), absl::Cord(info.SerializeAsString()));
}

void AddResourceInfo(absl::Status& status, std::string_view type, std::string_view name) {
  ResourceInfo info;
  info.set_resource_type(std::string(type));
  info.set_resource_name(std::string(name));
  status.SetPayload(absl::StrCat(kDetailPrefix, "ResourceInfo"),
                    absl::Cord(info.SerializeAsString()));
}

absl::Status NotImplemented(std::string_view feature, std::string_view words) {
  return MakeError(absl::StatusCode::kUnimplemented, "NOT_IMPLEMENTED", words,
                   {{"feature", std::string(feature)}});
}

absl::Status ShuttingDown() {
  return MakeError(absl::StatusCode::kUnavailable, "SHUTTING_DOWN",
                   "the daemon is shutting down; containers go on running");
}

}  // namespace ocid
