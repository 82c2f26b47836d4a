#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/proto_json.h"

namespace ocid::cli {
namespace {

constexpr char kVersion[] = "0.1.0";
constexpr char kApiVersion[] = "ocid.v1";

struct Flags {
  bool client_only = false;
};

int Run(Context& context, const Flags& flags) {
  nlohmann::ordered_json document = {
      {"client", {{"version", kVersion}, {"api_version", kApiVersion}}}};
  std::string text = absl::StrCat("ocictl  ", kVersion, "  API ", kApiVersion, "\n");
  absl::Status status;
  if (!flags.client_only) {
    const auto version = context.client().system().GetVersion(context.call());
    status = version.status();
    if (version.ok()) {
      document["server"] = ToJson(*version);
      absl::StrAppend(&text, "ocid    ", version->version(), "  API ", version->api_version(),
                      "  OCI runtime-spec ", version->oci_version_min(), " to ",
                      version->oci_version_max(),
                      version->commit().empty() ? "" : "  commit " + version->commit(), "\n");
    }
  }
  context.out().Write(context.json() ? PrettyJson(document) : text);
  context.out().Flush();
  return status.ok() ? kSuccess : context.Fail("", status);
}

Action Define(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_flag("--client", flags->client_only, "Of ocictl alone; asks no daemon");
  return [flags](Context& context) { return Run(context, *flags); };
}

}  // namespace

const CommandSpec kVersionCommand = {
    .name = "version",
    .group = "The daemon and ocictl",
    .summary = "Versions of ocictl and of the daemon",
    .examples = "$ ocictl version --format json | jq -r .server.version",
    .define = Define,
};

}  // namespace ocid::cli
