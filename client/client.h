// The client library: a connection to one daemon and typed calls over it.
//
//   auto client = Client::Connect("unix:///run/ocid/ocid.sock");
//   if (!client.ok()) return client.status();
//   v1::StartContainerRequest request;
//   request.set_container_id("web");
//   absl::StatusOr<v1::Container> web = (*client)->containers().Start(request);
//
// Every call returns the daemon's answer, or an absl::Status with the daemon's code, message and
// details (see client/error.h). What each call does, the states it is legal in and its errors are
// documented in proto/ocid/v1.
//
// Thread class: a Client may be used from any thread; a stream by one reader and one writer at a
// time. Calls block until the answer is there, or CallOptions::timeout has passed
// (DEADLINE_EXCEEDED).
#ifndef OCID_CLIENT_CLIENT_H_
#define OCID_CLIENT_CLIENT_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/sync_stream.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/address.h"
#include "proto/ocid/v1/container.grpc.pb.h"
#include "proto/ocid/v1/device.grpc.pb.h"
#include "proto/ocid/v1/event.grpc.pb.h"
#include "proto/ocid/v1/exec.grpc.pb.h"
#include "proto/ocid/v1/image.grpc.pb.h"
#include "proto/ocid/v1/log.grpc.pb.h"
#include "proto/ocid/v1/plugin.grpc.pb.h"
#include "proto/ocid/v1/system.grpc.pb.h"

namespace ocid {

struct ClientOptions {
  // Required for TCP addresses; unix sockets need none, the daemon asks the kernel who we are.
  std::shared_ptr<grpc::ChannelCredentials> credentials;
};

// Of mutual TLS, all in PEM.
struct ClientTlsFiles {
  std::string certificate;  // our own, then those between it and its authority
  std::string key;
  std::string authorities;  // that the daemon's certificate may come from
};

// For ClientOptions: TLS 1.2 or 1.3. Reads the files; INVALID_ARGUMENT where one cannot be read.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> ReadTlsCredentials(
    const ClientTlsFiles& files);

struct CallOptions {
  absl::Duration timeout = absl::InfiniteDuration();
};

// Answers of the daemon, one after the other. Owns the call; the destructor cancels what is left.
template <typename Message>
class ServerStream {
 public:
  using Reader = std::unique_ptr<grpc::ClientReader<Message>>;

  ServerStream(std::unique_ptr<grpc::ClientContext> context, Reader reader, Address address)
      : context_(std::move(context)), reader_(std::move(reader)), address_(std::move(address)) {}
  ServerStream(ServerStream&&) noexcept = default;
  ServerStream& operator=(ServerStream&&) = delete;
  ~ServerStream();

  // False at the end of the stream: Finish() then says how it ended.
  bool Next(Message& message) { return reader_->Read(&message); }

  // To be called once, after Next() has returned false or Cancel() was called.
  absl::Status Finish();

  // Makes Next() return false. Safe from any thread.
  void Cancel() { context_->TryCancel(); }

 private:
  std::unique_ptr<grpc::ClientContext> context_;
  Reader reader_;
  Address address_;
};

// ExecService.Attach. One thread may read while another writes; Cancel() is safe from any.
class AttachStream {
 public:
  using ReaderWriter =
      std::unique_ptr<grpc::ClientReaderWriter<v1::AttachRequest, v1::AttachResponse>>;

  AttachStream(std::unique_ptr<grpc::ClientContext> context, ReaderWriter stream, Address address)
      : context_(std::move(context)), stream_(std::move(stream)), address_(std::move(address)) {}
  AttachStream(const AttachStream&) = delete;
  AttachStream& operator=(const AttachStream&) = delete;
  ~AttachStream();

  bool Read(v1::AttachResponse& response) { return stream_->Read(&response); }
  // Blocks while the daemon takes no more: a process that does not read its standard input.
  bool Write(const v1::AttachRequest& request) { return stream_->Write(request); }
  absl::Status Finish();
  void Cancel() { context_->TryCancel(); }

 private:
  std::unique_ptr<grpc::ClientContext> context_;
  ReaderWriter stream_;
  Address address_;
  bool finished_ = false;
};

class ContainerClient {
 public:
  ContainerClient(const std::shared_ptr<grpc::Channel>& channel, const Address& address);

  absl::StatusOr<v1::Container> Create(const v1::CreateContainerRequest&, CallOptions = {});
  absl::StatusOr<v1::Container> Get(const v1::GetContainerRequest&, CallOptions = {});
  absl::StatusOr<v1::ListContainersResponse> List(const v1::ListContainersRequest&,
                                                  CallOptions = {});
  absl::StatusOr<v1::Container> Update(const v1::UpdateContainerRequest&, CallOptions = {});
  absl::Status Delete(const v1::DeleteContainerRequest&, CallOptions = {});
  absl::StatusOr<v1::Container> Start(const v1::StartContainerRequest&, CallOptions = {});
  absl::StatusOr<v1::Container> Stop(const v1::StopContainerRequest&, CallOptions = {});
  absl::Status Kill(const v1::KillContainerRequest&, CallOptions = {});
  absl::StatusOr<v1::Container> Pause(const v1::PauseContainerRequest&, CallOptions = {});
  absl::StatusOr<v1::Container> Resume(const v1::ResumeContainerRequest&, CallOptions = {});
  absl::StatusOr<v1::WaitContainerResponse> Wait(const v1::WaitContainerRequest&, CallOptions = {});
  absl::StatusOr<v1::ListProcessesResponse> ListProcesses(const v1::ListProcessesRequest&,
                                                          CallOptions = {});
  absl::StatusOr<v1::ContainerStats> GetStats(const v1::GetStatsRequest&, CallOptions = {});
  absl::StatusOr<v1::OciSpecHistory> InspectOciSpec(const v1::InspectOciSpecRequest&,
                                                    CallOptions = {});
  absl::StatusOr<v1::OciSpecHistory> RenderOciSpec(const v1::RenderOciSpecRequest&,
                                                   CallOptions = {});
  absl::StatusOr<v1::DetectDriftResponse> DetectDrift(const v1::DetectDriftRequest&,
                                                      CallOptions = {});

  // Every container that `request` selects, over all pages. Its page_token is not looked at.
  absl::StatusOr<std::vector<v1::Container>> ListAll(v1::ListContainersRequest request,
                                                     CallOptions = {});

 private:
  std::unique_ptr<v1::ContainerService::Stub> stub_;
  Address address_;
};

class ExecClient {
 public:
  ExecClient(const std::shared_ptr<grpc::Channel>& channel, const Address& address);

  absl::StatusOr<v1::Exec> Create(const v1::CreateExecRequest&, CallOptions = {});
  absl::StatusOr<v1::Exec> Start(const v1::StartExecRequest&, CallOptions = {});
  absl::StatusOr<v1::Exec> Get(const v1::GetExecRequest&, CallOptions = {});
  std::unique_ptr<AttachStream> Attach(CallOptions = {});
  absl::Status Resize(const v1::ResizeExecRequest&, CallOptions = {});
  absl::StatusOr<v1::WaitExecResponse> Wait(const v1::WaitExecRequest&, CallOptions = {});
  absl::Status Kill(const v1::KillExecRequest&, CallOptions = {});
  absl::StatusOr<v1::ListExecsResponse> List(const v1::ListExecsRequest&, CallOptions = {});
  absl::Status Delete(const v1::DeleteExecRequest&, CallOptions = {});

 private:
  std::unique_ptr<v1::ExecService::Stub> stub_;
  Address address_;
};

class ImageClient {
 public:
  ImageClient(const std::shared_ptr<grpc::Channel>& channel, const Address& address);

  ServerStream<v1::PullImageResponse> Pull(const v1::PullImageRequest&, CallOptions = {});
  absl::StatusOr<v1::Image> Load(const v1::LoadImageRequest&, CallOptions = {});
  absl::StatusOr<v1::Image> Get(const v1::GetImageRequest&, CallOptions = {});
  absl::StatusOr<v1::ListImagesResponse> List(const v1::ListImagesRequest&, CallOptions = {});
  absl::StatusOr<v1::InspectImageResponse> Inspect(const v1::InspectImageRequest&,
                                                   CallOptions = {});
  absl::StatusOr<v1::UnpackImageResponse> Unpack(const v1::UnpackImageRequest&, CallOptions = {});
  ServerStream<v1::VerifyBundleResponse> VerifyBundle(const v1::VerifyBundleRequest&,
                                                      CallOptions = {});
  absl::StatusOr<v1::DigestBundleResponse> DigestBundle(const v1::DigestBundleRequest&,
                                                        CallOptions = {});
  absl::StatusOr<v1::SaveImageResponse> Save(const v1::SaveImageRequest&, CallOptions = {});
  absl::StatusOr<v1::ImageUsage> GetUsage(CallOptions = {});
  absl::StatusOr<v1::DeleteImageResponse> Delete(const v1::DeleteImageRequest&, CallOptions = {});
  absl::StatusOr<v1::PruneImagesResponse> Prune(const v1::PruneImagesRequest&, CallOptions = {});

  absl::StatusOr<std::vector<v1::Image>> ListAll(CallOptions = {});

 private:
  std::unique_ptr<v1::ImageService::Stub> stub_;
  Address address_;
};

class DeviceClient {
 public:
  DeviceClient(const std::shared_ptr<grpc::Channel>& channel, const Address& address);

  absl::StatusOr<v1::ListDevicesResponse> List(const v1::ListDevicesRequest&, CallOptions = {});
  absl::StatusOr<v1::Device> Get(const v1::GetDeviceRequest&, CallOptions = {});
  absl::StatusOr<v1::ListDeviceErrorsResponse> ListErrors(const v1::ListDeviceErrorsRequest&,
                                                          CallOptions = {});

  absl::StatusOr<std::vector<v1::Device>> ListAll(CallOptions = {});

 private:
  std::unique_ptr<v1::DeviceService::Stub> stub_;
  Address address_;
};

class PluginClient {
 public:
  PluginClient(const std::shared_ptr<grpc::Channel>& channel, const Address& address);

  absl::StatusOr<v1::ListPluginsResponse> List(const v1::ListPluginsRequest&, CallOptions = {});
  absl::StatusOr<v1::Plugin> Get(const v1::GetPluginRequest&, CallOptions = {});

 private:
  std::unique_ptr<v1::PluginService::Stub> stub_;
  Address address_;
};

class SystemClient {
 public:
  SystemClient(const std::shared_ptr<grpc::Channel>& channel, const Address& address);

  absl::StatusOr<v1::Version> GetVersion(CallOptions = {});
  absl::StatusOr<v1::Info> GetInfo(CallOptions = {});
  absl::StatusOr<v1::Capabilities> GetCapabilities(CallOptions = {});
  absl::StatusOr<v1::DebugDump> DumpDebug(CallOptions = {});

 private:
  std::unique_ptr<v1::SystemService::Stub> stub_;
  Address address_;
};

class Client {
 public:
  // Checks the address and makes a channel, which connects with the first call: nobody there is
  // that call's UNAVAILABLE. INVALID_ARGUMENT for what is no address, or for TCP without
  // credentials.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(std::string_view address,
                                                         const ClientOptions& options = {});

  // Waits until the daemon answers at the address; false where it does not within `timeout`.
  bool WaitUntilReachable(absl::Duration timeout);

  const Address& address() const { return address_; }
  ContainerClient& containers() { return containers_; }
  ExecClient& execs() { return execs_; }
  ImageClient& images() { return images_; }
  DeviceClient& devices() { return devices_; }
  PluginClient& plugins() { return plugins_; }
  SystemClient& system() { return system_; }

  ServerStream<v1::LogEntry> ReadLog(const v1::ReadLogRequest&, CallOptions = {});
  ServerStream<v1::Event> WatchEvents(const v1::WatchEventsRequest&, CallOptions = {});

 private:
  Client(const std::shared_ptr<grpc::Channel>& channel, const Address& address);

  Address address_;
  std::shared_ptr<grpc::Channel> channel_;
  ContainerClient containers_;
  ExecClient execs_;
  ImageClient images_;
  DeviceClient devices_;
  PluginClient plugins_;
  SystemClient system_;
  std::unique_ptr<v1::LogService::Stub> logs_;
  std::unique_ptr<v1::EventService::Stub> events_;
};

}  // namespace ocid

#endif  // OCID_CLIENT_CLIENT_H_
