// FailingStore: a RecordStore over another, of which one kind of write can be made to fail.
#ifndef OCID_DAEMON_CONTAINER_TESTING_FAILING_STORE_H_
#define OCID_DAEMON_CONTAINER_TESTING_FAILING_STORE_H_

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daemon/store/record_store.h"
#include "runtime/base/error_details.h"

namespace ocid {

class FailingStore final : public RecordStore {
 public:
  enum class Point { kNone, kDirectories, kRecord, kState, kExec };

  // `point` is shared with the test, which outlives the store.
  FailingStore(std::unique_ptr<RecordStore> store, std::atomic<Point>& point)
      : store_(std::move(store)), point_(point) {}

  std::string RootPath(const std::string& id) const override { return store_->RootPath(id); }
  std::string StatePath(const std::string& id) const override { return store_->StatePath(id); }
  absl::StatusOr<ContainerDirectories> MakeDirectories(const std::string& id) override {
    if (point_ == Point::kDirectories) return Full();
    return store_->MakeDirectories(id);
  }
  absl::StatusOr<ContainerDirectories> OpenDirectories(const std::string& id) override {
    return store_->OpenDirectories(id);
  }
  absl::Status PutRecord(const internal::ContainerRecord& record) override {
    return point_ == Point::kRecord ? Full() : store_->PutRecord(record);
  }
  absl::StatusOr<internal::ContainerRecord> GetRecord(const std::string& id) const override {
    return store_->GetRecord(id);
  }
  absl::Status PutState(const std::string& id, internal::RuntimeState state) override {
    return point_ == Point::kState ? Full() : store_->PutState(id, std::move(state));
  }
  absl::StatusOr<internal::RuntimeState> GetState(const std::string& id) const override {
    return store_->GetState(id);
  }
  absl::Status PutExec(const std::string& id, const v1::Exec& exec) override {
    return point_ == Point::kExec ? Full() : store_->PutExec(id, exec);
  }
  absl::Status RemoveExec(const std::string& id, const std::string& exec_id) override {
    return store_->RemoveExec(id, exec_id);
  }
  absl::StatusOr<std::vector<v1::Exec>> GetExecs(const std::string& id) const override {
    return store_->GetExecs(id);
  }
  absl::Status RemoveExitRecord(const std::string& id) override {
    return store_->RemoveExitRecord(id);
  }
  absl::Status RemoveRecord(const std::string& id) override { return store_->RemoveRecord(id); }
  absl::Status RemoveDirectories(const std::string& id) override {
    return store_->RemoveDirectories(id);
  }
  absl::Status SyncRemovals() override { return store_->SyncRemovals(); }
  absl::StatusOr<std::vector<std::string>> List() const override { return store_->List(); }
  absl::StatusOr<std::string> Quarantine(const std::string& id) override {
    return store_->Quarantine(id);
  }

 private:
  static absl::Status Full() {
    return MakeError(absl::StatusCode::kResourceExhausted, "STORE_FULL", "injected: ENOSPC");
  }

  const std::unique_ptr<RecordStore> store_;
  std::atomic<Point>& point_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_CONTAINER_TESTING_FAILING_STORE_H_
