#include "daemon/server.h"

#include <string_view>
#include <utility>

#include "daemon/api/api_context.h"
#include "daemon/api/container_service.h"
#include "daemon/api/device_service.h"
#include "daemon/api/event_service.h"
#include "daemon/api/exec_service.h"
#include "daemon/api/log_service.h"
#include "daemon/api/unimplemented_services.h"
#include "daemon/base/fd_poller.h"
#include "daemon/base/thread_pool.h"
#include "daemon/base/timers.h"
#include "daemon/logs/directory_watcher.h"
#include "daemon/unix_listener.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "grpcpp/server_posix.h"

namespace ocid {
namespace {

// Of files that calls look into. Streams take turns.
constexpr int kReaderThreads = 4;

constexpr size_t kTransportMemoryBytes = 256 << 20;
constexpr int kMaxConcurrentStreams = 1024;  // calls of one connection

// A client that is gone is noticed by its socket; pings are for those behind a forwarder.
constexpr int kKeepaliveMs = 60'000;
constexpr int kKeepaliveTimeoutMs = 20'000;
constexpr int kMinPingIntervalMs = 10'000;

// How long calls that were told to end may take to do so.
constexpr absl::Duration kHangUpTime = absl::Seconds(2);

void SetTransport(grpc::ServerBuilder& builder) {
  grpc::ResourceQuota quota("ocid");
  quota.Resize(kTransportMemoryBytes);
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxConcurrentStreams);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kMinPingIntervalMs);
}

}  // namespace

// In the order of construction; destroyed from the last to the first.
struct Server::Services {
  Services(const ApiContext& context, DirectoryWatcher& watcher, CdiRegistry& registry,
           const SystemFacts& system_facts)
      : api(context),
        facts(system_facts),
        containers(api),
        execs(api),
        logs(api, watcher),
        events(api),
        devices(api, registry),
        system(api, facts) {}

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
  PeerTable peers;
  DrainSignal drain;
  ContainerManager* containers = nullptr;
  std::unique_ptr<Services> services;
  std::unique_ptr<grpc::Server> grpc;
};

absl::StatusOr<std::unique_ptr<Server>> Server::Open(const ServerOptions& options) {
  auto parts = std::make_unique<Parts>();
  absl::StatusOr<std::unique_ptr<FdPoller>> poller = FdPoller::Open();
  if (!poller.ok()) return poller.status();
  parts->poller = *std::move(poller);
  absl::StatusOr<std::unique_ptr<DirectoryWatcher>> watcher =
      DirectoryWatcher::Open(*parts->poller);
  if (!watcher.ok()) return watcher.status();
  parts->watcher = *std::move(watcher);
  absl::StatusOr<std::unique_ptr<UnixListener>> listener =
      UnixListener::Open(options.socket_paths, options.socket_group);
  if (!listener.ok()) return listener.status();
  parts->listener = *std::move(listener);
  return std::unique_ptr<Server>(new Server(std::move(parts)));
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Server::~Server() {
  parts_->listener->Stop();
  if (parts_->grpc == nullptr) return;
  parts_->drain.Begin();
  parts_->grpc->Shutdown(std::chrono::system_clock::now());
}

absl::Status Server::Serve(ContainerManager& containers, CdiRegistry& devices,
                           const SystemFacts& facts) {
  Parts& parts = *parts_;
  parts.containers = &containers;
  parts.services = std::make_unique<Services>(ApiContext{.containers = containers,
                                                         .peers = parts.peers,
                                                         .drain = parts.drain,
                                                         .timers = *parts.timers,
                                                         .poller = *parts.poller,
                                                         .readers = parts.readers},
                                              *parts.watcher, devices, facts);

  // Both are of the process: once is enough, and again does no harm.
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
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
  grpc::HealthCheckServiceInterface& health = *parts.grpc->GetHealthCheckService();
  health.SetServingStatus(true);
  for (const auto& [name, service] : all) health.SetServingStatus(name, true);
  // What this version refuses as a whole does not serve.
  health.SetServingStatus(v1::ImageService::service_full_name(), false);
  health.SetServingStatus(v1::PluginService::service_full_name(), false);

  parts.listener->Start(parts.peers, [&server = *parts.grpc](UniqueFd connection) {
    grpc::AddInsecureChannelFromFd(&server, connection.release());
  });
  return absl::OkStatus();
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
  parts.grpc->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(kHangUpTime));
  return true;
}

}  // namespace ocid
