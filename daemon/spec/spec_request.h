// SpecRequest: everything that one generation of a container's OCI spec is made from.
//
// Plain data, filled by the caller from the API request and the bundle; nothing here was checked
// against anything else. The pipeline reads it and changes none of it.
#ifndef OCID_DAEMON_SPEC_SPEC_REQUEST_H_
#define OCID_DAEMON_SPEC_SPEC_REQUEST_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/oci/oci_spec.h"

namespace ocid {

// What the bundle's config.json said, as it was read.
struct BundleConfig {
  OciSpec spec;
  std::string source_file;    // absolute path of the file; empty if it came with the request
  std::string source_sha256;  // "sha256:<hex>" of the bytes that were parsed
};

struct SpecMount {
  std::string destination;
  std::string type;
  std::string source;
  std::vector<std::string> options;
};

struct SpecRlimit {
  std::string type;  // "RLIMIT_NOFILE"
  uint64_t soft = 0;
  uint64_t hard = 0;
};

struct SpecUser {
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
  std::vector<uint32_t> additional_gids;  // added to those of the bundle
};

struct SpecConsoleSize {
  uint32_t height = 0;  // in characters
  uint32_t width = 0;
};

// What the request says on top of the bundle. Absent: the bundle's word stands.
struct SpecOverrides {
  std::optional<std::vector<std::string>> args;
  std::vector<std::string> env;        // "NAME=value": replaces the variable, or adds it
  std::vector<std::string> unset_env;  // "NAME"
  std::optional<std::string> cwd;
  std::optional<SpecUser> user;
  std::optional<bool> terminal;
  std::optional<SpecConsoleSize> console_size;
  std::optional<bool> no_new_privileges;
  std::optional<bool> readonly_rootfs;
  std::optional<std::string> hostname;
  std::map<std::string, std::string> annotations;
  std::vector<SpecMount> mounts;  // replaces the mount of the same destination, or adds it
  std::vector<SpecRlimit> rlimits;
  // A JSON object that is merged into linux.resources (RFC 7396: null removes). Empty: nothing.
  std::string resources_json;
};

struct SeccompDefault;  // daemon/spec/seccomp_default.h
struct ImageRunConfig;  // daemon/image/image_store.h
class PluginCalls;      // daemon/nri/plugin_calls.h

struct SpecRequest {
  std::string container_id;
  std::string bundle_path;  // absolute
  std::string created;      // RFC 3339; when the container, not this generation, was created
  BundleConfig bundle;
  // In place of a bundle's config.json: the image that the spec is made from, and where its root file
  // system is or will be: an absolute path, or "rootfs" in a bundle that travels.
  std::shared_ptr<const ImageRunConfig> image;
  std::string image_rootfs;
  // uid and gid of the one user that a rootless bundle of the image is for.
  std::optional<std::pair<uint32_t, uint32_t>> image_owner;
  // What a container of an image gets as its seccomp profile. Null: none.
  std::shared_ptr<const SeccompDefault> image_seccomp;
  SpecOverrides overrides;
  // Qualified CDI device names, in the order of the request. Those that annotations with the prefix
  // cdi.k8s.io/ ask for come on top.
  std::vector<std::string> cdi_devices;
  // The NRI plugins to ask, and what they are told besides the spec. Null: none. Lives as long as the
  // run; only that run uses it.
  PluginCalls* plugins = nullptr;
  // linux.cgroupsPath where neither bundle nor request names one.
  std::string default_cgroups_path;
};

}  // namespace ocid

#endif  // OCID_DAEMON_SPEC_SPEC_REQUEST_H_
