#include "daemon/compiler/exec_process.h"

#include <gtest/gtest.h>

#include "nlohmann/json.hpp"

namespace ocid {
namespace {

using nlohmann::json;

OciSpec Container() {
  return OciSpec(json::parse(R"({"process": {
    "terminal": true, "consoleSize": {"height": 1, "width": 2},
    "user": {"uid": 5, "gid": 6}, "args": ["main"], "env": ["PATH=/bin", "A=1"], "cwd": "/srv",
    "noNewPrivileges": true,
    "capabilities": {"bounding": ["CAP_KILL"], "effective": [], "permitted": []}}})"));
}

v1::ExecConfig Config() {
  v1::ExecConfig config;
  config.add_args("sh");
  return config;
}

TEST(ExecProcess, IsTheContainersOwnWithOtherArguments) {
  const json process = ExecProcess(Container(), Config());
  EXPECT_EQ(process["args"], json({"sh"}));
  EXPECT_EQ(process["cwd"], "/srv");
  EXPECT_EQ(process["user"]["uid"], 5);
  EXPECT_EQ(process["env"], json({"PATH=/bin", "A=1"}));
  EXPECT_EQ(process["noNewPrivileges"], true);
}

TEST(ExecProcess, TheTerminalIsItsOwnAffair) {
  EXPECT_EQ(ExecProcess(Container(), Config())["terminal"], false);
  EXPECT_FALSE(ExecProcess(Container(), Config()).contains("consoleSize"));
  v1::ExecConfig config = Config();
  config.set_terminal(true);
  config.mutable_console_size()->set_rows(24);
  config.mutable_console_size()->set_columns(80);
  EXPECT_EQ(ExecProcess(Container(), config)["consoleSize"], json({{"height", 24}, {"width", 80}}));
}

TEST(ExecProcess, EnvironmentIsReplacedByNameAndAddedTo) {
  v1::ExecConfig config = Config();
  (*config.mutable_env())["A"] = "2";
  (*config.mutable_env())["PAT"] = "x";
  const json env = ExecProcess(Container(), config)["env"];
  EXPECT_EQ(env, json({"PATH=/bin", "A=2", "PAT=x"}));
}

TEST(ExecProcess, AddedCapabilitiesAreEffective) {
  v1::ExecConfig config = Config();
  config.add_added_capabilities("CAP_NET_ADMIN");
  config.add_added_capabilities("CAP_KILL");
  const json sets = ExecProcess(Container(), config)["capabilities"];
  EXPECT_EQ(sets["bounding"], json({"CAP_KILL", "CAP_NET_ADMIN"}));
  EXPECT_EQ(sets["effective"], json({"CAP_NET_ADMIN", "CAP_KILL"}));
  EXPECT_EQ(sets["permitted"], json({"CAP_NET_ADMIN", "CAP_KILL"}));
}

TEST(ExecProcess, AnotherUserIsAnotherUserAltogether) {
  v1::ExecConfig config = Config();
  config.mutable_user()->set_uid(9);
  EXPECT_EQ(ExecProcess(Container(), config)["user"], json({{"gid", 0}, {"uid", 9}}));
}

}  // namespace
}  // namespace ocid
