#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "daemon/image/image_store.h"
#include "daemon/spec/seccomp_default.h"
#include "daemon/spec/spec_pipeline.h"
#include "daemon/spec/transformers/transformers.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

using nlohmann::json;

ImageRunConfig MakeImage() {
  const Digest digest = Digest::Sha256Of("");
  return {.name = "web:1",
          .record = {.names = {"web:1"},
                     .manifest = digest,
                     .manifest_type = {},
                     .root = digest,
                     .config = digest,
                     .config_type = {},
                     .size_bytes = 0,
                     .platform = {},
                     .created = {},
                     .load_time_unix_ns = 0,
                     .layers = {}},
          .config = {},
          .user = {}};
}

SpecResult Convert(const ImageRunConfig& image,
                   std::shared_ptr<const SeccompDefault> seccomp = nullptr) {
  SpecRequest request;
  request.image_seccomp = std::move(seccomp);
  request.container_id = "c";
  request.image = std::make_shared<const ImageRunConfig>(image);
  request.image_rootfs = "/rootfs";
  const SpecPipeline pipeline(DefaultTransformers(nullptr));
  absl::StatusOr<SpecResult> result = pipeline.Run(request);
  EXPECT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->journal.Verify().ok());
  return *std::move(result);
}

TEST(ImageConfigTransformer, ConvertsWhatTheImageSays) {
  ImageRunConfig image = MakeImage();
  image.config.platform = {"linux", "arm64", "v8"};
  image.config.author = "Ann";
  image.config.created = "2024-01-01T00:00:00Z";
  image.config.entrypoint = {"/entry", "-x"};
  image.config.cmd = {"serve"};
  image.config.env = {"A=b", "PATH=/bin", "HOME=/home/own"};
  image.config.working_dir = "/srv";
  image.config.exposed_ports = {"80/tcp", "443"};
  image.config.stop_signal = "SIGQUIT";
  image.config.labels = {{"maintainer", "Bob"}, {"org.opencontainers.image.author", "Label"}};
  image.user = {33, 34, {4, 44}, "/var/www"};
  const SpecResult result = Convert(image);
  const json& spec = result.spec.json();
  EXPECT_EQ(spec["root"]["path"], "/rootfs");
  EXPECT_EQ(spec["process"]["args"], json({"/entry", "-x", "serve"}));
  EXPECT_EQ(spec["process"]["env"], json({"A=b", "PATH=/bin", "HOME=/home/own"}));
  EXPECT_EQ(spec["process"]["cwd"], "/srv");
  EXPECT_EQ(spec["process"]["user"], json::parse(R"({"uid":33,"gid":34,"additionalGids":[4,44]})"));
  EXPECT_EQ(spec["annotations"], json::parse(R"({
    "maintainer": "Bob", "org.opencontainers.image.author": "Label",
    "org.opencontainers.image.architecture": "arm64",
    "org.opencontainers.image.created": "2024-01-01T00:00:00Z",
    "org.opencontainers.image.exposedPorts": "80/tcp,443",
    "org.opencontainers.image.os": "linux", "org.opencontainers.image.stopSignal": "SIGQUIT",
    "org.opencontainers.image.variant": "v8"})"));
}

TEST(ImageConfigTransformer, TheDefaultSeccompProfileIsAStepOfItsOwn) {
  ImageRunConfig image = MakeImage();
  image.config.cmd = {"sh"};
  const auto seccomp = LoadSeccompDefault("default");
  ASSERT_TRUE(seccomp.ok()) << seccomp.status();
  const SpecResult result = Convert(image, *seccomp);
  const json& profile = result.spec.json()["linux"]["seccomp"];
  EXPECT_EQ(profile["defaultAction"], "SCMP_ACT_ERRNO");
  EXPECT_GT(profile["syscalls"].size(), 20u);
  const std::vector<SpecStep>& steps = result.journal.steps();
  const auto step = std::find_if(steps.begin(), steps.end(), [](const SpecStep& candidate) {
    return candidate.actor.name == "defaults:seccomp";
  });
  ASSERT_NE(step, steps.end());
  EXPECT_EQ(json::parse(step->patch).size(), 1u);
  EXPECT_FALSE(Convert(image).spec.json()["linux"].contains("seccomp"));
}

TEST(ImageConfigTransformer, AddsAPathAndAHomeWhereTheImageHasNone) {
  ImageRunConfig image = MakeImage();
  image.config.cmd = {"sh"};
  image.config.working_dir = "/";
  image.user.home = "/root";
  const std::vector<std::string> env = Convert(image).spec.Env();
  ASSERT_EQ(env.size(), 2U);
  EXPECT_TRUE(env[0].starts_with("PATH=/usr/local/sbin:"));
  EXPECT_EQ(env[1], "HOME=/root");
}

TEST(ImageConfigTransformer, ControlLabelsStayOutAndTheJournalSaysSo) {
  ImageRunConfig image = MakeImage();
  image.config.cmd = {"sh"};
  image.config.working_dir = "/";
  const std::vector<std::string> control = {
      "org.systemd.property.SuccessAction", "org.systemd.property.ExecStopPost",
      "run.oci.hooks.stdout",               "run.oci.seccomp.receiver",
      "cdi.k8s.io/gpu",                     "io.kubernetes.cri-o.Devices",
      "io.katacontainers.config.hypervisor.path", "reserved.logger"};
  for (const std::string& name : control) image.config.labels[name] = "'poweroff-force'";
  image.config.labels["fine"] = "yes";
  const SpecResult result = Convert(image);
  EXPECT_EQ(result.spec.Annotations(), (std::map<std::string, std::string>{{"fine", "yes"}}));
  size_t ignored = 0;
  for (const SpecStep& step : result.journal.steps()) {
    if (step.actor.name == "image:labels") ignored += step.ignored.size();
  }
  EXPECT_EQ(ignored, control.size());
}

TEST(ImageConfigTransformer, EveryThingTheImageSaysIsAStep) {
  ImageRunConfig image = MakeImage();
  image.config.cmd = {"sh"};
  image.config.working_dir = "/w";
  image.config.author = "Ann";
  image.config.labels = {{"a", "b"}};
  image.config.volumes = {"/data"};
  image.config.docker_only = {"Healthcheck"};
  image.user.uid = 5;
  std::vector<std::string> names;
  const SpecResult result = Convert(image);
  for (const SpecStep& step : result.journal.steps()) {
    if (step.actor.kind == ActorKind::kImage) names.push_back(step.actor.name);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"image:args", "image:env", "image:cwd", "image:user",
                                             "image:annotations", "image:labels", "image:volumes",
                                             "image:not-converted"}));
}

TEST(ImageConfigTransformer, VolumesAreMountsWithinTheRoot) {
  ImageRunConfig image = MakeImage();
  image.config.cmd = {"sh"};
  image.config.working_dir = "/";
  image.config.volumes = {"/data/", "/../../etc", "/", "/proc/self", "/dev", "/sys/fs", "//x/../"};
  const json mounts = Convert(image).spec.json()["mounts"];
  std::vector<std::string> tmpfs;
  for (const json& mount : mounts) {
    if (mount["type"] == "tmpfs") tmpfs.push_back(mount["destination"]);
  }
  EXPECT_EQ(tmpfs, (std::vector<std::string>{"/dev", "/dev/shm", "/data", "/etc"}));
  EXPECT_EQ(mounts.back()["options"], json({"nosuid", "nodev", "tmpcopyup"}));
}

}  // namespace
}  // namespace ocid
