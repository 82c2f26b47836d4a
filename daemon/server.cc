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
#include "daemon/base/log.h"
#include "daemon/logs/directory_watcher.h"
#include "daemon/tcp_listener.h"
#include "daemon/tls_credentials.h"
#include "daemon/unix_listener.h"
#include "grpcpp/client_context.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "grpcpp/server_posix.h"
#include "proto/grpc/health/v1/health.pb.h"
#include "runtime/base/error_details.h"
#include "runtime/base/mutex.h"

namespace ocid {
namespace {

// Of files that calls look into. Streams take turns.
constexpr int kReaderThreads = 4;

// Pulls, loads and unpacks at the same time; more of them wait.
constexpr int kImageThreads = 8;

constexpr size_t kTransportMemoryBytes = 256 << 20;
// Streams of processes come in large messages: not cut into pieces of 16 KiB.
constexpr int kMaxFrameBytes = 256 << 10;

// More pings than one in this time end the connection.
constexpr int kMinPingIntervalMs = 10'000;

constexpr absl::Duration kTlsLookInterval = absl::Seconds(1);
// For certificates that expire under a call.
constexpr absl::Duration kRightsInterval = absl::Minutes(1);

// How long calls that were told to end may take to do so, and idle clients to hang up: one that does
// not look at its connection does not see that it should.
constexpr absl::Duration kHangUpTime = absl::Milliseconds(500);

void SetTransport(grpc::ServerBuilder& builder, const TransportLimits& limits) {
  grpc::ResourceQuota quota("ocid");
  quota.Resize(kTransportMemoryBytes);
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(limits.max_message_bytes);
  builder.SetMaxSendMessageSize(limits.max_message_bytes);
  // Server reflection is the only service of the kind that these threads are for.
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 1);
  const auto milliseconds = [](absl::Duration duration) {
    return static_cast<int>(absl::ToInt64Milliseconds(duration));
  };
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, limits.max_streams);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kMaxFrameBytes);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
                             milliseconds(limits.handshake_timeout));
  // A client that is gone is noticed by its socket; pings are for those behind a forwarder.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, milliseconds(limits.keepalive_interval));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, milliseconds(limits.keepalive_timeout));
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
  CallbackThreadWaker(grpc::Server& server, Timers& timers, std::string self_token)
      : self_token_(std::move(self_token)),
        stub_(v1::SystemService::NewStub(server.InProcessChannel(grpc::ChannelArguments()))),
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
    context_->AddMetadata(CallGate::kSelfMetadata, self_token_);
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

  const std::string self_token_;
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
           const NriHost* nri, const SystemFacts& system_facts, std::function<std::string()> dump)
      : api(context),
        facts(system_facts),
        containers(api),
        execs(api),
        logs(api, watcher),
        events(api),
        devices(api, registry),
        system(api, facts, std::move(dump)),
        images(api, image_store, image_workers, registries),
        plugins(api, nri) {}

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
  explicit Parts(ServerOptions server_options)
      : options(std::move(server_options)), connections(options.limits.connections) {}

  const ServerOptions options;
  ConnectionTable connections;
  std::unique_ptr<TlsFiles> tls;  // null: no TCP
  std::unique_ptr<UnixListener> listener;
  std::unique_ptr<TcpListener> tcp_listener;
  std::unique_ptr<FdPoller> poller;
  std::unique_ptr<DirectoryWatcher> watcher;
  std::unique_ptr<Timers> timers = MakeTimers();
  ThreadPool readers{"readers", kReaderThreads};
  ThreadPool image_workers{"images", kImageThreads};
  PeerTable peers;
  DrainSignal drain;
  ContainerManager* containers = nullptr;
  std::unique_ptr<CallGate> gate;
  std::unique_ptr<Services> services;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> tcp_acceptor;
  std::unique_ptr<grpc::Server> grpc;
  std::unique_ptr<CallbackThreadWaker> waker;

  Mutex mutex;
  bool stopped ABSL_GUARDED_BY(mutex) = false;
  std::string tls_error ABSL_GUARDED_BY(mutex);  // that was logged last
  absl::Time rights_checked;  // of WatchTlsFiles
};

absl::StatusOr<std::unique_ptr<Server>> Server::Open(ServerOptions options) {
  std::vector<UniqueFd> passed_sockets = std::move(options.passed_sockets);
  auto parts = std::make_unique<Parts>(std::move(options));
  const ServerOptions& wanted = parts->options;
  absl::StatusOr<std::unique_ptr<FdPoller>> poller = FdPoller::Open();
  if (!poller.ok()) return poller.status();
  parts->poller = *std::move(poller);
  absl::StatusOr<std::unique_ptr<DirectoryWatcher>> watcher =
      DirectoryWatcher::Open(*parts->poller);
  if (!watcher.ok()) return watcher.status();
  parts->watcher = *std::move(watcher);
  absl::StatusOr<std::unique_ptr<UnixListener>> listener =
      UnixListener::Open(wanted.socket_paths, wanted.socket_group, std::move(passed_sockets));
  if (!listener.ok()) return listener.status();
  parts->listener = *std::move(listener);
  if (!wanted.tcp_addresses.empty()) {
    absl::StatusOr<std::unique_ptr<TlsFiles>> tls = TlsFiles::Open(wanted.tls, wanted.tls_directory);
    if (!tls.ok()) return Annotate(tls.status(), "TLS");
    parts->tls = *std::move(tls);
    absl::StatusOr<std::unique_ptr<TcpListener>> tcp = TcpListener::Open(wanted.tcp_addresses);
    if (!tcp.ok()) return Annotate(tcp.status(), "listen");
    parts->tcp_listener = *std::move(tcp);
  }
  // So that what is wrong with them is known before anybody calls.
  const absl::StatusOr<RoleTable> roles = RoleTable::Parse(wanted.roles, {});
  if (!roles.ok()) return Annotate(roles.status(), "role");
  return std::unique_ptr<Server>(new Server(std::move(parts)));
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Server::~Server() {
  {
    const MutexLock lock(parts_->mutex);
    parts_->stopped = true;
  }
  parts_->listener->Stop();
  if (parts_->tcp_listener != nullptr) parts_->tcp_listener->Stop();
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
  absl::StatusOr<RoleTable> roles = RoleTable::Parse(parts.options.roles, parts.listener->groups());
  if (!roles.ok()) return Annotate(roles.status(), "role");
  CallGate::Parts gate_parts{.peers = parts.peers,
                             .containers = containers,
                             .audit = parts.options.audit,
                             .observer = parts.options.observer};
  if (parts.tls != nullptr) gate_parts.trust = [&tls = *parts.tls] { return tls.trust(); };
  parts.gate = std::make_unique<CallGate>(std::move(gate_parts), *std::move(roles));
  parts.services = std::make_unique<Services>(ApiContext{.containers = containers,
                                                         .peers = parts.peers,
                                                         .drain = parts.drain,
                                                         .timers = *parts.timers,
                                                         .poller = *parts.poller,
                                                         .readers = parts.readers,
                                                         .gate = *parts.gate,
                                                         .call_timeout =
                                                             parts.options.limits.call_timeout},
                                              *parts.watcher, devices, images,
                                              parts.image_workers, registries, plugins, facts,
                                              parts.options.debug_dump);

  // Both are of the process: once is enough, and again does no harm.
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  // gRPC serves health without descriptors, which reflection would look for.
  google::protobuf::LinkMessageReflection<grpc::health::v1::HealthCheckRequest>();
  grpc::ServerBuilder builder;
  SetTransport(builder, parts.options.limits);
  if (parts.tls != nullptr) {
    parts.tcp_acceptor = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        MakeTlsCredentials(*parts.tls));
  }
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
  parts.waker = std::make_unique<CallbackThreadWaker>(*parts.grpc, *parts.timers,
                                                     parts.gate->self_token());
  grpc::HealthCheckServiceInterface& health = *parts.grpc->GetHealthCheckService();
  health.SetServingStatus(true);
  for (const auto& [name, service] : all) health.SetServingStatus(name, true);

  parts.listener->Start(parts.peers, parts.connections,
                        [&server = *parts.grpc](UniqueFd connection) {
                          grpc::AddInsecureChannelFromFd(&server, connection.release());
                        });
  if (parts.tcp_listener != nullptr) {
    parts.tcp_listener->Start(parts.connections,
                              [&acceptor = *parts.tcp_acceptor](UniqueFd connection) {
                                grpc::experimental::ExternalConnectionAcceptor::
                                    NewConnectionParameters parameters;
                                parameters.fd = connection.release();
                                acceptor.HandleNewConnection(&parameters);
                              });
    WatchTlsFiles();
  }
  return absl::OkStatus();
}

// Looks for ever, on threads that may read files.
void Server::WatchTlsFiles() {
  parts_->timers->After(kTlsLookInterval, [this] {
    parts_->readers.Post([this] {
      const absl::StatusOr<bool> changed = parts_->tls->ReloadIfTouched();
      const std::string error = changed.ok() ? "" : changed.status().ToString();
      {
        const MutexLock lock(parts_->mutex);
        if (parts_->stopped) return;
        if (!error.empty() && error != parts_->tls_error) {
          Log(LogLevel::kError, "TLS files not read again", {{"error", error}});
        }
        parts_->tls_error = error;
      }
      if (changed.ok() && *changed) Log(LogLevel::kInfo, "TLS files read again");
      const bool due = absl::Now() - parts_->rights_checked >= kRightsInterval;
      if (due || (changed.ok() && *changed)) {
        parts_->rights_checked = absl::Now();
        parts_->gate->EndRevoked();
      }
      WatchTlsFiles();
    });
  });
}

absl::Status Server::Reload(const std::vector<std::string>& roles) {
  Parts& parts = *parts_;
  absl::StatusOr<RoleTable> table = RoleTable::Parse(roles, parts.listener->groups());
  if (!table.ok()) return Annotate(table.status(), "role");
  if (parts.gate != nullptr) parts.gate->SetRoles(*std::move(table));
  if (parts.tls == nullptr) return absl::OkStatus();
  const absl::StatusOr<bool> changed = parts.tls->Reload();
  if (changed.ok() && *changed) Log(LogLevel::kInfo, "TLS files read again");
  if (parts.gate != nullptr) parts.gate->EndRevoked();
  return changed.status();
}

const std::vector<std::string>& Server::tcp_addresses() const {
  static const auto* const kNone = new std::vector<std::string>();
  return parts_->tcp_listener == nullptr ? *kNone : parts_->tcp_listener->addresses();
}

ConnectionTable& Server::connections() { return parts_->connections; }

std::map<std::string, size_t> Server::QueuedWork() const {
  return {{"readers", parts_->readers.queued()}, {"images", parts_->image_workers.queued()}};
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
  call->context.AddMetadata(CallGate::kSelfMetadata, parts_->gate->self_token());
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
  if (parts.tcp_listener != nullptr) parts.tcp_listener->Stop();
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
