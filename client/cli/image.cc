#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/create_container.h"
#include "client/cli/proto_json.h"
#include "client/cli/text.h"

namespace ocid::cli {
namespace {

struct Flags {
  std::string name;
  std::string path;
  std::string platform;
  bool plain_http = false;
  bool archive = false;
  bool rootless = false;
  std::vector<std::string> names;
};

std::string AbsolutePath(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal().string();
}

void PrintImage(Context& context, const v1::Image& image) {
  context.out().Write(context.json() ? PrettyJson(ToJson(image))
                                     : absl::StrCat(image.name(), "@", image.digest(), "\n"));
}

int List(Context& context) {
  const auto images = context.client().images().ListAll(context.call());
  if (!images.ok()) return context.Fail("", images.status());
  if (context.json()) {
    auto list = nlohmann::ordered_json::array();
    for (const v1::Image& image : *images) list.push_back(ToJson(image));
    context.out().Write(PrettyJson(list));
    return kSuccess;
  }
  Table table({"NAME", "DIGEST", "PLATFORM", "SIZE", "CONTAINERS"});
  for (const v1::Image& image : *images) {
    table.AddRow({image.name(), image.digest().substr(0, 19), image.platform(),
                  FormatSize(image.size_bytes()), absl::StrCat(image.container_ids_size())});
  }
  context.out().Write(table.Format());
  return kSuccess;
}

int Pull(Context& context, const Flags& flags) {
  v1::PullImageRequest request;
  request.set_reference(flags.name);
  request.set_platform(flags.platform);
  request.set_plain_http(flags.plain_http);
  const absl::StatusOr<v1::Image> image = PullImage(context, request);
  if (!image.ok()) return context.Fail(flags.name, image.status());
  PrintImage(context, *image);
  return kSuccess;
}

int Load(Context& context, const Flags& flags) {
  v1::LoadImageRequest request;
  request.set_path(AbsolutePath(flags.path));
  request.set_name(flags.name);
  request.set_platform(flags.platform);
  const auto image = context.client().images().Load(request, context.call());
  if (!image.ok()) return context.Fail(flags.path, image.status());
  PrintImage(context, *image);
  return kSuccess;
}

int Inspect(Context& context, const Flags& flags) {
  v1::InspectImageRequest request;
  request.set_name(flags.name);
  const auto image = context.client().images().Inspect(request, context.call());
  if (!image.ok()) return context.Fail(flags.name, image.status());
  context.out().Write(PrettyJson(ToJson(*image)));
  return kSuccess;
}

int Unpack(Context& context, const Flags& flags) {
  v1::UnpackImageRequest request;
  request.set_name(flags.name);
  request.set_directory(AbsolutePath(flags.path));
  request.set_rootless(flags.rootless);
  const auto response = context.client().images().Unpack(request, context.call());
  if (!response.ok()) return context.Fail(flags.name, response.status());
  context.out().Write(context.json() ? PrettyJson(ToJson(*response)) : response->bundle() + "\n");
  return kSuccess;
}

int Save(Context& context, const Flags& flags) {
  v1::SaveImageRequest request;
  request.set_name(flags.name);
  request.set_path(AbsolutePath(flags.path));
  request.set_archive(flags.archive || flags.path.ends_with(".tar"));
  const auto response = context.client().images().Save(request, context.call());
  if (!response.ok()) return context.Fail(flags.name, response.status());
  context.out().Write(context.json()
                          ? PrettyJson(ToJson(*response))
                          : absl::StrCat(response->path(), "@", response->digest(), "\n"));
  return kSuccess;
}

int Usage(Context& context) {
  const auto usage = context.client().images().GetUsage(context.call());
  if (!usage.ok()) return context.Fail("", usage.status());
  if (context.json()) {
    context.out().Write(PrettyJson(ToJson(*usage)));
    return kSuccess;
  }
  Table table({"CONTENT", "COUNT", "SIZE", "RECLAIMABLE"});
  const auto row = [&table](const char* name, const v1::ImageUsage::Content& content) {
    table.AddRow({name, absl::StrCat(content.count()), FormatSize(content.size_bytes()),
                  FormatSize(content.reclaimable_bytes())});
  };
  row("images", usage->images());
  row("blobs", usage->blobs());
  row("unpacked layers", usage->layers());
  row("partial downloads", usage->partial_downloads());
  context.out().Write(table.Format());
  return kSuccess;
}

int Delete(Context& context, const Flags& flags) {
  return ForEachId(context, flags.names, [&](const std::string& name) {
    v1::DeleteImageRequest request;
    request.set_name(name);
    const auto response = context.client().images().Delete(request, context.call());
    if (response.ok()) context.PrintDone(name);
    return response.status();
  });
}

int Prune(Context& context) {
  const auto response = context.client().images().Prune({}, context.call());
  if (!response.ok()) return context.Fail("", response.status());
  if (context.json()) {
    context.out().Write(PrettyJson(ToJson(*response)));
    return kSuccess;
  }
  for (const std::string& name : response->names()) context.out().Write(name + "\n");
  context.Note("Freed " + FormatSize(response->freed_bytes()));
  return kSuccess;
}

template <int (*kRun)(Context&, const Flags&)>
Action With(std::shared_ptr<Flags> flags) {
  return [flags](Context& context) { return kRun(context, *flags); };
}

void AddPlatform(CLI::App& app, Flags& flags) {
  app.add_option("--platform", flags.platform, "linux/amd64. Default: the host's")
      ->type_name("PLATFORM");
}

Action DefineList(CLI::App&) { return List; }
Action DefineUsage(CLI::App&) { return Usage; }
Action DefinePrune(CLI::App&) { return Prune; }

Action DefinePull(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  AddPlatform(app, *flags);
  app.add_flag("--plain-http", flags->plain_http, "Without TLS; only for registries on this host");
  app.add_option("REFERENCE", flags->name, "registry.example/name:tag or ...@sha256:...")
      ->required();
  return With<Pull>(flags);
}

Action DefineLoad(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("--name", flags->name, "Name to give it. Default: what the source says")
      ->type_name("NAME");
  AddPlatform(app, *flags);
  app.add_option("PATH", flags->path,
                 "An OCI layout, as folder or archive, or a docker save archive")
      ->required();
  return With<Load>(flags);
}

Action DefineInspect(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("NAME", flags->name, "An image")->required();
  return With<Inspect>(flags);
}

Action DefineUnpack(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_flag("--rootless", flags->rootless,
               "Everything belongs to you, and config.json maps your id to root");
  app.add_option("NAME", flags->name, "An image")->required();
  app.add_option("DIR", flags->path, "A folder that does not exist")->required();
  return With<Unpack>(flags);
}

Action DefineSave(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_flag("--archive", flags->archive, "A tar archive, whatever PATH is called");
  app.add_option("NAME", flags->name, "An image")->required();
  app.add_option("PATH", flags->path, "What does not exist; an archive where it ends in .tar")
      ->required();
  return With<Save>(flags);
}

Action DefineDelete(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("NAME", flags->names, "Images")->required();
  return With<Delete>(flags);
}

constexpr CommandSpec kList = {.name = "list",
                               .summary = "List the images of the daemon's store",
                               .examples = "$ ocictl image list",
                               .define = DefineList};
constexpr CommandSpec kPull = {.name = "pull",
                               .summary = "Fetch an image from a registry",
                               .details =
                                   "A reference names its registry: docker.io/busybox, not busybox. "
                                   "Credentials,\nmirrors, certificates and registries without TLS are "
                                   "configured for the daemon:\nocid --help, registry-*. A pull that was "
                                   "cut goes on where it ended.",
                               .examples = "$ ocictl image pull registry.example/web:1.2",
                               .define = DefinePull};
constexpr CommandSpec kLoad = {.name = "load",
                               .summary = "Take an image from a folder or an archive",
                               .examples = "$ ocictl image load --name web:1.2 ./web.tar",
                               .define = DefineLoad};
constexpr CommandSpec kInspect = {.name = "inspect",
                                  .summary = "Configuration, manifest and layers, as JSON",
                                  .examples = "$ ocictl image inspect web:1.2",
                                  .completes = Completes::kImages,
                                  .define = DefineInspect};
constexpr CommandSpec kUnpack = {.name = "unpack",
                                 .summary = "Make a bundle of an image",
                                 .details =
                                     "DIR gets rootfs, config.json, and unpacked.json: the list that\n"
                                     "\"bundle verify\" compares with later. Any OCI runtime runs it.",
                                 .examples = "$ ocictl image unpack web:1.2 ./web\n"
                                             "$ ocictl image unpack --rootless web:1.2 ./web",
                                 .completes = Completes::kImages,
                                 .define = DefineUnpack};
constexpr CommandSpec kSave = {.name = "save",
                               .summary = "Write an image as an OCI layout, for other tools",
                               .examples = "$ ocictl image save web:1.2 ./web.tar\n"
                                           "$ skopeo copy oci-archive:web.tar docker://registry.example/web:1.2",
                               .completes = Completes::kImages,
                               .define = DefineSave};
constexpr CommandSpec kUsage = {.name = "usage",
                                .summary = "What the store takes up on disk, and what prune would free",
                                .examples = "$ ocictl image usage",
                                .define = DefineUsage};
constexpr CommandSpec kDelete = {.name = "delete",
                                 .summary = "Forget names of images",
                                 .examples = "$ ocictl image delete web:1.2",
                                 .completes = Completes::kImages,
                                 .define = DefineDelete};
constexpr CommandSpec kPrune = {.name = "prune",
                                .summary = "Delete every image that no container uses",
                                .examples = "$ ocictl image prune",
                                .define = DefinePrune};
constexpr const CommandSpec* kSubcommands[] = {&kList,  &kPull,   &kLoad, &kInspect, &kUnpack,
                                               &kSave,  &kDelete, &kPrune, &kUsage};

}  // namespace

const CommandSpec kImageCommand = {
    .name = "image",
    .group = "Devices, plugins, images",
    .summary = "Images in the daemon's store",
    .examples =
        "$ ocictl image pull registry.example/web:1.2\n"
        "$ ocictl run --rm --image registry.example/web:1.2 web",
    .subcommands = kSubcommands,
};

}  // namespace ocid::cli
