#include "daemon/api/request_validation.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

using namespace std::string_view_literals;

TEST(IsValidId, FollowsTheRuleOfTheApi) {
  for (const std::string_view id :
       {"a"sv, "web-1"sv, "_x"sv, "+x"sv, "-x"sv, "a..b"sv, "A.b_c+d-e"sv}) {
    EXPECT_TRUE(IsValidId(id)) << id;
  }
  EXPECT_TRUE(IsValidId(std::string(128, 'x')));
  for (const std::string_view id : {""sv, "."sv, ".."sv, ".x"sv, "a/b"sv, "/"sv, "../x"sv, "a\0b"sv,
                                    "\0"sv, "a b"sv, "a\n"sv, "ä"sv, "a:b"sv, "*"sv}) {
    EXPECT_FALSE(IsValidId(id)) << id;
  }
  EXPECT_FALSE(IsValidId(std::string(129, 'x')));
  EXPECT_FALSE(IsValidId(std::string(300, 'x')));
}

TEST(RequestCheck, NothingWrongIsOk) { EXPECT_TRUE(RequestCheck().Finish().ok()); }

TEST(RequestCheck, AWrongIdAloneHasItsOwnReason) {
  RequestCheck check;
  check.ContainerId("container_id", "../x");
  EXPECT_EQ(check.Finish().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(GetReason(check.Finish()), "INVALID_CONTAINER_ID");
  RequestCheck exec;
  exec.ExecId("exec_id", "");
  EXPECT_EQ(GetReason(exec.Finish()), "INVALID_EXEC_ID");
}

TEST(RequestCheck, EverythingThatIsWrongIsNamedAtOnce) {
  RequestCheck check;
  check.ContainerId("container_id", "a/b");
  check.Signal("signal", "SIGNONE");
  check.Page(-1, "");
  const absl::Status status = check.Finish();
  EXPECT_EQ(GetReason(status), "INVALID_REQUEST");
  const std::vector<FieldViolation> violations = GetFieldViolations(status);
  ASSERT_EQ(violations.size(), 3u);
  EXPECT_EQ(violations[0].field, "container_id");
  EXPECT_EQ(violations[1].field, "signal");
  EXPECT_EQ(violations[2].field, "page_size");
  EXPECT_TRUE(absl::StrContains(status.message(), "(and 2 more)")) << status;
}

TEST(RequestCheck, AHugeIdIsNotRepeatedInTheError) {
  RequestCheck check;
  check.ContainerId("container_id", std::string(1'000'000, 'x'));
  EXPECT_LT(check.Finish().message().size(), 400u);
}

// Fields that are wrong, in the order in which they are found.
std::vector<std::string> Wrong(const std::function<void(v1::ContainerConfig&)>& change) {
  v1::ContainerConfig config;
  config.set_bundle("/b");
  change(config);
  RequestCheck check;
  check.Config(config);
  std::vector<std::string> fields;
  for (const FieldViolation& violation : GetFieldViolations(check.Finish())) {
    fields.push_back(violation.field);
  }
  return fields;
}

using Fields = std::vector<std::string>;

TEST(ConfigCheck, ABundleIsEnough) {
  EXPECT_EQ(Wrong([](auto&) {}), Fields{});
}

TEST(ConfigCheck, TheSourceIsAnAbsolutePathOrAnImage) {
  EXPECT_EQ(Wrong([](auto& c) { c.clear_source(); }), Fields{"config"});
  EXPECT_EQ(Wrong([](auto& c) { c.set_bundle("b"); }), Fields{"config.bundle"});
  EXPECT_EQ(Wrong([](auto& c) { c.set_bundle("/b" + std::string("\0c", 2)); }),
            Fields{"config.bundle"});
  EXPECT_EQ(Wrong([](auto& c) { c.set_bundle("/" + std::string(5000, 'x')); }),
            Fields{"config.bundle"});
  EXPECT_EQ(Wrong([](auto& c) { c.set_image(""); }), Fields{"config.image"});
}

TEST(ConfigCheck, OverridesAreChecked) {
  EXPECT_EQ(Wrong([](auto& c) { c.add_args(""); }), Fields{"config.args[0]"});
  EXPECT_EQ(Wrong([](auto& c) { (*c.mutable_env())["A=B"] = "x"; }), Fields{"config.env[\"A=B\"]"});
  EXPECT_EQ(Wrong([](auto& c) { c.set_cwd("x"); }), Fields{"config.cwd"});
  EXPECT_EQ(Wrong([](auto& c) { c.set_hostname(std::string(65, 'h')); }),
            Fields{"config.hostname"});
  EXPECT_EQ(Wrong([](auto& c) { c.mutable_console_size()->set_rows(70000); }),
            (Fields{"config.console_size.rows", "config.console_size.columns"}));
  EXPECT_EQ(Wrong([](auto& c) { c.add_mounts()->set_destination("data"); }),
            Fields{"config.mounts[0].destination"});
  EXPECT_EQ(Wrong([](auto& c) { c.set_stop_signal("SIGNONE"); }), Fields{"config.stop_signal"});
  EXPECT_EQ(Wrong([](auto& c) { c.mutable_log()->set_max_files(0); }),
            Fields{"config.log.max_files"});
  EXPECT_EQ(Wrong([](auto& c) { c.mutable_health_check(); }), Fields{"config.health_check.args"});
  EXPECT_EQ(Wrong([](auto& c) { c.add_cdi_devices(""); }), Fields{"config.cdi_devices[0]"});
  EXPECT_EQ(Wrong([](auto& c) { c.mutable_restart_policy()->set_max_retries(3); }),
            Fields{"config.restart_policy.max_retries"});
}

TEST(ConfigCheck, RlimitsAreKnownOnceAndInOrder) {
  EXPECT_EQ(Wrong([](auto& c) {
              for (const char* type : {"RLIMIT_NOFILE", "RLIMIT_NOFILE", "nofile"}) {
                c.add_rlimits()->set_type(type);
              }
              c.mutable_rlimits(0)->set_soft(1);
            }),
            (Fields{"config.rlimits[0].soft", "config.rlimits[1].type", "config.rlimits[2].type"}));
}

TEST(ConfigCheck, CgroupFilesCannotLeaveTheCgroup) {
  for (const char* name : {"../cgroup.procs", "a/b", "", ".."}) {
    EXPECT_EQ(
        Wrong([name](auto& c) { (*c.mutable_resources()->mutable_unified())[name] = "1"; }).size(),
        1u)
        << name;
  }
  EXPECT_EQ(
      Wrong([](auto& c) { (*c.mutable_resources()->mutable_unified())["memory.high"] = "1"; }),
      Fields{});
}

TEST(RequestCheck, AnExecNeedsArguments) {
  RequestCheck check;
  v1::ExecConfig config;
  config.add_added_capabilities("NET_ADMIN");
  check.ExecConfig(config);
  EXPECT_EQ(GetFieldViolations(check.Finish()).size(), 2u);
}

TEST(RequestCheck, AnUpdateMaskNamesWhatUpdateCanChange) {
  const auto ok = [](const std::vector<std::string>& paths) {
    google::protobuf::FieldMask mask;
    for (const std::string& path : paths) mask.add_paths(path);
    RequestCheck check;
    check.UpdateMask(mask);
    return check.Finish().ok();
  };
  EXPECT_TRUE(ok({"resources", "labels", "restart_policy"}));
  EXPECT_TRUE(ok({"resources.memory.limit_bytes", "restart_policy.mode"}));
  EXPECT_FALSE(ok({}));
  EXPECT_FALSE(ok({"container_id"}));
  EXPECT_FALSE(ok({"resources.memory.limit"}));
  EXPECT_FALSE(ok({"labels.x"}));
  EXPECT_FALSE(ok({""}));
}

TEST(RequestCheck, DurationsAreWellFormedAndNotNegative) {
  const auto ok = [](int64_t seconds, int32_t nanos) {
    google::protobuf::Duration duration;
    duration.set_seconds(seconds);
    duration.set_nanos(nanos);
    RequestCheck check;
    check.Duration("grace", duration);
    return check.Finish().ok();
  };
  EXPECT_TRUE(ok(0, 0));
  EXPECT_TRUE(ok(10, 999'999'999));
  EXPECT_FALSE(ok(-1, 0));
  EXPECT_FALSE(ok(0, -1));
  EXPECT_FALSE(ok(0, 1'000'000'000));
  EXPECT_FALSE(ok(INT64_MAX, 0));
}

}  // namespace
}  // namespace ocid
