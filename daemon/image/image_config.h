// ImageConfig: what an image says about itself and how to run it; and the conversions between the
// three forms in which images say it: OCI configuration, Docker configuration (schema 2), and the
// history entries of a Docker schema 1 manifest.
//
// Whatever the source, there is an OCI and a Docker form. The source's own form is its document as it
// came, so that nothing it says is lost; the other one is a projection. Fields that only Docker has
// (Healthcheck, OnBuild, Shell, ...) stay in the Docker form.
//
//   source                    OCI form                       Docker form
//   OCI configuration         as it came                     projection, config and container_config
//   Docker configuration      projection                     as it came
//   schema 1 manifest         projection of the next column  newest entry, history and rootfs rebuilt
//
// A document is Docker's where its media type is or where it names a docker_version. What is empty
// means: operating system and architecture of this host, working directory "/". An unset created time
// stays unset, so that two inspections agree.
//
// Errors: INVALID_ARGUMENT, IMAGE_INVALID naming the member. Pure functions; nothing blocks.
// Sources: image-spec config.md; moby image/spec/v1.2.md; distribution manifest-v2-1.deprecated.md.
#ifndef OCID_DAEMON_IMAGE_IMAGE_CONFIG_H_
#define OCID_DAEMON_IMAGE_IMAGE_CONFIG_H_

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/image/digest.h"
#include "daemon/image/manifest.h"

namespace ocid {

inline constexpr size_t kMaxConfigBytes = size_t{8} << 20;

struct ImageHistory {
  std::string created;  // RFC 3339, UTC; empty: unknown
  std::string created_by;
  std::string author;
  std::string comment;
  bool empty_layer = false;
};

struct ImageConfig {
  std::string created;  // RFC 3339, UTC; empty: unset
  std::string author;
  Platform platform;
  std::string os_version;
  std::vector<std::string> os_features;

  std::string user;
  std::vector<std::string> exposed_ports;  // "80/tcp"
  std::vector<std::string> env;
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::vector<std::string> volumes;
  std::string working_dir;  // "/" where unset
  std::map<std::string, std::string> labels;
  std::string stop_signal;

  std::vector<Digest> diff_ids;  // lowest first
  std::vector<ImageHistory> history;
  // Members of the configuration that only Docker knows, by name.
  std::vector<std::string> docker_only;
};

struct ImageForms {
  ImageConfig config;
  std::string oci_json;
  std::string docker_json;
  bool from_docker = false;
};

// From a configuration blob. An error where it is neither form.
absl::StatusOr<ImageForms> ReadConfig(std::string_view bytes, std::string_view media_type);

// A schema 1 manifest, oldest first and without the layers marked as thrown away.
struct Schema1Image {
  std::vector<Digest> blobs;  // of the layers that are kept, compressed
  std::string newest_json;
  std::vector<ImageHistory> history;
};
absl::StatusOr<Schema1Image> ReadSchema1(const Schema1Manifest& manifest);

// A Docker configuration for it. `diff_ids` belong to `image.blobs`; the manifest does not have them:
// they are the digests of the decompressed layers.
absl::StatusOr<std::string> MakeSchema1Config(const Schema1Image& image,
                                              const std::vector<Digest>& diff_ids);

// The identity of a stack of layers: ChainID(1) = DiffID(1), ChainID(n) = SHA256("ChainID(n-1)
// DiffID(n)"). Source: image-spec config.md, "Layer ChainID".
std::vector<Digest> ChainIds(const std::vector<Digest>& diff_ids);

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_IMAGE_CONFIG_H_
