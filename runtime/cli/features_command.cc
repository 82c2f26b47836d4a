// ocirun features, ocirun --version: what this program is and can do, whatever the host.
#include <seccomp.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "runtime/cli/command.h"
#include "runtime/cli/version.h"
#include "runtime/oci/oci_spec.h"
#include "runtime/plan/runtime_features.h"

namespace ocid {
namespace {

std::string SeccompVersion() {
  const scmp_version* const version = seccomp_version();
  if (version == nullptr) return "";
  return absl::StrCat(version->major, ".", version->minor, ".", version->micro);
}

}  // namespace

std::string VersionText() {
  const nlohmann::ordered_json features = RuntimeFeatures();
  std::string words = "+SYSTEMD +CAP";
  const std::pair<const char*, const char*> switches[] = {
      {"selinux", " +SELINUX"}, {"apparmor", " +APPARMOR"}, {"seccomp", " +SECCOMP"}};
  for (const auto& [member, word] : switches) {
    if (features["linux"][member]["enabled"] == true) words += word;
  }
  return absl::StrCat("ocirun version ", kOcirunVersion, "\ncommit: ", kOcirunCommit,
                      "\nspec: ", std::string(kOciVersion), "\nlibseccomp: ", SeccompVersion(),
                      "\n", words);
}

absl::StatusOr<int> RunFeatures(const Invocation& /*invocation*/) {
  nlohmann::ordered_json features = RuntimeFeatures();
  features["annotations"] = {{"io.ocid.ocirun.version", kOcirunVersion},
                             {"io.ocid.ocirun.commit", kOcirunCommit},
                             {"io.github.seccomp.libseccomp.version", SeccompVersion()}};
  Print(features.dump(2));
  return 0;
}

}  // namespace ocid
