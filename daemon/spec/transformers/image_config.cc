// The spec of a container that is made from an image: image-spec's conversion, one step for each
// thing that the image says.
//
//   defaults:image-base    what no image says: mounts, namespaces, capabilities
//   image:args             Entrypoint and Cmd
//   image:env              Env, and PATH and HOME where it has none
//   image:cwd, image:user
//   image:annotations      os, architecture, author, created, ports, stop signal
//   image:labels           labels, which win over those; control labels are left out, see below
//   image:volumes          a tmpfs for each
//   image:not-converted    what only Docker knows
//   defaults:rootless      where the bundle is for one user without privileges: what that one may do
//
// A label becomes an annotation, and annotations control executors: systemd properties of the unit,
// hooks' output, the cgroup's delegation. Whoever made the image is not the one who may say that, so
// labels with the prefixes of kControlPrefixes stay out, each of them recorded as ignored.
//
// Source: image-spec conversion.md.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "daemon/image/image_store.h"
#include "daemon/spec/transformers/transformers.h"
#include "runtime/oci/json_pointer.h"
#include "runtime/oci/spec_edit.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kAnnotationPrefix = "org.opencontainers.image.";
constexpr std::string_view kDefaultPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr size_t kMaxLabelBytes = size_t{64} << 10;

// Annotations by which executors, engines and plugins are told what to do.
constexpr std::array<std::string_view, 13> kControlPrefixes = {
    "org.systemd.property.",  // runc, crun: properties of the systemd unit
    "run.oci.",               // crun: hooks' output, seccomp receiver, delegation
    "org.opencontainers.runtime-spec.",
    "org.criu.",
    "module.wasm.",           // crun: which handler runs the container
    "io.katacontainers.",     // paths of programs on the host
    "io.kubernetes.cri",      // also io.kubernetes.cri-o., cri-containerd
    "io.containers.",
    "io.podman.",
    "io.containerd.",
    "cdi.k8s.io/",            // devices
    "reserved.",
    "ocid.",
};

// Docker's default set: what programs in images were written to expect.
constexpr std::array<std::string_view, 14> kCapabilities = {
    "CAP_AUDIT_WRITE", "CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID",
    "CAP_KILL",        "CAP_MKNOD",   "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP",
    "CAP_SETGID",      "CAP_SETPCAP", "CAP_SETUID",       "CAP_SYS_CHROOT",
};

Json Mount(std::string_view destination, std::string_view type, std::string_view source,
           std::vector<std::string> options) {
  return {{"destination", destination}, {"type", type}, {"source", source},
          {"options", std::move(options)}};
}

Json BaseDocument(const std::string& rootfs) {
  Json capabilities = Json::object();
  for (const char* set : {"bounding", "effective", "permitted"}) {
    capabilities[set] = kCapabilities;
  }
  Json namespaces = Json::array();
  for (const char* type : {"pid", "network", "ipc", "uts", "mount", "cgroup"}) {
    namespaces.push_back({{"type", type}});
  }
  return {
      {"ociVersion", kOciVersion},
      {"root", {{"path", rootfs}}},
      {"process",
       {{"terminal", false}, {"cwd", "/"}, {"capabilities", std::move(capabilities)}}},
      {"mounts",
       {Mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
        Mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
        Mount("/dev/pts", "devpts", "devpts",
              {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
        Mount("/dev/shm", "tmpfs", "shm",
              {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
        Mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
        Mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
        Mount("/sys/fs/cgroup", "cgroup", "cgroup",
              {"nosuid", "noexec", "nodev", "relatime", "ro"})}},
      {"linux",
       {{"namespaces", std::move(namespaces)},
        {"maskedPaths",
         {"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
          "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",
          "/sys/firmware", "/sys/devices/virtual/powercap"}},
        {"readonlyPaths",
         {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}}}},
  };
}

bool IsControl(std::string_view name) {
  return std::any_of(kControlPrefixes.begin(), kControlPrefixes.end(),
                     [&](std::string_view prefix) { return name.starts_with(prefix); });
}

bool HasNul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

absl::Status SetArgs(const ImageConfig& config, SpecEdit& edit) {
  Json args = config.entrypoint;
  if (!args.is_array()) args = Json::array();
  for (const std::string& word : config.cmd) args.push_back(word);
  if (!args.empty()) edit.spec.json()["process"]["args"] = std::move(args);
  return absl::OkStatus();
}

absl::Status SetEnvironment(const ImageRunConfig& image, SpecEdit& edit) {
  Json env = Json::array();
  bool has_path = false;
  bool has_home = false;
  for (const std::string& entry : image.config.env) {
    const size_t equals = entry.find('=');
    if (equals == std::string::npos || equals == 0 || HasNul(entry)) {
      edit.Ignore("/process/env", "set an environment variable", "not NAME=value");
      continue;
    }
    has_path = has_path || entry.starts_with("PATH=");
    has_home = has_home || entry.starts_with("HOME=");
    env.push_back(entry);
  }
  if (!has_path) env.push_back(kDefaultPath);
  if (!has_home) {
    env.push_back("HOME=" + (image.user.home.empty() || HasNul(image.user.home) ? "/" : image.user.home));
  }
  edit.spec.json()["process"]["env"] = std::move(env);
  return absl::OkStatus();
}

absl::Status SetUser(const ResolvedUser& user, SpecEdit& edit) {
  Json value = {{"uid", user.uid}, {"gid", user.gid}};
  if (!user.additional_gids.empty()) value["additionalGids"] = user.additional_gids;
  edit.spec.json()["process"]["user"] = std::move(value);
  return absl::OkStatus();
}

absl::Status Annotate(std::string_view name, const std::string& value, SpecEdit& edit) {
  if (value.empty()) return absl::OkStatus();
  return SetAnnotation(std::string(kAnnotationPrefix) + std::string(name), value,
                       edit.spec.json());
}

absl::Status SetAnnotations(const ImageConfig& config, SpecEdit& edit) {
  const std::array<std::pair<std::string_view, std::string>, 9> annotations = {{
      {"os", config.platform.os},
      {"architecture", config.platform.architecture},
      {"variant", config.platform.variant},
      {"os.version", config.os_version},
      {"os.features", absl::StrJoin(config.os_features, ",")},
      {"author", config.author},
      {"created", config.created},
      {"exposedPorts", absl::StrJoin(config.exposed_ports, ",")},
      {"stopSignal", config.stop_signal},
  }};
  for (const auto& [name, value] : annotations) {
    absl::Status status = Annotate(name, value, edit);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status SetLabels(const ImageConfig& config, SpecEdit& edit) {
  for (const auto& [name, value] : config.labels) {
    const std::string what = absl::StrCat("set annotation ", name.substr(0, 200));
    const std::string pointer = JoinPointer("/annotations", name.substr(0, 200));
    if (IsControl(name)) {
      edit.Ignore(pointer, what, "an image may not control the executor");
      continue;
    }
    if (name.empty() || HasNul(name) || HasNul(value) ||
        name.size() + value.size() > kMaxLabelBytes) {
      edit.Ignore(pointer, what, "empty, too long, or with a NUL");
      continue;
    }
    absl::Status status = SetAnnotation(name, value, edit.spec.json());
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// A volume's data is not the image's: it stays out of the root file system, and starts as a copy of what
// the image has there. Where the image's path leads
// through its own links is for the executor, which resolves every mount in the root.
absl::Status AddVolumes(const ImageConfig& config, SpecEdit& edit) {
  for (const std::string& volume : config.volumes) {
    const std::string destination = CleanPath(volume);
    const auto within = [&destination](std::string_view top) {
      return destination == top || destination.starts_with(std::string(top) + "/");
    };
    if (destination == "/" || within("/proc") || within("/sys") || within("/dev") ||
        HasNul(volume)) {
      edit.Ignore("/mounts", absl::StrCat("mount a volume on ", volume.substr(0, 200)),
                  "an image may not replace this");
      continue;
    }
    absl::Status status = PutMount(
        Mount(destination, "tmpfs", "tmpfs", {"nosuid", "nodev", "tmpcopyup"}), edit.spec.json());
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// A user without privileges has one id to give, no network to make, and mounts sysfs only as the host
// has it.
absl::Status MakeRootless(std::pair<uint32_t, uint32_t> owner, SpecEdit& edit) {
  Json& document = edit.spec.json();
  Json& linux_object = document["linux"];
  Json namespaces = {{{"type", "user"}}};
  for (const Json& entry : linux_object["namespaces"]) {
    if (entry["type"] != "network") namespaces.push_back(entry);
  }
  linux_object["namespaces"] = std::move(namespaces);
  const auto map_to = [](uint32_t id) {
    return Json::array({{{"containerID", 0}, {"hostID", id}, {"size", 1}}});
  };
  linux_object["uidMappings"] = map_to(owner.first);
  linux_object["gidMappings"] = map_to(owner.second);
  Json mounts = Json::array();
  for (Json mount : document["mounts"]) {
    if (mount["destination"] == "/sys/fs/cgroup") continue;
    if (mount["destination"] == "/sys") {
      mount = Mount("/sys", "none", "/sys", {"rbind", "nosuid", "noexec", "nodev", "ro"});
    }
    Json& options = mount["options"];
    options.erase(std::remove(options.begin(), options.end(), "gid=5"), options.end());
    mounts.push_back(std::move(mount));
  }
  document["mounts"] = std::move(mounts);
  return absl::OkStatus();
}

absl::Status Transform(const SpecRequest& request, SpecEditor& editor) {
  if (request.image == nullptr) return absl::OkStatus();
  const ImageRunConfig& image = *request.image;
  const ImageConfig& config = image.config;
  absl::Status status = editor.Edit(
      {.kind = ActorKind::kDefault, .name = "defaults:image-base"}, [&](SpecEdit& edit) {
        edit.spec = OciSpec(BaseDocument(request.image_rootfs));
        return absl::OkStatus();
      });
  if (!status.ok()) return status;

  using Step = std::pair<std::string_view, SpecEditor::EditFunction>;
  const std::array<Step, 8> steps = {{
      {"image:args", [&](SpecEdit& edit) { return SetArgs(config, edit); }},
      {"image:env", [&](SpecEdit& edit) { return SetEnvironment(image, edit); }},
      {"image:cwd",
       [&](SpecEdit& edit) {
         edit.spec.json()["process"]["cwd"] = CleanPath(config.working_dir);
         return absl::OkStatus();
       }},
      {"image:user", [&](SpecEdit& edit) { return SetUser(image.user, edit); }},
      {"image:annotations", [&](SpecEdit& edit) { return SetAnnotations(config, edit); }},
      {"image:labels", [&](SpecEdit& edit) { return SetLabels(config, edit); }},
      {"image:volumes", [&](SpecEdit& edit) { return AddVolumes(config, edit); }},
      {"image:not-converted",
       [&](SpecEdit& edit) {
         for (const std::string& name : config.docker_only) {
           edit.Ignore("", "convert " + name, "an OCI spec has no place for it");
         }
         return absl::OkStatus();
       }},
  }};
  for (const auto& [name, edit] : steps) {
    status = editor.Edit({.kind = ActorKind::kImage,
                          .name = std::string(name),
                          .version = image.record.manifest.ToString(),
                          .source_file = image.name,
                          .source_sha256 = image.record.config.ToString()},
                         edit);
    if (!status.ok()) return status;
  }
  if (!request.image_owner.has_value()) return absl::OkStatus();
  return editor.Edit({.kind = ActorKind::kDefault, .name = "defaults:rootless"},
                     [&](SpecEdit& edit) { return MakeRootless(*request.image_owner, edit); });
}

}  // namespace

SpecTransformer MakeImageConfigTransformer() {
  return {.name = "image_config", .phase = SpecPhase::kBase, .transform = Transform};
}

}  // namespace ocid
