#include "daemon/image/image_config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "daemon/image/manifest.h"
#include "runtime/base/error_details.h"
#include "runtime/oci/json_text.h"

namespace ocid {
namespace {

using nlohmann::json;

const std::string kDiffA = "sha256:" + std::string(64, 'a');
const std::string kDiffB = "sha256:" + std::string(64, 'b');

const char kOci[] = R"({
  "created": "2024-03-01T12:00:00.5+02:00", "author": "Ann", "os": "linux", "architecture": "arm64",
  "variant": "v8", "unknown": {"kept": true},
  "config": {"User": "www", "ExposedPorts": {"80/tcp": {}}, "Env": ["A=b"], "Entrypoint": ["/e"],
             "Cmd": ["c"], "Volumes": {"/data": {}}, "WorkingDir": "/w", "Labels": {"l": "v"},
             "StopSignal": "SIGQUIT"},
  "rootfs": {"type": "layers", "diff_ids": [
    "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]},
  "history": [{"created_by": "add", "created": "2024-03-01T10:00:00Z"},
              {"created_by": "env", "empty_layer": true}]})";

const char kDocker[] = R"({
  "created": "2024-03-01T12:00:00Z", "os": "linux", "architecture": "amd64",
  "docker_version": "20.10", "id": "x",
  "container_config": {"Cmd": ["/bin/sh", "-c", "#(nop) CMD"]},
  "config": {"Cmd": ["sh"], "ExposedPorts": null, "Healthcheck": {"Test": ["CMD", "true"]},
             "OnBuild": []},
  "rootfs": {"type": "layers", "diff_ids": [
    "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]}})";

TEST(ReadConfig, AnOciConfigurationKeepsItsTextAndYieldsADockerForm) {
  const absl::StatusOr<ImageForms> forms = ReadConfig(kOci, kOciConfigType);
  ASSERT_TRUE(forms.ok()) << forms.status();
  EXPECT_FALSE(forms->from_docker);
  EXPECT_EQ(forms->oci_json, kOci);
  EXPECT_EQ(json::parse(forms->docker_json), json::parse(R"({
    "created": "2024-03-01T10:00:00.5Z", "author": "Ann", "os": "linux", "architecture": "arm64",
    "variant": "v8",
    "config": {"User": "www", "ExposedPorts": {"80/tcp": {}}, "Env": ["A=b"],
               "Entrypoint": ["/e"], "Cmd": ["c"], "Volumes": {"/data": {}}, "WorkingDir": "/w",
               "Labels": {"l": "v"}, "StopSignal": "SIGQUIT"},
    "container_config": {"User": "www", "ExposedPorts": {"80/tcp": {}}, "Env": ["A=b"],
               "Entrypoint": ["/e"], "Cmd": ["c"], "Volumes": {"/data": {}}, "WorkingDir": "/w",
               "Labels": {"l": "v"}, "StopSignal": "SIGQUIT"},
    "rootfs": {"type": "layers", "diff_ids": [
      "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]},
    "history": [{"created_by": "add", "created": "2024-03-01T10:00:00Z"},
                {"created_by": "env", "empty_layer": true}]})"));
}

TEST(ReadConfig, ADockerConfigurationKeepsItsTextAndYieldsAnOciForm) {
  const absl::StatusOr<ImageForms> forms = ReadConfig(kDocker, "");
  ASSERT_TRUE(forms.ok()) << forms.status();
  EXPECT_TRUE(forms->from_docker);
  EXPECT_EQ(forms->docker_json, kDocker);
  EXPECT_EQ(forms->config.docker_only, (std::vector<std::string>{"Healthcheck", "OnBuild"}));
  EXPECT_EQ(json::parse(forms->oci_json), json::parse(R"({
    "created": "2024-03-01T12:00:00Z", "os": "linux", "architecture": "amd64",
    "config": {"Cmd": ["sh"], "WorkingDir": "/"},
    "rootfs": {"type": "layers", "diff_ids": [
      "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]}})"));
}

TEST(ReadConfig, BothFormsOfOneImageConvertToThemselves) {
  const ImageForms first = ReadConfig(kOci, kOciConfigType).value();
  const ImageForms back = ReadConfig(first.docker_json, kDockerConfigType).value();
  const ImageForms again = ReadConfig(back.oci_json, kOciConfigType).value();
  EXPECT_EQ(json::parse(again.docker_json), json::parse(first.docker_json));
}

TEST(ReadConfig, ContainerConfigServesWhereThereIsNoConfig) {
  json document = json::parse(kDocker);
  document.erase("config");
  EXPECT_EQ(ReadConfig(document.dump(), "")->config.cmd.front(), "/bin/sh");
}

TEST(ReadConfig, FillsInTheHostAndTheRootButNoTime) {
  const std::string text = R"({"rootfs": {"type": "layers", "diff_ids": []}})";
  const ImageForms forms = ReadConfig(text, kOciConfigType).value();
  EXPECT_EQ(forms.config.platform.os, "linux");
  EXPECT_EQ(forms.config.platform.architecture, Platform::Host().architecture);
  EXPECT_EQ(forms.config.working_dir, "/");
  EXPECT_EQ(forms.config.created, "");
  EXPECT_FALSE(json::parse(forms.docker_json).contains("created"));
  EXPECT_EQ(ReadConfig(text, kOciConfigType)->docker_json, forms.docker_json);
}

TEST(ReadConfig, RefusesWhatIsNeitherForm) {
  for (const char* text :
       {"", "[]", "{}", R"({"rootfs":{"type":"layers+base"}})", R"({"rootfs":{}})",
        R"({"rootfs":{"type":"layers","diff_ids":["sha256:zz"]}})",
        R"({"rootfs":{"type":"layers","diff_ids":[]},"config":{"Env":{"A":"b"}}})",
        R"({"rootfs":{"type":"layers","diff_ids":[]},"config":{"Cmd":[1]}})",
        R"({"rootfs":{"type":"layers","diff_ids":[]},"created":"yesterday"})"}) {
    EXPECT_EQ(GetReason(ReadConfig(text, kOciConfigType).status()), "IMAGE_INVALID") << text;
  }
}

Schema1Manifest MakeSchema1() {
  return {.is_signed = false, .name = "n", .tag = "t",
      .blobs = {Digest::Sha256Of("3"), Digest::Sha256Of("2"), Digest::Sha256Of("1")},
      .history = {R"({"id":"3","parent":"2","docker_version":"1.9","os":"linux",
                      "architecture":"amd64","created":"2015-01-03T00:00:00Z","throwaway":true,
                      "container_config":{"Cmd":["/bin/sh","-c","CMD sh"]},"config":{"Cmd":["sh"]}})",
                  R"({"id":"2","created":"2015-01-02T00:00:00Z","author":"Bob",
                      "container_config":{"Cmd":["/bin/sh","-c","RUN x"]}})",
                  R"({"id":"1","created":"2015-01-01T00:00:00Z","comment":"base"})"}};
}

TEST(ReadSchema1, TurnsTheHistoryAroundAndDropsThrownAwayLayers) {
  const absl::StatusOr<Schema1Image> image = ReadSchema1(MakeSchema1());
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->blobs,
            (std::vector<Digest>{Digest::Sha256Of("1"), Digest::Sha256Of("2")}));
  ASSERT_EQ(image->history.size(), 3U);
  EXPECT_EQ(image->history[0].comment, "base");
  EXPECT_EQ(image->history[1].created_by, "/bin/sh -c RUN x");
  EXPECT_TRUE(image->history[2].empty_layer);
}

TEST(ReadSchema1, YieldsBothFormsOnceItsDiffIdsAreKnown) {
  const Schema1Image image = ReadSchema1(MakeSchema1()).value();
  const std::string docker =
      MakeSchema1Config(image, {Digest::Parse(kDiffA).value(), Digest::Parse(kDiffB).value()})
          .value();
  const ImageForms forms = ReadConfig(docker, "").value();
  EXPECT_TRUE(forms.from_docker);
  EXPECT_FALSE(json::parse(docker).contains("parent"));
  EXPECT_FALSE(json::parse(docker).contains("throwaway"));
  EXPECT_EQ(json::parse(forms.oci_json), json::parse(R"({
    "architecture": "amd64", "os": "linux", "created": "2015-01-03T00:00:00Z",
    "config": {"Cmd": ["sh"], "WorkingDir": "/"},
    "rootfs": {"type": "layers", "diff_ids": [
      "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
      "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"]},
    "history": [
      {"created": "2015-01-01T00:00:00Z", "comment": "base"},
      {"created": "2015-01-02T00:00:00Z", "created_by": "/bin/sh -c RUN x", "author": "Bob"},
      {"created": "2015-01-03T00:00:00Z", "created_by": "/bin/sh -c CMD sh", "empty_layer": true}]
    })"));
}

TEST(ReadSchema1, AnEntryWithoutVersionAndConfigDescribesNoImage) {
  Schema1Manifest manifest = MakeSchema1();
  manifest.history[0] = R"({"id":"3"})";
  EXPECT_EQ(GetReason(ReadSchema1(manifest).status()), "IMAGE_INVALID");
  manifest.history[0] = R"({"id":"3","config":{}})";
  EXPECT_TRUE(ReadSchema1(manifest).ok());
}

TEST(ChainIds, NameAStackOfLayers) {
  const Digest a = Digest::Parse(kDiffA).value();
  const Digest b = Digest::Parse(kDiffB).value();
  const std::vector<Digest> chain = ChainIds({a, b});
  EXPECT_EQ(chain[0], a);
  EXPECT_EQ(chain[1], Digest::Sha256Of(kDiffA + " " + kDiffB));
}

}  // namespace
}  // namespace ocid
