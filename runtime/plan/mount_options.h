// The options of an OCI mount, sorted into what the kernel's mount API takes.
//
// Pure. Source: runtime-spec config.md#linux-mount-options, mount(8), mount_setattr(2).
#ifndef OCID_RUNTIME_PLAN_MOUNT_OPTIONS_H_
#define OCID_RUNTIME_PLAN_MOUNT_OPTIONS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/oci/json_cursor.h"

namespace ocid {

// MOUNT_ATTR_* to set and to clear.
struct MountAttributes {
  uint64_t set = 0;
  uint64_t clear = 0;

  bool empty() const { return set == 0 && clear == 0; }
};

struct MountOptions {
  bool bind = false;
  bool recursive = false;  // rbind
  bool remount = false;
  bool copy_up = false;  // tmpcopyup
  // idmap and ridmap: by the mappings of the mount or else of the container.
  bool map_ids = false;
  bool map_below = false;
  MountAttributes own;
  MountAttributes below;     // of the mount and all beneath it: rro and the like
  uint64_t propagation = 0;  // MS_SHARED and the like, with MS_REC
  // For the file system: a flag if the value is empty, else with '=' before it.
  std::vector<std::pair<std::string, std::string>> parameters;
  // Flags of a file system that shall not be set; among the parameters if it is remounted.
  std::vector<std::pair<std::string, std::string>> cleared;
};

// `list` is mounts[i].options.
MountOptions ReadMountOptions(const JsonCursor& list);

// Every option that ReadMountOptions knows itself, sorted, for the features document.
std::vector<std::string> KnownMountOptions();

}  // namespace ocid

#endif  // OCID_RUNTIME_PLAN_MOUNT_OPTIONS_H_
