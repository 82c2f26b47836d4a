#include "daemon/nri/nri_requests.h"

#include "gtest/gtest.h"

namespace ocid {
namespace {

EncodedContainer Web() {
  nri::PodSandbox pod;
  pod.set_id("web");
  nri::Container container;
  container.set_id("web");
  container.set_name("the name");
  return {pod.SerializeAsString(), container.SerializeAsString()};
}

TEST(EventRequest, IsTheMessageThatThePartsMake) {
  const NriState state{.state = nri::CONTAINER_RUNNING, .pid = 7, .started_at = 12};
  const EventRequest request(nri::START_CONTAINER, WithState(WithState(Web(), {.pid = 3}), state));
  nri::StartContainerRequest parsed;
  ASSERT_TRUE(parsed.ParseFromString(request.bytes()));
  EXPECT_EQ(parsed.pod().id(), "web");
  EXPECT_EQ(parsed.pod().pid(), 7u);
  EXPECT_EQ(parsed.container().name(), "the name");
  EXPECT_EQ(parsed.container().state(), nri::CONTAINER_RUNNING);
  EXPECT_EQ(parsed.container().pid(), 7u);
  EXPECT_EQ(parsed.container().started_at(), 12);

  nri::StateChangeEvent old;
  ASSERT_TRUE(old.ParseFromString(request.StateChange()));
  EXPECT_EQ(old.event(), nri::START_CONTAINER);
  EXPECT_EQ(old.pod().id(), "web");
  EXPECT_EQ(old.container().pid(), 7u);
}

TEST(EventRequest, SaysWhereANetworkWithoutANameIsWhileSomethingRunsInIt) {
  EncodedContainer web = Web();
  nri::PodSandbox pod;
  ASSERT_TRUE(pod.ParseFromString(WithState(web, {.pid = 7}).pod));
  EXPECT_FALSE(pod.has_linux());
  web.unnamed_network = true;
  ASSERT_TRUE(pod.ParseFromString(WithState(web, {.pid = 0}).pod));
  EXPECT_FALSE(pod.has_linux());
  ASSERT_TRUE(pod.ParseFromString(WithState(web, {.pid = 7}).pod));
  ASSERT_EQ(pod.linux().namespaces_size(), 1);
  EXPECT_EQ(pod.linux().namespaces(0).type(), "network");
  EXPECT_EQ(pod.linux().namespaces(0).path(), "/proc/7/ns/net");
}

TEST(EventRequest, OfAPodHasNoContainer) {
  nri::StateChangeEvent old;
  ASSERT_TRUE(old.ParseFromString(EventRequest(nri::STOP_POD_SANDBOX, Web()).StateChange()));
  EXPECT_TRUE(old.has_pod());
  EXPECT_FALSE(old.has_container());
  nri::StopPodSandboxRequest request;
  ASSERT_TRUE(request.ParseFromString(EventRequest(nri::STOP_POD_SANDBOX, Web()).bytes()));
  EXPECT_EQ(request.pod().id(), "web");
}

TEST(Events, HaveTheMethodsOfTheProtocol) {
  EXPECT_EQ(EventMethod(nri::RUN_POD_SANDBOX), "RunPodSandbox");
  EXPECT_EQ(EventMethod(nri::VALIDATE_CONTAINER_ADJUSTMENT), "ValidateContainerAdjustment");
  int legacy = 0;
  for (int event = 1; event <= 14; ++event) legacy += HasLegacyForm(static_cast<nri::Event>(event));
  EXPECT_EQ(legacy, 9);
}

}  // namespace
}  // namespace ocid
