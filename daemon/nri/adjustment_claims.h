// AdjustmentClaims: who owns what in one operation on a container, and what plugins together ask
// for.
//
// Each plugin's answer is claimed as a whole, in the order of plugins. What somebody owns nobody
// else may set, not even the same plugin again; what a plugin removed, only that plugin may set.
// Removals of one answer come before its additions, whatever their order in it.
//
//   AdjustmentClaims claims("web");
//   absl::Status status = claims.ClaimAdjustment("10-a", answer.adjust());
//   if (status.ok()) status = claims.ClaimUpdates("10-a", answer.update());
//
// A conflict is FAILED_PRECONDITION, reason DEVICE_CONFLICT, with both plugins and the field in
// text and metadata ("actor", "previous_actor", "field", "key"); the operation is to fail.
//
// Thread-compatible; nothing blocks. Source: containerd/nri pkg/adaptation/result.go (what it
// claims and in which words it refuses), pkg/api/owners.go.
#ifndef OCID_DAEMON_NRI_ADJUSTMENT_CLAIMS_H_
#define OCID_DAEMON_NRI_ADJUSTMENT_CLAIMS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "daemon/nri/plugin_calls.h"

namespace ocid {

class AdjustmentClaims {
 public:
  enum class Operation {
    kCreate,  // no plugin may update the container: it adjusts it
    kOther,
  };

  explicit AdjustmentClaims(std::string container_id, Operation operation = Operation::kCreate);

  // Claims what `adjustment` sets and adds it to combined().
  absl::Status ClaimAdjustment(const std::string& plugin,
                               const nri::ContainerAdjustment& adjustment);

  // Claims what `updates` set and adds it to updates(). An update whose failure is to be ignored is
  // left out whole where it conflicts.
  using Updates = google::protobuf::RepeatedPtrField<nri::ContainerUpdate>;
  absl::Status ClaimUpdates(const std::string& plugin, const Updates& updates);

  // All adjustments as one: removals of what is not set again stay in it, marked.
  const nri::ContainerAdjustment& combined() const { return combined_; }
  const nri::OwningPlugins& owners() const { return owners_; }
  // One for each container, in the order in which they were first named.
  std::vector<nri::ContainerUpdate> updates() const;
  // The plugin that owns a key of a compound field, "" if none does.
  std::string Owner(nri::Field field, const std::string& key) const;

 private:
  nri::FieldOwners& own() { return (*owners_.mutable_owners())[container_id_]; }

  const std::string container_id_;
  const Operation operation_;
  nri::OwningPlugins owners_;
  nri::ContainerAdjustment combined_;
  std::vector<std::string> update_order_;
  std::map<std::string, nri::ContainerUpdate> updates_;
};

// Sets in `into` what `from` sets. Lists are added to, page sizes and keys replaced.
void MergeNriResources(const nri::LinuxResources& from, nri::LinuxResources* into);

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_ADJUSTMENT_CLAIMS_H_
