// Container: changes of what was asked for.

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/container/container.h"
#include "daemon/container/oci_resources.h"
#include "daemon/container/public_error.h"
#include "google/protobuf/util/field_mask_util.h"
#include "nlohmann/json.hpp"
#include "runtime/base/error_details.h"
#include "runtime/cgroup/default_devices.h"

namespace ocid {
namespace {

using google::protobuf::FieldMask;
using google::protobuf::util::FieldMaskUtil;

// What an update_mask names.
struct UpdateParts {
  FieldMask resources;  // paths below `resources`
  bool labels = false;
  bool restart_policy = false;
};

absl::Status MaskError(const std::string& path, const std::string& what) {
  absl::Status error = MakeError(absl::StatusCode::kInvalidArgument, "INVALID_REQUEST",
                                 absl::StrCat("update_mask: ", path, ": ", what));
  AddFieldViolation(error, "update_mask", absl::StrCat(path, ": ", what));
  return error;
}

absl::StatusOr<UpdateParts> ParseMask(const FieldMask& mask) {
  constexpr std::string_view kResources = "resources";
  if (mask.paths().empty()) return MaskError("(empty)", "required");
  UpdateParts parts;
  for (const std::string& path : mask.paths()) {
    if (!FieldMaskUtil::IsValidPath<v1::UpdateContainerRequest>(path)) {
      return MaskError(path, "no such field");
    }
    const std::string root = path.substr(0, path.find('.'));
    if (path == "labels") {
      parts.labels = true;
    } else if (root == "restart_policy") {
      parts.restart_policy = true;
    } else if (path == kResources) {
      parts.resources = FieldMaskUtil::GetFieldMaskForAllFields<v1::Resources>();
    } else if (root == kResources) {
      parts.resources.add_paths(path.substr(kResources.size() + 1));
    } else {
      return MaskError(path, "cannot be updated");
    }
  }
  return parts;
}

}  // namespace

void Container::Update(const v1::UpdateContainerRequest& request, Done<v1::Container> callback) {
  OnLane(std::move(callback), [request](Container& self, Lane::Turn turn,
                                        Done<v1::Container> done) {
    const auto update = [&]() -> absl::Status {
      const absl::Status legal = self.Check(LifecycleEvent::kUpdate);
      if (!legal.ok()) return legal;
      if (!request.etag().empty() && request.etag() != self.view_.etag()) {
        return MakeError(absl::StatusCode::kAborted, "ETAG_MISMATCH",
                         absl::StrCat("container ", self.id_, ": it has changed"));
      }
      const absl::StatusOr<UpdateParts> parts = ParseMask(request.update_mask());
      if (!parts.ok()) return parts.status();

      v1::ContainerConfig config = self.view_.config();
      v1::Resources changed;
      FieldMaskUtil::MergeOptions replace;
      replace.set_replace_repeated_fields(true);
      FieldMaskUtil::MergeMessageTo(request.resources(), parts->resources, replace, &changed);
      if (!parts->resources.paths().empty()) {
        FieldMaskUtil::MergeMessageTo(request.resources(), parts->resources, replace,
                                      config.mutable_resources());
      }
      if (parts->labels) *config.mutable_labels() = request.labels();
      if (parts->restart_policy) *config.mutable_restart_policy() = request.restart_policy();

      nlohmann::json resources = ToOciResources(changed);
      if (resources.contains("devices")) resources = WithDefaultDevices(resources);
      if (!resources.empty()) {
        const absl::Status valid =
            self.services_.cgroups.Validate(self.id_, self.cgroups_path_, resources);
        if (!valid.ok()) return valid;
      }
      if (request.validate_only()) return absl::OkStatus();
      const bool live = !resources.empty() && IsAlive(self.state()) && self.cgroup_ != nullptr;
      if (live) {
        absl::StatusOr<nlohmann::json> agreed = self.AskPluginsToUpdate(resources);
        if (!agreed.ok()) return agreed.status();
        resources = *std::move(agreed);
      }
      absl::StatusOr<internal::ContainerRecord> record = self.services_.store.GetRecord(self.id_);
      if (!record.ok()) return record.status();
      if (live) {
        const absl::Status updated = self.UpdateCgroup(resources);
        if (!updated.ok()) return updated;
        for (const std::string& warning : self.cgroup_->warnings()) self.AddWarning(warning);
      }
      *record->mutable_config() = config;
      const absl::Status stored = self.services_.store.PutRecord(*record);
      if (!stored.ok()) return stored;
      *self.view_.mutable_labels() = config.labels();
      *self.view_.mutable_config() = std::move(config);
      self.Publish();
      self.AddEvent(v1::Event::UPDATED, self.state());
      if (live && self.pod_ != nullptr) {
        self.Lent([&self] { self.pod_->Updated(self.StateForPlugins()); });
      }
      return absl::OkStatus();
    };
    const absl::Status status = update();
    absl::StatusOr<v1::Container> answer = self.ViewOr(status);
    turn.End();
    done(std::move(answer));
  });
}

absl::Status Container::UpdateCgroup(const nlohmann::json& resources) {
  const absl::Status updated = cgroup_->Update(resources);
  if (!updated.ok()) return updated;
  nlohmann::json all = nlohmann::json::object();
  if (!updated_resources_.empty()) {
    all = nlohmann::json::parse(updated_resources_, nullptr, /*allow_exceptions=*/false);
  }
  all.merge_patch(resources);
  updated_resources_ = all.dump();
  StoreStateOrLog();
  return absl::OkStatus();
}

}  // namespace ocid
