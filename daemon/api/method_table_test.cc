#include "daemon/api/method_table.h"

#include <gtest/gtest.h>

#include <set>

#include "proto/ocid/v1/container.pb.h"
#include "proto/ocid/v1/exec.pb.h"

namespace ocid {
namespace {

TEST(MethodTable, SaysOfEveryRpcWhatItNeeds) {
  EXPECT_GT(MethodTable::Get().methods().size(), 40u);
  for (const ApiMethod& method : MethodTable::Get().methods()) {
    EXPECT_TRUE(method.listed) << method.name << ": add it to kPermissions";
  }
}

TEST(MethodTable, KnowsEveryServiceOfThePackage) {
  // Every file of the API that the program has, found without naming any.
  std::set<std::string> services;
  for (const ApiMethod& method : MethodTable::Get().methods()) {
    services.insert(method.descriptor->service()->full_name());
  }
  for (const char* name : {"Container", "Exec", "Log", "Event", "Device", "Image", "Plugin", "System"}) {
    EXPECT_EQ(services.count(std::string("ocid.v1.") + name + "Service"), 1u) << name;
  }
}

TEST(MethodTable, EveryRpcHasARequestOfItsOwn) {
  std::set<std::string> requests;
  for (const ApiMethod& method : MethodTable::Get().methods()) {
    EXPECT_TRUE(requests.insert(method.descriptor->input_type()->full_name()).second) << method.name;
  }
}

TEST(MethodTable, WhatChangesAContainerNamesIt) {
  for (const ApiMethod& method : MethodTable::Get().methods()) {
    if (method.permission == Permission::kChange) {
      EXPECT_NE(method.container_id.field, nullptr) << method.name;
    }
  }
}

TEST(MethodTable, WhatLooksLikeAQuestionIsOneAndNothingElse) {
  for (const ApiMethod& method : MethodTable::Get().methods()) {
    const std::string& name = method.descriptor->name();
    if (name.rfind("Get", 0) == 0 || name.rfind("List", 0) == 0 || name.rfind("Inspect", 0) == 0) {
      EXPECT_EQ(method.permission, Permission::kRead) << method.name;
    }
    if (name == "Delete" || name == "Create" || name == "Kill" || name == "Start") {
      EXPECT_TRUE(method.changes()) << method.name;
    }
  }
}

TEST(MethodTable, ReadsWhatARequestIsAbout) {
  v1::KillExecRequest kill;
  kill.set_container_id("web");
  kill.set_exec_id("x");
  kill.set_request_id("r");
  const ApiMethod& method = MethodTable::Get().Find(kill);
  EXPECT_EQ(method.name, "ocid.v1.ExecService/Kill");
  EXPECT_EQ(method.ContainerId(kill), "web");
  EXPECT_EQ(method.ExecId(kill), "x");
  EXPECT_EQ(method.RequestId(kill), "r");
}

TEST(MethodTable, ReadsTheMessageThatOpensAStream) {
  v1::AttachRequest attach;
  attach.mutable_open()->set_container_id("web");
  EXPECT_EQ(MethodTable::Get().Find(attach).ContainerId(attach), "web");
}

TEST(MethodTable, AMessageThatIsNoRequestNeedsAnAdmin) {
  EXPECT_EQ(MethodTable::Get().Find(v1::Container()).permission, Permission::kAdminister);
}

}  // namespace
}  // namespace ocid
