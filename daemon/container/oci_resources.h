// The API's resources as runtime-spec's `linux.resources`. Pure; thread-safe.
//
// Source: opencontainers/runtime-spec config-linux.md#control-groups.
#ifndef OCID_DAEMON_CONTAINER_OCI_RESOURCES_H_
#define OCID_DAEMON_CONTAINER_OCI_RESOURCES_H_

#include <nlohmann/json_fwd.hpp>

#include "proto/ocid/v1/types.pb.h"

namespace ocid {

// Has a member for each field that is set, and no other.
nlohmann::json ToOciResources(const v1::Resources& resources);

}  // namespace ocid

#endif  // OCID_DAEMON_CONTAINER_OCI_RESOURCES_H_
