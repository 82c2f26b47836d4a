#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/proto_json.h"

namespace ocid::cli {
namespace {

using nlohmann::ordered_json;

std::string AbsolutePath(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal().string();
}

// "etc/passwd: mode 0600, not 0644"
std::string DifferenceText(const v1::VerifyBundleResponse::Difference& difference) {
  const std::string path = Printable(difference.path());
  const std::string actual = difference.actual().empty() ? "none" : difference.actual();
  const std::string expected = difference.expected().empty() ? "none" : difference.expected();
  if (difference.what() == "missing") return absl::StrCat(path, ": missing, was a ", expected);
  if (difference.what() == "added") return absl::StrCat(path, ": added, is a ", actual);
  return absl::StrCat(path, ": ", difference.what(), " ", actual, ", not ", expected);
}

int Verify(Context& context, const std::string& directory) {
  v1::VerifyBundleRequest request;
  request.set_directory(AbsolutePath(directory));
  auto stream = context.client().images().VerifyBundle(request, context.call());
  v1::VerifyBundleResponse response;
  ordered_json differences = ordered_json::array();
  std::string digest;
  uint64_t count = 0;
  while (stream.Next(response)) {
    for (const auto& difference : response.differences()) {
      ++count;
      if (context.json()) {
        differences.push_back(ToJson(difference));
      } else {
        context.out().Write(DifferenceText(difference) + "\n");
      }
    }
    if (!response.content_digest().empty()) digest = response.content_digest();
  }
  if (const absl::Status status = stream.Finish(); !status.ok()) {
    return context.Fail(directory, status);
  }
  if (context.json()) {
    context.out().Write(PrettyJson(ordered_json{{"directory", request.directory()},
                                                {"content_digest", digest},
                                                {"differences", std::move(differences)}}));
  } else if (count == 0) {
    context.out().Write(absl::StrCat(directory, ": as it was unpacked, ", digest, "\n"));
  } else {
    context.out().Flush();  // the differences before their count
    context.Note(absl::StrCat("ocictl: bundle verify ", directory, ": ", count,
                              count == 1 ? " difference" : " differences"));
  }
  return count == 0 ? kSuccess : kFailure;
}

int Digest(Context& context, const std::string& directory) {
  v1::DigestBundleRequest request;
  request.set_directory(AbsolutePath(directory));
  const auto response = context.client().images().DigestBundle(request, context.call());
  if (!response.ok()) return context.Fail(directory, response.status());
  context.out().Write(context.json() ? PrettyJson(ToJson(*response))
                                     : response->content_digest() + "\n");
  return kSuccess;
}

template <int (*kRun)(Context&, const std::string&)>
Action Define(CLI::App& app) {
  auto directory = std::make_shared<std::string>();
  app.add_option("DIR", *directory, "A bundle")->required();
  return [directory](Context& context) { return kRun(context, *directory); };
}

constexpr CommandSpec kVerify = {
    .name = "verify",
    .summary = "Compare a bundle with what was unpacked into it",
    .details =
        "Lists every difference between DIR/rootfs and the list of what was unpacked\n"
        "(DIR/unpacked.json): paths that are missing or were added, types, sizes, modes, owners,\n"
        "digests of contents, targets of links, device numbers and extended attributes. Times do\n"
        "not count. Exits with 1 where there are differences.",
    .examples = "$ ocictl bundle verify ./web",
    .define = Define<Verify>};
constexpr CommandSpec kDigest = {
    .name = "digest",
    .summary = "The digest of a bundle's content",
    .details =
        "Equal for root file systems with the same paths, types, modes, owners, extended\n"
        "attributes and contents, wherever they are and whatever their times. Works for any bundle.",
    .examples = "$ ocictl bundle digest ./web",
    .define = Define<Digest>};
constexpr const CommandSpec* kSubcommands[] = {&kVerify, &kDigest};

}  // namespace

const CommandSpec kBundleCommand = {
    .name = "bundle",
    .group = "Devices, plugins, images",
    .summary = "Check bundles that were unpacked from images",
    .examples =
        "$ ocictl image unpack web:1.2 ./web\n"
        "$ ocictl bundle verify ./web",
    .subcommands = kSubcommands,
};

}  // namespace ocid::cli
