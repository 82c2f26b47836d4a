#include "daemon/container/request_log.h"

#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "runtime/base/error_details.h"
#include "runtime/oci/json_text.h"

namespace ocid {

std::string DigestRequest(const google::protobuf::Message& request) {
  const std::unique_ptr<google::protobuf::Message> copy(request.New());
  copy->CopyFrom(request);
  const google::protobuf::FieldDescriptor* const id =
      copy->GetDescriptor()->FindFieldByName("request_id");
  if (id != nullptr) copy->GetReflection()->ClearField(copy.get(), id);
  std::string bytes = absl::StrCat(copy->GetDescriptor()->full_name(), "\n");
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    // Maps in the order of their keys: the same request gives the same bytes.
    coded.SetSerializationDeterministic(true);
    copy->SerializeToCodedStream(&coded);
  }
  return Sha256Digest(bytes);
}

bool RequestLog::Enter(const Key& key, RawAnswer answer) {
  absl::Status status;
  std::string bytes;
  {
    MutexLock lock(mutex_);
    ForgetOld();
    const auto [found, is_new] = entries_.try_emplace({key.caller, key.request_id});
    Entry& entry = found->second;
    if (is_new) entry.digest = key.digest;
    if (entry.digest != key.digest) {
      status = MakeError(
          absl::StatusCode::kInvalidArgument, "REQUEST_ID_REUSED",
          absl::StrCat("request_id ", key.request_id, ": was used for a different request"));
    } else if (!entry.answered) {
      entry.waiting.push_back(std::move(answer));
      return is_new;
    } else {
      status = entry.status;
      bytes = entry.bytes;
    }
  }
  answer(status, bytes);
  return false;
}

void RequestLog::Finish(const Name& name, const absl::Status& status, const std::string& bytes) {
  std::vector<RawAnswer> waiting;
  {
    MutexLock lock(mutex_);
    const auto found = entries_.find(name);
    waiting = std::move(found->second.waiting);
    if (absl::IsResourceExhausted(status) || absl::IsUnavailable(status)) {
      entries_.erase(found);
    } else {
      Entry& entry = found->second;
      entry.waiting.clear();
      entry.answered = true;
      entry.status = status;
      entry.bytes = bytes;
      answered_.emplace_back(timers_.Now(), name);
    }
  }
  for (RawAnswer& answer : waiting) answer(status, bytes);
}

void RequestLog::ForgetOld() {
  const absl::Time oldest = timers_.Now() - kMemory;
  while (!answered_.empty() &&
         (answered_.front().first < oldest || answered_.size() > kMaxAnswers)) {
    entries_.erase(answered_.front().second);
    answered_.pop_front();
  }
}

}  // namespace ocid
