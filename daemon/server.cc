#include "daemon/server.h"

#include <chrono>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "daemon/api/api_context.h"
#include "daemon/api/container_service.h"
#include "daemon/api/device_service.h"
#include "daemon/api/event_service.h"
#include "daemon/api/exec_service.h"
#include "daemon/api/image_service.h"
#include "daemon/api/log_service.h"
#include "daemon/api/plugin_service.h"
#include "daemon/base/fd_poller.h"
#include "daemon/base/thread_pool.h"
#include "daemon/base/timers.h"
#include "daemon/logs/directory_watcher.h"
#include "daemon/unix_listener.h"
#include "grpcpp/client_context.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "grpcpp/server_posix.h"
#include "proto/grpc/health/v1/health.pb.h"
#include "runtime/base/mutex.h"

namespace ocid {
namespace {

// Of files that calls look into. Streams take turns.
constexpr int kReaderThreads = 4;

// Pulls, loads and unpacks at the same time; more of them wait.
constexpr int kImageThreads = 8;

constexpr size_t kTransportMemoryBytes = 256 << 20;
constexpr int kMaxConcurrentStreams = 1024;  // calls of one connection

// A client that is gone is noticed by its socket; pings are for those behind a forwarder.
constexpr int kKeepaliveMs = 60'000;
constexpr int kKeepaliveTimeoutMs = 20'000;
constexpr int kMinPingIntervalMs = 10'000;

// How long calls that were told to end may take to do so, and idle clients to hang up: one that does
// not look at its connection does not see that it should.
constexpr absl::Duration kHangUpTime = absl::Milliseconds(500);

void SetTransport(grpc::ServerBuilder& builder) {
  grpc::ResourceQuota quota("ocid");
  quota.Resize(kTransportMemoryBytes);
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  // Server reflection is the only service of the kind that these threads are for.
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 1);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxConcurrentStreams);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kMinPingIntervalMs);
}

// Keeps one of gRPC's callback threads awake. Where it polls with epoll, gRPC 1.51 runs callbacks
// on a few threads that each sleep for 100 ms when a second has gone by without work for them, and
// they do so at the same time: a call that came just then took up to 70 ms instead of 0.1. So the
// server calls itself, without a socket, every 0.7 s; the thread that has done that has had work
// less than a second ago. Source: src/cpp/common/completion_queue_cc.cc, CallbackAlternativeCQ.
class CallbackThreadWaker {
 public:
  CallbackThreadWaker(grpc::Server& server, Timers& timers)
      : stub_(v1::SystemService::NewStub(server.InProcessChannel(grpc::ChannelArguments()))),
        timers_(timers) {
    Call();
  }

  ~CallbackThreadWaker() {
    const MutexLock lock(mutex_);
    stopping_ = true;
    if (timer_ != 0 && timers_.Cancel(timer_)) return;
    while (!ended_) changed_.Wait(mutex_);
  }

 private:
  static constexpr absl::Duration kInterval = absl::Milliseconds(700);

  // The chain Call, CallLater, Call, ... has one link at a time.
  void Call() {
    {
      const MutexLock lock(mutex_);
      timer_ = 0;
      if (stopping_) return End();
    }
    context_.emplace();
    stub_->async()->GetVersion(&*context_, &request_, &version_,
                               [this](const grpc::Status&) { CallLater(); });
  }

  void CallLater() {
    const MutexLock lock(mutex_);
    if (stopping_) return End();
    timer_ = timers_.After(kInterval, [this] { Call(); });
  }

  void End() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    ended_ = true;
    changed_.Signal();
  }

  const std::unique_ptr<v1::SystemService::Stub> stub_;
  Timers& timers_;
  const v1::GetVersionRequest request_;
  v1::Version version_;
  std::optional<grpc::ClientContext> context_;

  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  TimerId timer_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace

// In the order of construction; destroyed from the last to the first.
struct Server::Services {
  Services(const ApiContext& context, DirectoryWatcher& watcher, CdiRegistry& registry,
           ImageStore& image_store, ThreadPool& image_workers, const RegistryOptions& registries,
           const NriHost* nri, const SystemFacts& system_facts)
      : api(context),
        facts(system_facts),
        containers(api),
        execs(api),
        logs(api, watcher),
        events(api),
        devices(api, registry),
        system(api, facts),
        images(api, image_store, image_workers, registries),
        plugins(nri) {}

  const ApiContext api;
  const SystemFacts facts;
  ContainerService containers;
  ExecService execs;
  LogService logs;
  EventService events;
  DeviceService devices;
  SystemService system;
  ImageService images;
  PluginService plugins;
};

struct Server::Parts {
  std::unique_ptr<UnixListener> listener;
  std::unique_ptr<FdPoller> poller;
  std::unique_ptr<DirectoryWatcher> watcher;
  std::unique_ptr<Timers> timers = MakeTimers();
  ThreadPool readers{"readers", kReaderThreads};
  ThreadPool image_workers{"images", kImageThreads};
  PeerTable peers;
  DrainSignal drain;
  ContainerManager* containers = nullptr;
  std::unique_ptr<Services> services;
  std::unique_ptr<grpc::Server> grpc;
  std::unique_ptr<CallbackThreadWaker> waker;
};

absl::StatusOr<std::unique_ptr<Server>> Server::Open(ServerOptions options) {
  auto parts = std::make_unique<Parts>();
  absl::StatusOr<std::unique_ptr<FdPoller>> poller = FdPoller::Open();
  if (!poller.ok()) return poller.status();
  parts->poller = *std::move(poller);
  absl::StatusOr<std::unique_ptr<DirectoryWatcher>> watcher =
      DirectoryWatcher::Open(*parts->poller);
  if (!watcher.ok()) return watcher.status();
  parts->watcher = *std::move(watcher);
  absl::StatusOr<std::unique_ptr<UnixListener>> listener =
      UnixListener::Open(options.socket_paths, options.socket_group,
                         std::move(options.passed_sockets));
  if (!listener.ok()) return listener.status();
  parts->listener = *std::move(listener);
  return std::unique_ptr<Server>(new Server(std::move(parts)));
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Server::~Server() {
  parts_->listener->Stop();
  if (parts_->grpc == nullptr) return;
  parts_->waker.reset();
  parts_->drain.Begin();
  parts_->grpc->Shutdown(std::chrono::system_clock::now());
}

absl::Status Server::Serve(ContainerManager& containers, CdiRegistry& devices,
                           ImageStore& images, const RegistryOptions& registries,
                           const NriHost* plugins, const SystemFacts& facts) {
  Parts& parts = *parts_;
  parts.containers = &containers;
  parts.services = std::make_unique<Services>(ApiContext{.containers = containers,
                                                         .peers = parts.peers,
                                                         .drain = parts.drain,
                                                         .timers = *parts.timers,
                                                         .poller = *parts.poller,
                                                         .readers = parts.readers},
                                              *parts.watcher, devices, images,
                                              parts.image_workers, registries, plugins, facts);

  // Both are of the process: once is enough, and again does no harm.
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  // gRPC serves health without descriptors, which reflection would look for.
  google::protobuf::LinkMessageReflection<grpc::health::v1::HealthCheckRequest>();
  grpc::ServerBuilder builder;
  SetTransport(builder);
  Services& services = *parts.services;
  const std::pair<const char*, grpc::Service*> all[] = {
      {v1::ContainerService::service_full_name(), &services.containers},
      {v1::ExecService::service_full_name(), &services.execs},
      {v1::LogService::service_full_name(), &services.logs},
      {v1::EventService::service_full_name(), &services.events},
      {v1::DeviceService::service_full_name(), &services.devices},
      {v1::SystemService::service_full_name(), &services.system},
      {v1::ImageService::service_full_name(), &services.images},
      {v1::PluginService::service_full_name(), &services.plugins},
  };
  for (const auto& [name, service] : all) builder.RegisterService(service);
  parts.grpc = builder.BuildAndStart();
  if (parts.grpc == nullptr) return absl::InternalError("gRPC server: cannot start");
  parts.waker = std::make_unique<CallbackThreadWaker>(*parts.grpc, *parts.timers);
  grpc::HealthCheckServiceInterface& health = *parts.grpc->GetHealthCheckService();
  health.SetServingStatus(true);
  for (const auto& [name, service] : all) health.SetServingStatus(name, true);

  parts.listener->Start(parts.peers, [&server = *parts.grpc](UniqueFd connection) {
    grpc::AddInsecureChannelFromFd(&server, connection.release());
  });
  return absl::OkStatus();
}

void Server::Probe(std::function<void(bool well)> result) {
  struct Call {
    grpc::ClientContext context;
    v1::ListContainersRequest request;
    v1::ListContainersResponse response;
    std::unique_ptr<v1::ContainerService::Stub> stub;
  };
  auto call = std::make_shared<Call>();
  call->stub = v1::ContainerService::NewStub(
      parts_->grpc->InProcessChannel(grpc::ChannelArguments()));
  call->request.set_page_size(1);
  Call& in_flight = *call;
  in_flight.stub->async()->List(
      &in_flight.context, &in_flight.request, &in_flight.response,
      [call = std::move(call), result = std::move(result)](const grpc::Status& status) {
        result(status.ok());
      });
}

bool Server::Drain(absl::Duration timeout) {
  Parts& parts = *parts_;
  parts.listener->Stop();
  if (parts.grpc == nullptr) return true;
  parts.grpc->GetHealthCheckService()->SetServingStatus(false);
  // The operations first: while they run, what waits for them may still get its answer.
  const bool finished = parts.containers->Drain(timeout);
  parts.drain.Begin();
  if (!finished) return false;
  parts.waker.reset();
  parts.grpc->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(kHangUpTime));
  return true;
}

}  // namespace ocid
