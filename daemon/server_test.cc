#include "daemon/image/image_store.h"
#include "daemon/image/registry_source.h"
#include "daemon/server.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/access/audit_log.h"
#include "daemon/api/method_table.h"
#include "daemon/api/status_codec.h"
#include "daemon/cdi/cdi_registry.h"
#include "daemon/fake_container_manager.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/security/credentials.h"
#include "proto/ocid/v1/container.grpc.pb.h"
#include "proto/ocid/v1/device.grpc.pb.h"
#include "proto/ocid/v1/event.grpc.pb.h"
#include "proto/ocid/v1/exec.grpc.pb.h"
#include "proto/ocid/v1/image.grpc.pb.h"
#include "proto/ocid/v1/log.grpc.pb.h"
#include "proto/ocid/v1/plugin.grpc.pb.h"
#include "proto/ocid/v1/system.grpc.pb.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

using namespace std::chrono_literals;

class ServerTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = "/tmp/ocid-server-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
    manager_ = std::make_unique<FakeContainerManager>(directory_);
    devices_ = std::make_unique<CdiRegistry>(std::vector<std::string>{directory_ + "/cdi"});
    auto audit = AuditLog::Open({.path = directory_ + "/audit.log"});
    ASSERT_TRUE(audit.ok()) << audit.status();
    audit_ = *std::move(audit);
    auto server =
        Server::Open({.socket_paths = {directory_ + "/s"}, .limits = limits_, .audit = audit_.get()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    auto images = ImageStore::Open({.directory = directory_ + "/images", .limits = {}});
    ASSERT_TRUE(images.ok()) << images.status();
    images_ = *std::move(images);
    ASSERT_TRUE(server_->Serve(*manager_, *devices_, *images_, {}, nullptr, ReadSystemFacts()).ok());
    channel_ = grpc::CreateChannel("unix:" + directory_ + "/s", grpc::InsecureChannelCredentials());
  }
  void TearDown() override {
    server_.reset();
    manager_.reset();
    std::filesystem::remove_all(directory_);
  }

  template <typename Service>
  std::unique_ptr<typename Service::Stub> Stub() {
    return Service::NewStub(channel_);
  }

  grpc::Status Wait(const std::string& id, v1::WaitContainerResponse& response,
                    std::chrono::milliseconds timeout = 10s) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + timeout);
    v1::WaitContainerRequest request;
    request.set_container_id(id);
    return Stub<v1::ContainerService>()->Wait(&context, request, &response);
  }

  void UntilWaiters(int count) const {
    while (manager_->waiters() != count) std::this_thread::sleep_for(1ms);
  }

  // One role for whoever runs the test.
  void BecomeA(const std::string& role) {
    ASSERT_TRUE(server_->Reload({absl::StrCat(role, "=uid:", getuid())}).ok());
  }

  std::string AuditText() const {
    std::ifstream file(directory_ + "/audit.log");
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  TransportLimits limits_;
  std::string directory_;
  std::unique_ptr<AuditLog> audit_;
  std::unique_ptr<ImageStore> images_;
  std::unique_ptr<FakeContainerManager> manager_;
  std::unique_ptr<CdiRegistry> devices_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(ServerTest, KnowsWhoCalls) {
  grpc::ClientContext context;
  v1::CreateContainerRequest request;
  request.set_container_id("web");
  request.mutable_config()->set_bundle("/b");
  v1::Container container;
  const grpc::Status status = Stub<v1::ContainerService>()->Create(&context, request, &container);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(container.owner(), absl::StrCat("uid:", getuid()));
}

TEST_F(ServerTest, RefusesABadRequestWithEveryViolation) {
  grpc::ClientContext context;
  v1::CreateContainerRequest request;
  request.set_container_id("../x");
  request.mutable_config()->set_bundle("relative");
  v1::Container container;
  const absl::Status status =
      DecodeStatus(Stub<v1::ContainerService>()->Create(&context, request, &container));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(GetReason(status), "INVALID_REQUEST");
  EXPECT_EQ(GetFieldViolations(status).size(), 2u);
}

TEST_F(ServerTest, ErrorsArriveWithReasonAndMetadata) {
  grpc::ClientContext context;
  v1::GetContainerRequest request;
  request.set_container_id("none");
  v1::Container container;
  const absl::Status status =
      DecodeStatus(Stub<v1::ContainerService>()->Get(&context, request, &container));
  EXPECT_EQ(GetReason(status), "CONTAINER_NOT_FOUND");
  EXPECT_EQ(GetErrorMetadata(status).at("container"), "none");
}

TEST_F(ServerTest, WaitAnswersWhenTheContainerEnds) {
  manager_->Put("web", v1::CONTAINER_STATE_RUNNING);
  std::jthread exit([this] {
    UntilWaiters(1);
    manager_->Exit("web", 7);
  });
  v1::WaitContainerResponse response;
  ASSERT_TRUE(Wait("web", response).ok());
  EXPECT_EQ(response.exit_status().code(), 7);
}

TEST_F(ServerTest, AWaitsDeadlineLeavesNoRegistration) {
  manager_->Put("web", v1::CONTAINER_STATE_RUNNING);
  v1::WaitContainerResponse response;
  EXPECT_EQ(Wait("web", response, 50ms).error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  UntilWaiters(0);
}

TEST_F(ServerTest, DrainingEndsWaitsWithUnavailable) {
  manager_->Put("web", v1::CONTAINER_STATE_RUNNING);
  std::jthread drain([this] {
    UntilWaiters(1);
    EXPECT_TRUE(server_->Drain(absl::Seconds(5)));
  });
  v1::WaitContainerResponse response;
  const grpc::Status status = Wait("web", response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(GetReason(DecodeStatus(status)), "SHUTTING_DOWN");
  drain.join();
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/s"));
}

TEST_F(ServerTest, WithoutNriThereAreNoPlugins) {
  grpc::ClientContext list_context;
  v1::ListPluginsResponse response;
  EXPECT_TRUE(Stub<v1::PluginService>()->List(&list_context, {}, &response).ok());
  EXPECT_TRUE(response.plugins().empty());
  grpc::ClientContext get_context;
  v1::GetPluginRequest request;
  request.set_name("10-logger");
  v1::Plugin plugin;
  const absl::Status status =
      DecodeStatus(Stub<v1::PluginService>()->Get(&get_context, request, &plugin));
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(GetReason(status), "PLUGIN_NOT_FOUND");
}

TEST_F(ServerTest, ImageServiceTellsWhatIsWrong) {
  auto stub = Stub<v1::ImageService>();
  grpc::ClientContext get_context;
  v1::GetImageRequest get;
  get.set_name("missing");
  v1::Image image;
  EXPECT_EQ(GetReason(DecodeStatus(stub->Get(&get_context, get, &image))), "IMAGE_NOT_FOUND");
  grpc::ClientContext pull_context;
  v1::PullImageRequest pull;
  pull.set_reference("busybox");
  auto reader = stub->Pull(&pull_context, pull);
  v1::PullImageResponse progress;
  EXPECT_FALSE(reader->Read(&progress));
  EXPECT_EQ(GetReason(DecodeStatus(reader->Finish())), "IMAGE_INVALID");
}

class LogServerTest : public ServerTest {
 protected:
  void Append(const std::string& text) const {
    std::ofstream(directory_ + "/log", std::ios::app)
        << "{\"time\":\"2026-01-01T00:00:00.000000000Z\",\"stream\":\"stdout\",\"log\":\"" << text
        << "\\n\"}\n";
  }
};

TEST_F(LogServerTest, ReadSendsWhatIsThere) {
  manager_->Put("web", v1::CONTAINER_STATE_RUNNING);
  for (int i = 0; i < 1000; ++i) Append(absl::StrCat("line ", i));
  grpc::ClientContext context;
  v1::ReadLogRequest request;
  request.set_container_id("web");
  auto stub = Stub<v1::LogService>();
  auto reader = stub->Read(&context, request);
  v1::LogEntry entry;
  int count = 0;
  while (reader->Read(&entry)) EXPECT_EQ(entry.data(), absl::StrCat("line ", count++, "\n"));
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(count, 1000);
}

TEST_F(LogServerTest, FollowGoesOnUntilTheContainerHasEnded) {
  manager_->Put("web", v1::CONTAINER_STATE_RUNNING);
  Append("a");
  grpc::ClientContext context;
  v1::ReadLogRequest request;
  request.set_container_id("web");
  request.set_follow(true);
  auto stub = Stub<v1::LogService>();
  auto reader = stub->Read(&context, request);
  v1::LogEntry entry;
  ASSERT_TRUE(reader->Read(&entry));
  EXPECT_EQ(entry.data(), "a\n");
  std::jthread write([this] {
    std::this_thread::sleep_for(20ms);
    Append("b");
    std::this_thread::sleep_for(20ms);
    Append("c");
    manager_->Exit("web", 0);
  });
  ASSERT_TRUE(reader->Read(&entry));
  EXPECT_EQ(entry.data(), "b\n");
  ASSERT_TRUE(reader->Read(&entry));
  EXPECT_EQ(entry.data(), "c\n");
  EXPECT_FALSE(reader->Read(&entry));
  EXPECT_TRUE(reader->Finish().ok());
  UntilWaiters(0);
}

TEST_F(LogServerTest, AFollowingClientThatGoesLeavesNothing) {
  manager_->Put("web", v1::CONTAINER_STATE_RUNNING);
  Append("a");
  grpc::ClientContext context;
  v1::ReadLogRequest request;
  request.set_container_id("web");
  request.set_follow(true);
  auto stub = Stub<v1::LogService>();
  auto reader = stub->Read(&context, request);
  v1::LogEntry entry;
  ASSERT_TRUE(reader->Read(&entry));
  UntilWaiters(1);
  context.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  UntilWaiters(0);
}

TEST_F(ServerTest, WatchSendsEventsInOrderAndEndsWithTheDaemon) {
  for (int i = 0; i < 3; ++i) {
    v1::Event event;
    event.set_type(v1::Event::STATE_CHANGED);
    event.set_container_id(i == 1 ? "b" : "a");
    manager_->events().Append(event);
  }
  grpc::ClientContext context;
  v1::WatchEventsRequest request;
  request.set_from_sequence(1);
  request.set_filter("id=a");
  auto stub = Stub<v1::EventService>();
  auto reader = stub->Watch(&context, request);
  v1::Event event;
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.sequence(), 1u);
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.sequence(), 3u);
  event.Clear();
  event.set_container_id("a");
  manager_->events().Append(event);
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.sequence(), 4u);
  std::jthread drain([this] { EXPECT_TRUE(server_->Drain(absl::Seconds(5))); });
  EXPECT_FALSE(reader->Read(&event));
  EXPECT_EQ(GetReason(DecodeStatus(reader->Finish())), "SHUTTING_DOWN");
}

TEST_F(ServerTest, WatchWithoutFollowEnds) {
  manager_->events().Append(v1::Event());
  grpc::ClientContext context;
  v1::WatchEventsRequest request;
  request.set_from_sequence(1);
  request.set_no_follow(true);
  auto stub = Stub<v1::EventService>();
  auto reader = stub->Watch(&context, request);
  v1::Event event;
  EXPECT_TRUE(reader->Read(&event));
  EXPECT_FALSE(reader->Read(&event));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(ServerTest, ABadFilterIsRefused) {
  grpc::ClientContext context;
  v1::WatchEventsRequest request;
  request.set_filter("colour=red");
  auto stub = Stub<v1::EventService>();
  auto reader = stub->Watch(&context, request);
  v1::Event event;
  EXPECT_FALSE(reader->Read(&event));
  EXPECT_EQ(GetReason(DecodeStatus(reader->Finish())), "INVALID_FILTER");
}

TEST_F(ServerTest, AttachWantsOpenFirst) {
  grpc::ClientContext context;
  auto stub = Stub<v1::ExecService>();
  auto stream = stub->Attach(&context);
  v1::AttachRequest request;
  request.set_stdin("x");
  stream->Write(request);
  v1::AttachResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(GetReason(DecodeStatus(stream->Finish())), "INVALID_REQUEST");
}

TEST_F(ServerTest, AttachEndsWhenTheSupervisorGoes) {
  manager_->Put("web", v1::CONTAINER_STATE_RUNNING);
  grpc::ClientContext context;
  auto stub = Stub<v1::ExecService>();
  auto stream = stub->Attach(&context);
  v1::AttachRequest request;
  request.mutable_open()->set_container_id("web");
  ASSERT_TRUE(stream->Write(request));
  v1::AttachResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_TRUE(response.has_opened());
  manager_->TakeAttached();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(GetReason(DecodeStatus(stream->Finish())), "SUPERVISOR_LOST");
}

TEST_F(ServerTest, ARoleThatIsTakenWhileACallIsDecidedEndsThatCall) {
  BecomeA("operator");
  grpc::ClientContext creating;
  v1::CreateContainerRequest create;
  create.set_container_id("web");
  create.mutable_config()->set_bundle("/b");
  v1::Container container;
  ASSERT_TRUE(Stub<v1::ContainerService>()->Create(&creating, create, &container).ok());
  // Where the owner is looked up, the role was found already.
  manager_->OnNextGet([this] { BecomeA("none"); });
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 10s);
  auto stub = Stub<v1::ExecService>();
  auto stream = stub->Attach(&context);
  v1::AttachRequest request;
  request.mutable_open()->set_container_id("web");
  ASSERT_TRUE(stream->Write(request));
  v1::AttachResponse response;
  while (stream->Read(&response)) {
  }
  EXPECT_EQ(GetReason(DecodeStatus(stream->Finish())), "PERMISSION_DENIED");
}

TEST_F(ServerTest, ManyConnectionsAndCallsAtOnce) {
  manager_->Put("web", v1::CONTAINER_STATE_RUNNING);
  std::vector<std::jthread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([this, i] {
      grpc::ChannelArguments arguments;
      arguments.SetInt("client", i);  // a connection of its own
      const auto channel = grpc::CreateCustomChannel("unix:" + directory_ + "/s",
                                                     grpc::InsecureChannelCredentials(), arguments);
      const auto stub = v1::ContainerService::NewStub(channel);
      for (int j = 0; j < 100; ++j) {
        grpc::ClientContext context;
        v1::GetContainerRequest request;
        request.set_container_id("web");
        v1::Container container;
        EXPECT_TRUE(stub->Get(&context, request, &container).ok());
      }
    });
  }
}

// Every method that the services have, called without a role: by bytes, so that none is forgotten.
TEST_F(ServerTest, WithoutARoleEveryRpcOfEveryServiceIsRefusedAndNothingIsDone) {
  BecomeA("none");
  for (const ApiMethod& method : MethodTable::Get().methods()) {
    std::string request;
    if (method.descriptor->client_streaming()) {  // the message that opens it
      v1::AttachRequest attach;
      attach.mutable_open()->set_container_id("web");
      request = attach.SerializeAsString();
    }
    grpc::ByteBuffer bytes;
    if (!request.empty()) {
      const grpc::Slice slice(request);
      bytes = grpc::ByteBuffer(&slice, 1);
    } else {
      const grpc::Slice slice("");
      bytes = grpc::ByteBuffer(&slice, 1);
    }
    grpc::GenericStub stub(channel_);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 10s);
    grpc::CompletionQueue queue;
    const auto call = stub.PrepareCall(&context, "/" + method.name, &queue);
    void* tag = nullptr;
    bool ok = false;
    call->StartCall(&tag);
    queue.Next(&tag, &ok);
    grpc::ByteBuffer answer;
    grpc::Status status;
    call->WriteLast(bytes, {}, &tag);
    queue.Next(&tag, &ok);
    call->Read(&answer, &tag);
    queue.Next(&tag, &ok);
    EXPECT_FALSE(ok) << method.name << " answered";
    call->Finish(&status, &tag);
    queue.Next(&tag, &ok);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED) << method.name;
    EXPECT_EQ(GetErrorMetadata(DecodeStatus(status))["method"], method.name);
    EXPECT_NE(AuditText().find("\"method\":\"" + method.name + "\""), std::string::npos);
  }
  EXPECT_EQ(manager_->operations(), 0);
}

TEST_F(ServerTest, AViewerReadsAndChangesNothing) {
  manager_->Put("web", v1::CONTAINER_STATE_RUNNING);
  BecomeA("viewer");
  grpc::ClientContext reading;
  v1::GetContainerRequest get;
  get.set_container_id("web");
  v1::Container container;
  EXPECT_TRUE(Stub<v1::ContainerService>()->Get(&reading, get, &container).ok());
  EXPECT_EQ(AuditText(), "");

  grpc::ClientContext context;
  v1::KillContainerRequest kill;
  kill.set_container_id("web");
  v1::KillContainerResponse killed;
  const absl::Status status =
      DecodeStatus(Stub<v1::ContainerService>()->Kill(&context, kill, &killed));
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(GetReason(status), "PERMISSION_DENIED");
  EXPECT_EQ(GetErrorMetadata(status).at("needed_role"), "operator");
  EXPECT_EQ(manager_->operations(), 0);
}

TEST_F(ServerTest, AnOperatorChangesOnlyWhatHeOwns) {
  manager_->Put("other", v1::CONTAINER_STATE_RUNNING);
  BecomeA("operator");
  grpc::ClientContext context;
  v1::KillContainerRequest kill;
  kill.set_container_id("other");
  v1::KillContainerResponse killed;
  const absl::Status status =
      DecodeStatus(Stub<v1::ContainerService>()->Kill(&context, kill, &killed));
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(GetReason(status), "NOT_OWNER");
  EXPECT_EQ(manager_->operations(), 0);
}

TEST_F(ServerTest, ARoleThatIsTakenAwayIsMissedByTheNextCall) {
  manager_->Put("web", v1::CONTAINER_STATE_RUNNING);
  const auto get = [this] {
    grpc::ClientContext context;
    v1::GetContainerRequest request;
    request.set_container_id("web");
    v1::Container container;
    return Stub<v1::ContainerService>()->Get(&context, request, &container).error_code();
  };
  BecomeA("viewer");
  EXPECT_EQ(get(), grpc::StatusCode::OK);
  BecomeA("none");
  EXPECT_EQ(get(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(ServerTest, ARoleThatIsTakenAwayEndsTheCallsThatItAllowed) {
  manager_->Put("web", v1::CONTAINER_STATE_RUNNING);
  BecomeA("admin");
  grpc::ClientContext attach_context;
  auto execs = Stub<v1::ExecService>();
  auto attach = execs->Attach(&attach_context);
  v1::AttachRequest request;
  request.mutable_open()->set_container_id("web");
  ASSERT_TRUE(attach->Write(request));
  v1::AttachResponse response;
  ASSERT_TRUE(attach->Read(&response));
  v1::WaitContainerResponse exit;
  auto waited = std::async(std::launch::async, [&] { return Wait("web", exit); });
  grpc::ClientContext watch_context;
  auto events = Stub<v1::EventService>();
  auto watch = events->Watch(&watch_context, v1::WatchEventsRequest());
  v1::Event event;
  event.set_type(v1::Event::STATE_CHANGED);
  manager_->events().Append(event);
  ASSERT_TRUE(watch->Read(&event));
  // The attach's own wait for the exit is the other.
  UntilWaiters(2);

  BecomeA("viewer");
  EXPECT_FALSE(attach->Read(&response));
  EXPECT_EQ(GetReason(DecodeStatus(attach->Finish())), "PERMISSION_DENIED");
  manager_->events().Append(event);
  EXPECT_TRUE(watch->Read(&event)) << "a viewer may go on watching";

  BecomeA("none");
  EXPECT_FALSE(watch->Read(&event));
  EXPECT_EQ(GetReason(DecodeStatus(watch->Finish())), "PERMISSION_DENIED");
  EXPECT_EQ(GetReason(DecodeStatus(waited.get())), "PERMISSION_DENIED");
  UntilWaiters(0);
  const std::string audit = AuditText();
  for (const char* method : {"ExecService/Attach", "EventService/Watch", "ContainerService/Wait"}) {
    EXPECT_NE(audit.find(method), std::string::npos) << method << "\n" << audit;
  }
}

TEST_F(ServerTest, TheAuditLogSaysWhoWantedWhatAndInWhichTrace) {
  grpc::ClientContext context;
  context.AddMetadata("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  v1::CreateContainerRequest request;
  request.set_container_id("web");
  request.set_request_id("r-1");
  request.mutable_config()->set_bundle("/b");
  v1::Container container;
  ASSERT_TRUE(Stub<v1::ContainerService>()->Create(&context, request, &container).ok());
  const std::string text = AuditText();
  for (const std::string& part :
       {absl::StrCat("\"who\":\"uid:", getuid(), "\""), std::string("\"container\":\"web\""),
        std::string("\"method\":\"ocid.v1.ContainerService/Create\""),
        std::string("\"request_id\":\"r-1\""), std::string("\"code\":\"OK\""),
        std::string("\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\"")}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in " << text;
  }
}

}  // namespace
}  // namespace ocid
