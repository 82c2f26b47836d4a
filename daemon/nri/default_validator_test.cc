#include "daemon/nri/default_validator.h"

#include "daemon/nri/nri_testing.h"
#include "gtest/gtest.h"

namespace ocid {
namespace {

nri::ValidateContainerAdjustmentRequest Request(const std::string& owners,
                                                const std::string& pod = "{}",
                                                const std::string& container = "{}") {
  auto request = FromJson<nri::ValidateContainerAdjustmentRequest>(
      "{\"owners\":{\"owners\":{\"c1\":" + owners + "}},\"pod\":" + pod +
      ",\"container\":" + container + ",\"plugins\":[{\"name\":\"topology\",\"index\":\"90\"}]}");
  request.mutable_container()->set_id("c1");
  request.mutable_container()->set_name("web");
  return request;
}

constexpr char kHooks[] = R"({"simple":{"3":"10-a,20-b"}})";
constexpr char kSeccomp[] = R"({"simple":{"32":"10-a"}})";
constexpr char kNamespace[] = R"({"compound":{"33":{"owners":{"pid":"10-a"}}}})";
constexpr char kSysctl[] = R"({"compound":{"34":{"owners":{"a":"10-a","b":"20-b"}}}})";

TEST(DefaultValidator, AllowsEverythingUnlessTold) {
  DefaultValidatorOptions options;
  options.enable = true;
  for (const char* owners : {"{}", kHooks, kSeccomp, kNamespace, kSysctl}) {
    EXPECT_TRUE(ValidateByDefault(options, Request(owners)).ok()) << owners;
  }
}

TEST(DefaultValidator, NamesWhoTouchedWhatNobodyMay) {
  DefaultValidatorOptions options;
  options.enable = true;
  options.reject_oci_hook_adjustment = true;
  options.reject_namespace_adjustment = true;
  options.reject_sysctl_adjustment = true;
  EXPECT_EQ(ValidateByDefault(options, Request(kHooks)).message(),
            "validation error: plugins \"10-a,20-b\" attempted restricted OCI hook injection");
  EXPECT_EQ(ValidateByDefault(options, Request(kNamespace)).message(),
            "validation error: attempted restricted namespace adjustment by plugin(s) \"10-a\" "
            "(namespace \"pid\")");
  EXPECT_EQ(ValidateByDefault(options, Request(kSysctl)).message(),
            "validation error: attempted restricted sysctl adjustment by plugin(s) 10-a, 20-b");
  EXPECT_TRUE(ValidateByDefault(options, Request("{}")).ok());
  options.enable = false;
  EXPECT_TRUE(ValidateByDefault(options, Request(kHooks)).ok());
}

TEST(DefaultValidator, JudgesSeccompByTheProfileThatThereWas) {
  const auto message = [](bool DefaultValidatorOptions::*option, const char* linux_part) {
    DefaultValidatorOptions options;
    options.enable = true;
    options.*option = true;
    return std::string(ValidateByDefault(options, Request(kSeccomp, "{}", linux_part)).message());
  };
  constexpr char kDefault[] = R"({"linux":{"seccomp_profile":{"profile_type":"RUNTIME_DEFAULT"}}})";
  constexpr char kCustom[] = R"({"linux":{"seccomp_profile":{"profile_type":"LOCALHOST"}}})";
  const auto unconfined = &DefaultValidatorOptions::reject_unconfined_seccomp_adjustment;
  const auto runtime = &DefaultValidatorOptions::reject_runtime_default_seccomp_adjustment;
  const auto custom = &DefaultValidatorOptions::reject_custom_seccomp_adjustment;
  EXPECT_EQ(
      message(unconfined, "{}"),
      "validation error: plugin 10-a attempted restricted unconfined seccomp policy adjustment");
  EXPECT_EQ(message(runtime, kDefault),
            "validation error: plugin 10-a attempted restricted runtime default seccomp policy "
            "adjustment");
  EXPECT_EQ(message(custom, kCustom),
            "validation error: plugin 10-a attempted restricted custom seccomp policy adjustment");
  EXPECT_EQ(message(unconfined, kDefault), "");
  EXPECT_EQ(message(runtime, kCustom), "");
  EXPECT_EQ(message(custom, "{}"), "");
}

TEST(DefaultValidator, RequiredPluginsAreThoseOfTheConfigurationAndOfTheNearestAnnotation) {
  DefaultValidatorOptions options;
  options.enable = true;
  options.required_plugins = {"topology", "90-topology"};
  EXPECT_TRUE(ValidateByDefault(options, Request("{}")).ok());
  const auto with = [&](const char* annotations) {
    return std::string(ValidateByDefault(options, Request("{}", std::string("{\"annotations\":") +
                                                                    annotations + "}"))
                           .message());
  };
  EXPECT_EQ(with(R"({"required-plugins.noderesource.dev":"[gpu, \"topology\", net]"})"),
            "validation error: required plugins \"gpu,net\" not present");
  EXPECT_EQ(with(R"({"required-plugins.noderesource.dev":"[gpu]",
                     "required-plugins.noderesource.dev/container.web":"- topology"})"),
            "");
  EXPECT_EQ(with(R"({"required-plugins.noderesource.dev/pod":"{a: b}"})"),
            "validation error: invalid required-plugins.noderesource.dev annotation \"{a: b}\"");
  options.required_plugins = {"gpu"};
  options.tolerate_missing_plugins_annotation = "tolerate";
  EXPECT_EQ(with("{}"), "validation error: required plugin \"gpu\" not present");
  EXPECT_EQ(with(R"({"tolerate/container.web":"true"})"), "");
  EXPECT_EQ(with(R"({"tolerate":"false"})"),
            "validation error: required plugin \"gpu\" not present");
  EXPECT_EQ(with(R"({"tolerate":"maybe"})"),
            "validation error: invalid tolerate annotation \"maybe\"");
}

TEST(DefaultValidator, IsReadFromTheConfiguration) {
  EXPECT_FALSE(ParseDefaultValidator({})->enable);
  const auto options = ParseDefaultValidator({"reject_sysctl_adjustment", "required_plugins=a+10-b",
                                              "tolerate_missing_plugins_annotation=k"});
  ASSERT_TRUE(options.ok());
  EXPECT_TRUE(options->enable);
  EXPECT_TRUE(options->reject_sysctl_adjustment);
  EXPECT_FALSE(options->reject_namespace_adjustment);
  EXPECT_EQ(options->required_plugins, (std::vector<std::string>{"a", "10-b"}));
  EXPECT_EQ(options->tolerate_missing_plugins_annotation, "k");
  for (const char* bad : {"reject_everything", "required_plugins", "required_plugins=", ""}) {
    EXPECT_FALSE(ParseDefaultValidator({bad}).ok()) << bad;
  }
}

}  // namespace
}  // namespace ocid
