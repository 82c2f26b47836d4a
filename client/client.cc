#include "client/client.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/support/channel_arguments.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/error.h"

namespace ocid {
namespace {

// A spec may have a few MiB, and a full history holds it several times: gRPC's 4 MiB are too few.
constexpr int kMaxReceiveBytes = 256 << 20;
constexpr int kMaxFrameBytes = 256 << 10;

std::unique_ptr<grpc::ClientContext> MakeContext(const CallOptions& options) {
  auto context = std::make_unique<grpc::ClientContext>();
  if (options.timeout != absl::InfiniteDuration()) {
    context->set_deadline(absl::ToChronoTime(absl::Now() + options.timeout));
  }
  return context;
}

// gRPC's own text for "nobody answers" is long and ends in an errno; ask the kernel for that errno.
absl::Status Explain(absl::Status status, const Address& address) {
  if (status.code() != absl::StatusCode::kUnavailable || !DecodeError(status).reason.empty()) {
    return status;
  }
  std::string why = address.is_unix() ? ProbeUnixSocket(address.unix_path) : "";
  if (why.empty()) why = std::string(status.message());
  return absl::UnavailableError(absl::StrCat("no answer from ", address.text, ": ", why));
}

template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> Call(
    Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
    const Request& request, const CallOptions& options, const Address& address) {
  const std::unique_ptr<grpc::ClientContext> context = MakeContext(options);
  Response response;
  const grpc::Status status = (stub.*method)(context.get(), request, &response);
  if (!status.ok()) return Explain(FromGrpcStatus(status), address);
  return response;
}

}  // namespace

template <typename Message>
ServerStream<Message>::~ServerStream() {
  if (reader_ == nullptr) return;
  context_->TryCancel();
  // Nobody is left to tell: the caller did not ask how it ended.
  static_cast<void>(reader_->Finish());
}

template <typename Message>
absl::Status ServerStream<Message>::Finish() {
  const grpc::Status status = reader_->Finish();
  reader_.reset();
  return Explain(FromGrpcStatus(status), address_);
}

template class ServerStream<v1::LogEntry>;
template class ServerStream<v1::Event>;
template class ServerStream<v1::PullImageResponse>;
template class ServerStream<v1::VerifyBundleResponse>;

AttachStream::~AttachStream() {
  if (finished_) return;
  context_->TryCancel();
  static_cast<void>(stream_->Finish());
}

absl::Status AttachStream::Finish() {
  finished_ = true;
  return Explain(FromGrpcStatus(stream_->Finish()), address_);
}

ContainerClient::ContainerClient(const std::shared_ptr<grpc::Channel>& channel,
                                 const Address& address)
    : stub_(v1::ContainerService::NewStub(channel)), address_(address) {}

absl::StatusOr<v1::Container> ContainerClient::Create(const v1::CreateContainerRequest& request,
                                                      CallOptions options) {
  return Call(*stub_, &v1::ContainerService::Stub::Create, request, options, address_);
}

absl::StatusOr<v1::Container> ContainerClient::Get(const v1::GetContainerRequest& request,
                                                   CallOptions options) {
  return Call(*stub_, &v1::ContainerService::Stub::Get, request, options, address_);
}

absl::StatusOr<v1::ListContainersResponse> ContainerClient::List(
    const v1::ListContainersRequest& request, CallOptions options) {
  return Call(*stub_, &v1::ContainerService::Stub::List, request, options, address_);
}

absl::StatusOr<v1::Container> ContainerClient::Update(const v1::UpdateContainerRequest& request,
                                                      CallOptions options) {
  return Call(*stub_, &v1::ContainerService::Stub::Update, request, options, address_);
}

absl::Status ContainerClient::Delete(const v1::DeleteContainerRequest& request,
                                     CallOptions options) {
  return Call(*stub_, &v1::ContainerService::Stub::Delete, request, options, address_).status();
}

absl::StatusOr<v1::Container> ContainerClient::Start(const v1::StartContainerRequest& request,
                                                     CallOptions options) {
  return Call(*stub_, &v1::ContainerService::Stub::Start, request, options, address_);
}

absl::StatusOr<v1::Container> ContainerClient::Stop(const v1::StopContainerRequest& request,
                                                    CallOptions options) {
  return Call(*stub_, &v1::ContainerService::Stub::Stop, request, options, address_);
}

absl::Status ContainerClient::Kill(const v1::KillContainerRequest& request, CallOptions options) {
  return Call(*stub_, &v1::ContainerService::Stub::Kill, request, options, address_).status();
}

absl::StatusOr<v1::Container> ContainerClient::Pause(const v1::PauseContainerRequest& request,
                                                     CallOptions options) {
  return Call(*stub_, &v1::ContainerService::Stub::Pause, request, options, address_);
}

absl::StatusOr<v1::Container> ContainerClient::Resume(const v1::ResumeContainerRequest& request,
                                                      CallOptions options) {
  return Call(*stub_, &v1::ContainerService::Stub::Resume, request, options, address_);
}

absl::StatusOr<v1::WaitContainerResponse> ContainerClient::Wait(
    const v1::WaitContainerRequest& request, CallOptions options) {
  return Call(*stub_, &v1::ContainerService::Stub::Wait, request, options, address_);
}

absl::StatusOr<v1::ListProcessesResponse> ContainerClient::ListProcesses(
    const v1::ListProcessesRequest& request, CallOptions options) {
  return Call(*stub_, &v1::ContainerService::Stub::ListProcesses, request, options, address_);
}

absl::StatusOr<v1::ContainerStats> ContainerClient::GetStats(const v1::GetStatsRequest& request,
                                                             CallOptions options) {
  return Call(*stub_, &v1::ContainerService::Stub::GetStats, request, options, address_);
}

absl::StatusOr<v1::OciSpecHistory> ContainerClient::InspectOciSpec(
    const v1::InspectOciSpecRequest& request, CallOptions options) {
  return Call(*stub_, &v1::ContainerService::Stub::InspectOciSpec, request, options, address_);
}

absl::StatusOr<v1::OciSpecHistory> ContainerClient::RenderOciSpec(
    const v1::RenderOciSpecRequest& request, CallOptions options) {
  return Call(*stub_, &v1::ContainerService::Stub::RenderOciSpec, request, options, address_);
}

absl::StatusOr<v1::DetectDriftResponse> ContainerClient::DetectDrift(
    const v1::DetectDriftRequest& request, CallOptions options) {
  return Call(*stub_, &v1::ContainerService::Stub::DetectDrift, request, options, address_);
}

absl::StatusOr<std::vector<v1::Container>> ContainerClient::ListAll(
    v1::ListContainersRequest request, CallOptions options) {
  std::vector<v1::Container> all;
  request.clear_page_token();
  do {
    auto page = List(request, options);
    if (!page.ok()) return page.status();
    for (v1::Container& one : *page->mutable_containers()) all.push_back(std::move(one));
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return all;
}

ExecClient::ExecClient(const std::shared_ptr<grpc::Channel>& channel, const Address& address)
    : stub_(v1::ExecService::NewStub(channel)), address_(address) {}

absl::StatusOr<v1::Exec> ExecClient::Create(const v1::CreateExecRequest& request,
                                            CallOptions options) {
  return Call(*stub_, &v1::ExecService::Stub::Create, request, options, address_);
}

absl::StatusOr<v1::Exec> ExecClient::Start(const v1::StartExecRequest& request,
                                           CallOptions options) {
  return Call(*stub_, &v1::ExecService::Stub::Start, request, options, address_);
}

absl::StatusOr<v1::Exec> ExecClient::Get(const v1::GetExecRequest& request, CallOptions options) {
  return Call(*stub_, &v1::ExecService::Stub::Get, request, options, address_);
}

std::unique_ptr<AttachStream> ExecClient::Attach(CallOptions options) {
  std::unique_ptr<grpc::ClientContext> context = MakeContext(options);
  auto stream = stub_->Attach(context.get());
  return std::make_unique<AttachStream>(std::move(context), std::move(stream), address_);
}

absl::Status ExecClient::Resize(const v1::ResizeExecRequest& request, CallOptions options) {
  return Call(*stub_, &v1::ExecService::Stub::Resize, request, options, address_).status();
}

absl::StatusOr<v1::WaitExecResponse> ExecClient::Wait(const v1::WaitExecRequest& request,
                                                      CallOptions options) {
  return Call(*stub_, &v1::ExecService::Stub::Wait, request, options, address_);
}

absl::Status ExecClient::Kill(const v1::KillExecRequest& request, CallOptions options) {
  return Call(*stub_, &v1::ExecService::Stub::Kill, request, options, address_).status();
}

absl::StatusOr<v1::ListExecsResponse> ExecClient::List(const v1::ListExecsRequest& request,
                                                       CallOptions options) {
  return Call(*stub_, &v1::ExecService::Stub::List, request, options, address_);
}

absl::Status ExecClient::Delete(const v1::DeleteExecRequest& request, CallOptions options) {
  return Call(*stub_, &v1::ExecService::Stub::Delete, request, options, address_).status();
}

ImageClient::ImageClient(const std::shared_ptr<grpc::Channel>& channel, const Address& address)
    : stub_(v1::ImageService::NewStub(channel)), address_(address) {}

ServerStream<v1::PullImageResponse> ImageClient::Pull(const v1::PullImageRequest& request,
                                                      CallOptions options) {
  std::unique_ptr<grpc::ClientContext> context = MakeContext(options);
  auto reader = stub_->Pull(context.get(), request);
  return {std::move(context), std::move(reader), address_};
}

absl::StatusOr<v1::Image> ImageClient::Load(const v1::LoadImageRequest& request,
                                            CallOptions options) {
  return Call(*stub_, &v1::ImageService::Stub::Load, request, options, address_);
}

absl::StatusOr<v1::Image> ImageClient::Get(const v1::GetImageRequest& request,
                                           CallOptions options) {
  return Call(*stub_, &v1::ImageService::Stub::Get, request, options, address_);
}

absl::StatusOr<v1::ListImagesResponse> ImageClient::List(const v1::ListImagesRequest& request,
                                                         CallOptions options) {
  return Call(*stub_, &v1::ImageService::Stub::List, request, options, address_);
}

absl::StatusOr<v1::InspectImageResponse> ImageClient::Inspect(
    const v1::InspectImageRequest& request, CallOptions options) {
  return Call(*stub_, &v1::ImageService::Stub::Inspect, request, options, address_);
}

absl::StatusOr<v1::UnpackImageResponse> ImageClient::Unpack(const v1::UnpackImageRequest& request,
                                                            CallOptions options) {
  return Call(*stub_, &v1::ImageService::Stub::Unpack, request, options, address_);
}

ServerStream<v1::VerifyBundleResponse> ImageClient::VerifyBundle(
    const v1::VerifyBundleRequest& request, CallOptions options) {
  std::unique_ptr<grpc::ClientContext> context = MakeContext(options);
  auto reader = stub_->VerifyBundle(context.get(), request);
  return {std::move(context), std::move(reader), address_};
}

absl::StatusOr<v1::DigestBundleResponse> ImageClient::DigestBundle(
    const v1::DigestBundleRequest& request, CallOptions options) {
  return Call(*stub_, &v1::ImageService::Stub::DigestBundle, request, options, address_);
}

absl::StatusOr<v1::SaveImageResponse> ImageClient::Save(const v1::SaveImageRequest& request,
                                                        CallOptions options) {
  return Call(*stub_, &v1::ImageService::Stub::Save, request, options, address_);
}

absl::StatusOr<v1::ImageUsage> ImageClient::GetUsage(CallOptions options) {
  return Call(*stub_, &v1::ImageService::Stub::GetUsage, v1::GetImageUsageRequest(), options,
              address_);
}

absl::StatusOr<v1::DeleteImageResponse> ImageClient::Delete(const v1::DeleteImageRequest& request,
                                                            CallOptions options) {
  return Call(*stub_, &v1::ImageService::Stub::Delete, request, options, address_);
}

absl::StatusOr<v1::PruneImagesResponse> ImageClient::Prune(const v1::PruneImagesRequest& request,
                                                           CallOptions options) {
  return Call(*stub_, &v1::ImageService::Stub::Prune, request, options, address_);
}

absl::StatusOr<std::vector<v1::Image>> ImageClient::ListAll(CallOptions options) {
  std::vector<v1::Image> all;
  v1::ListImagesRequest request;
  do {
    auto page = List(request, options);
    if (!page.ok()) return page.status();
    for (v1::Image& one : *page->mutable_images()) all.push_back(std::move(one));
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return all;
}

DeviceClient::DeviceClient(const std::shared_ptr<grpc::Channel>& channel, const Address& address)
    : stub_(v1::DeviceService::NewStub(channel)), address_(address) {}

absl::StatusOr<v1::ListDevicesResponse> DeviceClient::List(const v1::ListDevicesRequest& request,
                                                           CallOptions options) {
  return Call(*stub_, &v1::DeviceService::Stub::List, request, options, address_);
}

absl::StatusOr<v1::Device> DeviceClient::Get(const v1::GetDeviceRequest& request,
                                             CallOptions options) {
  return Call(*stub_, &v1::DeviceService::Stub::Get, request, options, address_);
}

absl::StatusOr<v1::ListDeviceErrorsResponse> DeviceClient::ListErrors(
    const v1::ListDeviceErrorsRequest& request, CallOptions options) {
  return Call(*stub_, &v1::DeviceService::Stub::ListErrors, request, options, address_);
}

absl::StatusOr<std::vector<v1::Device>> DeviceClient::ListAll(CallOptions options) {
  std::vector<v1::Device> all;
  v1::ListDevicesRequest request;
  do {
    auto page = List(request, options);
    if (!page.ok()) return page.status();
    for (v1::Device& one : *page->mutable_devices()) all.push_back(std::move(one));
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return all;
}

PluginClient::PluginClient(const std::shared_ptr<grpc::Channel>& channel, const Address& address)
    : stub_(v1::PluginService::NewStub(channel)), address_(address) {}

absl::StatusOr<v1::ListPluginsResponse> PluginClient::List(const v1::ListPluginsRequest& request,
                                                           CallOptions options) {
  return Call(*stub_, &v1::PluginService::Stub::List, request, options, address_);
}

absl::StatusOr<v1::Plugin> PluginClient::Get(const v1::GetPluginRequest& request,
                                             CallOptions options) {
  return Call(*stub_, &v1::PluginService::Stub::Get, request, options, address_);
}

SystemClient::SystemClient(const std::shared_ptr<grpc::Channel>& channel, const Address& address)
    : stub_(v1::SystemService::NewStub(channel)), address_(address) {}

absl::StatusOr<v1::Version> SystemClient::GetVersion(CallOptions options) {
  return Call(*stub_, &v1::SystemService::Stub::GetVersion, v1::GetVersionRequest(), options,
              address_);
}

absl::StatusOr<v1::Info> SystemClient::GetInfo(CallOptions options) {
  return Call(*stub_, &v1::SystemService::Stub::GetInfo, v1::GetInfoRequest(), options, address_);
}

absl::StatusOr<v1::DebugDump> SystemClient::DumpDebug(CallOptions options) {
  return Call(*stub_, &v1::SystemService::Stub::DumpDebug, v1::DumpDebugRequest(), options,
              address_);
}

absl::StatusOr<v1::Capabilities> SystemClient::GetCapabilities(CallOptions options) {
  return Call(*stub_, &v1::SystemService::Stub::GetCapabilities, v1::GetCapabilitiesRequest(),
              options, address_);
}

Client::Client(const std::shared_ptr<grpc::Channel>& channel, const Address& address)
    : address_(address),
      channel_(channel),
      containers_(channel, address),
      execs_(channel, address),
      images_(channel, address),
      devices_(channel, address),
      plugins_(channel, address),
      system_(channel, address),
      logs_(v1::LogService::NewStub(channel)),
      events_(v1::EventService::NewStub(channel)) {}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> ReadTlsCredentials(
    const ClientTlsFiles& files) {
  grpc::SslCredentialsOptions options;
  const std::pair<const std::string*, std::string*> all[] = {
      {&files.certificate, &options.pem_cert_chain},
      {&files.key, &options.pem_private_key},
      {&files.authorities, &options.pem_root_certs}};
  for (const auto& [path, text] : all) {
    std::ifstream file(*path, std::ios::binary);
    text->assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    if (!file || text->empty()) {
      return absl::InvalidArgumentError(absl::StrCat("TLS: cannot read \"", *path, "\""));
    }
  }
  return grpc::SslCredentials(options);
}

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(std::string_view address,
                                                        const ClientOptions& options) {
  const absl::StatusOr<Address> parsed = ParseAddress(address);
  if (!parsed.ok()) return parsed.status();
  std::shared_ptr<grpc::ChannelCredentials> credentials = options.credentials;
  if (credentials == nullptr) {
    if (!parsed->is_unix()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "address \"", parsed->text, "\": TCP needs a certificate, its key and the daemon's authority (TLS)"));
    }
    credentials = grpc::InsecureChannelCredentials();
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  // No proxy and no service config stand between us and a local socket: do not look for them.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  // Streams of processes come in large messages: not cut into pieces of 16 KiB.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kMaxFrameBytes);
  // A daemon that restarts is back within a second, and trying a local socket costs nothing.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
  return std::unique_ptr<Client>(
      new Client(grpc::CreateCustomChannel(parsed->target, credentials, arguments), *parsed));
}

bool Client::WaitUntilReachable(absl::Duration timeout) {
  return channel_->WaitForConnected(absl::ToChronoTime(absl::Now() + timeout));
}

ServerStream<v1::LogEntry> Client::ReadLog(const v1::ReadLogRequest& request, CallOptions options) {
  std::unique_ptr<grpc::ClientContext> context = MakeContext(options);
  auto reader = logs_->Read(context.get(), request);
  return {std::move(context), std::move(reader), address_};
}

ServerStream<v1::Event> Client::WatchEvents(const v1::WatchEventsRequest& request,
                                            CallOptions options) {
  std::unique_ptr<grpc::ClientContext> context = MakeContext(options);
  auto reader = events_->Watch(context.get(), request);
  return {std::move(context), std::move(reader), address_};
}

}  // namespace ocid
