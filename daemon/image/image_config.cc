#include "daemon/image/image_config.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "daemon/image/image_errors.h"
#include "daemon/image/json_reader.h"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

using nlohmann::json;

constexpr JsonLimits kConfigLimits = {
    .bytes = kMaxConfigBytes, .depth = 32, .values = size_t{1} << 18};
constexpr size_t kMaxHistory = 4096;

// Members of Docker's `config` and of its document that have no place in an OCI configuration.
constexpr std::array<std::string_view, 5> kDockerOnlyConfig = {"ArgsEscaped", "Healthcheck",
                                                               "OnBuild", "Shell", "StopTimeout"};
// Members of a schema 1 entry that speak of the entry and not of the image.
constexpr std::array<std::string_view, 6> kSchema1EntryMembers = {
    "id", "parent", "parent_id", "layer_id", "throwaway", "Size"};

absl::StatusOr<json> ParseDocument(std::string_view bytes, std::string_view what) {
  absl::StatusOr<json> document = ParseJson(bytes, kConfigLimits);
  if (!document.ok()) {
    return ImageInvalid(std::string(what) + ": " + std::string(document.status().message()));
  }
  if (!document->is_object()) return ImageInvalid(std::string(what) + ": not a JSON object");
  return document;
}

// The same moment in UTC; the fraction keeps the digits that matter.
void ReadTime(JsonReader& reader, std::string_view name, std::string& value) {
  std::string text;
  reader.Read(name, text);
  if (text.empty()) return;
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error)) {
    return reader.Fail(name, "not a time as RFC 3339 has it");
  }
  value = absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ", time, absl::UTCTimeZone());
}

absl::StatusOr<ImageHistory> ReadHistoryEntry(const json& value) {
  JsonReader reader(value, "history");
  ImageHistory entry;
  ReadTime(reader, "created", entry.created);
  reader.Read("created_by", entry.created_by);
  reader.Read("author", entry.author);
  reader.Read("comment", entry.comment);
  reader.Read("empty_layer", entry.empty_layer);
  if (!reader.status().ok()) return reader.status();
  return entry;
}

void ReadRuntimeConfig(JsonReader& reader, ImageConfig& config) {
  reader.Read("User", config.user);
  reader.ReadNames("ExposedPorts", config.exposed_ports);
  reader.Read("Env", config.env);
  reader.Read("Entrypoint", config.entrypoint);
  reader.Read("Cmd", config.cmd);
  reader.ReadNames("Volumes", config.volumes);
  reader.Read("WorkingDir", config.working_dir);
  reader.Read("Labels", config.labels);
  reader.Read("StopSignal", config.stop_signal);
  for (const std::string_view name : kDockerOnlyConfig) {
    if (reader.Has(name)) config.docker_only.emplace_back(name);
  }
}

absl::Status ReadRootfs(const json& document, ImageConfig& config) {
  JsonReader reader(document, "image configuration");
  const json* rootfs = reader.Object("rootfs");
  if (rootfs == nullptr) reader.Fail("rootfs", "missing");
  if (!reader.status().ok()) return reader.status();
  JsonReader rootfs_reader(*rootfs, "rootfs");
  std::string type;
  std::vector<std::string> diff_ids;
  rootfs_reader.Read("type", type);
  rootfs_reader.Read("diff_ids", diff_ids);
  if (type != "layers") rootfs_reader.Fail("type", "is \"" + type.substr(0, 40) + "\"");
  if (diff_ids.size() > kMaxLayers) rootfs_reader.Fail("diff_ids", "too many");
  if (!rootfs_reader.status().ok()) return rootfs_reader.status();
  for (const std::string& text : diff_ids) {
    absl::StatusOr<Digest> digest = Digest::Parse(text);
    if (!digest.ok()) return digest.status();
    config.diff_ids.push_back(*std::move(digest));
  }
  return absl::OkStatus();
}

absl::Status ReadHistory(const json& document, ImageConfig& config) {
  JsonReader reader(document, "image configuration");
  const json* history = reader.Array("history");
  if (!reader.status().ok()) return reader.status();
  if (history == nullptr) return absl::OkStatus();
  if (history->size() > kMaxHistory) return ImageInvalid("history: too many entries");
  for (const json& value : *history) {
    absl::StatusOr<ImageHistory> entry = ReadHistoryEntry(value);
    if (!entry.ok()) return entry.status();
    config.history.push_back(*std::move(entry));
  }
  return absl::OkStatus();
}

absl::StatusOr<ImageConfig> ReadDocument(const json& document) {
  JsonReader reader(document, "image configuration");
  ImageConfig config;
  ReadTime(reader, "created", config.created);
  reader.Read("author", config.author);
  reader.Read("os", config.platform.os);
  reader.Read("architecture", config.platform.architecture);
  reader.Read("variant", config.platform.variant);
  reader.Read("os.version", config.os_version);
  reader.Read("os.features", config.os_features);
  // Docker's: what the image is run with wins over what its last step was built with.
  const json* runtime = reader.Object("config");
  if (runtime == nullptr) runtime = reader.Object("container_config");
  if (!reader.status().ok()) return reader.status();
  if (runtime != nullptr) {
    JsonReader runtime_reader(*runtime, "config");
    ReadRuntimeConfig(runtime_reader, config);
    if (!runtime_reader.status().ok()) return runtime_reader.status();
  }
  absl::Status status = ReadRootfs(document, config);
  if (status.ok()) status = ReadHistory(document, config);
  if (!status.ok()) return status;

  const Platform host = Platform::Host();
  if (config.platform.os.empty()) config.platform.os = host.os;
  if (config.platform.architecture.empty()) config.platform.architecture = host.architecture;
  if (config.working_dir.empty()) config.working_dir = "/";
  return config;
}

json NamesAsObject(const std::vector<std::string>& names) {
  json object = json::object();
  for (const std::string& name : names) object[name] = json::object();
  return object;
}

void SetIfAny(json& object, std::string_view name, json value) {
  if (value.empty()) return;
  object[std::string(name)] = std::move(value);
}

void SetIfAny(json& object, std::string_view name, const std::string& value) {
  if (!value.empty()) object[std::string(name)] = value;
}

// The runtime part, which both forms write alike.
json MakeRuntimeConfig(const ImageConfig& config) {
  json object = json::object();
  SetIfAny(object, "User", config.user);
  SetIfAny(object, "ExposedPorts", NamesAsObject(config.exposed_ports));
  SetIfAny(object, "Env", json(config.env));
  SetIfAny(object, "Entrypoint", json(config.entrypoint));
  SetIfAny(object, "Cmd", json(config.cmd));
  SetIfAny(object, "Volumes", NamesAsObject(config.volumes));
  SetIfAny(object, "WorkingDir", config.working_dir);
  SetIfAny(object, "Labels", json(config.labels));
  SetIfAny(object, "StopSignal", config.stop_signal);
  return object;
}

json MakeHistory(const std::vector<ImageHistory>& history) {
  json array = json::array();
  for (const ImageHistory& entry : history) {
    json object = json::object();
    SetIfAny(object, "created", entry.created);
    SetIfAny(object, "created_by", entry.created_by);
    SetIfAny(object, "author", entry.author);
    SetIfAny(object, "comment", entry.comment);
    if (entry.empty_layer) object["empty_layer"] = true;
    array.push_back(std::move(object));
  }
  return array;
}

json MakeRootfs(const std::vector<Digest>& diff_ids) {
  json array = json::array();
  for (const Digest& diff_id : diff_ids) array.push_back(diff_id.ToString());
  return {{"type", "layers"}, {"diff_ids", std::move(array)}};
}

json MakeOciDocument(const ImageConfig& config) {
  json document = {{"os", config.platform.os}, {"architecture", config.platform.architecture}};
  SetIfAny(document, "variant", config.platform.variant);
  SetIfAny(document, "os.version", config.os_version);
  SetIfAny(document, "os.features", json(config.os_features));
  SetIfAny(document, "created", config.created);
  SetIfAny(document, "author", config.author);
  document["config"] = MakeRuntimeConfig(config);
  document["rootfs"] = MakeRootfs(config.diff_ids);
  SetIfAny(document, "history", MakeHistory(config.history));
  return document;
}

json MakeDockerDocument(const ImageConfig& config) {
  json document = MakeOciDocument(config);
  document["container_config"] = document["config"];
  return document;
}

// The words of a command, as `docker history` shows them.
std::string CommandText(const json& entry) {
  const auto config = entry.find("container_config");
  if (config == entry.end() || !config->is_object()) return "";
  JsonReader reader(*config, "container_config");
  std::vector<std::string> command;
  reader.Read("Cmd", command);
  return absl::StrJoin(command, " ");
}

}  // namespace

absl::StatusOr<ImageForms> ReadConfig(std::string_view bytes, std::string_view media_type) {
  absl::StatusOr<json> document = ParseDocument(bytes, "image configuration");
  if (!document.ok()) return document.status();
  absl::StatusOr<ImageConfig> config = ReadDocument(*document);
  if (!config.ok()) return config.status();
  JsonReader reader(*document, "image configuration");
  std::string docker_version;
  reader.Read("docker_version", docker_version);
  if (!reader.status().ok()) return reader.status();

  ImageForms forms;
  forms.config = *std::move(config);
  forms.from_docker = media_type == kDockerConfigType || !docker_version.empty();
  if (forms.from_docker) {
    forms.docker_json = std::string(bytes);
    forms.oci_json = CanonicalJson(MakeOciDocument(forms.config));
  } else {
    forms.oci_json = std::string(bytes);
    forms.docker_json = CanonicalJson(MakeDockerDocument(forms.config));
  }
  return forms;
}

absl::StatusOr<Schema1Image> ReadSchema1(const Schema1Manifest& manifest) {
  Schema1Image image;
  for (size_t i = manifest.blobs.size(); i-- > 0;) {
    absl::StatusOr<json> entry = ParseDocument(manifest.history[i], "v1Compatibility");
    if (!entry.ok()) return entry.status();
    JsonReader reader(*entry, "v1Compatibility");
    ImageHistory history;
    bool throwaway = false;
    ReadTime(reader, "created", history.created);
    reader.Read("author", history.author);
    reader.Read("comment", history.comment);
    reader.Read("throwaway", throwaway);
    std::string docker_version;
    reader.Read("docker_version", docker_version);
    // Docker always named its version; skopeo, which makes these of newer images, does not.
    if (i == 0 && docker_version.empty() && !reader.Has("config")) {
      reader.Fail("docker_version", "missing, and config too: this describes no image");
    }
    if (!reader.status().ok()) return reader.status();
    history.created_by = CommandText(*entry);
    history.empty_layer = throwaway;
    image.history.push_back(std::move(history));
    if (!throwaway) image.blobs.push_back(manifest.blobs[i]);
  }
  image.newest_json = manifest.history[0];
  return image;
}

absl::StatusOr<std::string> MakeSchema1Config(const Schema1Image& image,
                                              const std::vector<Digest>& diff_ids) {
  absl::StatusOr<json> document = ParseDocument(image.newest_json, "v1Compatibility");
  if (!document.ok()) return document.status();
  for (const std::string_view name : kSchema1EntryMembers) document->erase(std::string(name));
  (*document)["rootfs"] = MakeRootfs(diff_ids);
  (*document)["history"] = MakeHistory(image.history);
  return CanonicalJson(*document);
}

std::vector<Digest> ChainIds(const std::vector<Digest>& diff_ids) {
  std::vector<Digest> chain;
  for (const Digest& diff_id : diff_ids) {
    chain.push_back(chain.empty() ? diff_id
                                  : Digest::Sha256Of(chain.back().ToString() + " " +
                                                     diff_id.ToString()));
  }
  return chain;
}

}  // namespace ocid
