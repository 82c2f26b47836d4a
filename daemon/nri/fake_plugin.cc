#include "daemon/nri/fake_plugin.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/nri/big_endian.h"
#include "daemon/nri/mux_frame.h"

namespace ocid {
namespace {

UniqueFd Connect(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    throw std::runtime_error(absl::StrCat("connect ", path, ": ", std::strerror(errno)));
  }
  return socket;
}

bool ReadAll(int fd, char* to, size_t count) {
  while (count > 0) {
    const ssize_t got = recv(fd, to, count, 0);
    if (got <= 0) return false;
    to += got;
    count -= static_cast<size_t>(got);
  }
  return true;
}

// What the stub of NRI 0.8 does not have.
bool IsNewMethod(const std::string& method) {
  for (int event = nri::RUN_POD_SANDBOX; event <= nri::POST_UPDATE_POD_SANDBOX; ++event) {
    const auto of = static_cast<nri::Event>(event);
    if (EventMethod(of) == method) return HasLegacyForm(of);
  }
  return false;
}

}  // namespace

FakePlugin::FakePlugin(const std::string& socket_path, Options options)
    : options_(std::move(options)), socket_(Connect(socket_path)) {
  reader_ = std::thread([this] { Run(); });
  if (!options_.register_itself) return;
  nri::RegisterPluginRequest request;
  request.set_plugin_name(options_.name);
  request.set_plugin_idx(options_.index);
  Call("RegisterPlugin", request.SerializeAsString());
}

FakePlugin::~FakePlugin() {
  shutdown(socket_.get(), SHUT_RDWR);
  reader_.join();
}

ttrpc::Response FakePlugin::Answer(const google::protobuf::Message& message) {
  ttrpc::Response response;
  response.set_payload(message.SerializeAsString());
  return response;
}

ttrpc::Response FakePlugin::Error(int code, const std::string& message) {
  ttrpc::Response response;
  response.mutable_status()->set_code(code);
  response.mutable_status()->set_message(message);
  return response;
}

bool FakePlugin::ReadFrame(uint32_t& stream, std::string& payload) {
  char header[kMuxHeaderBytes];
  if (!ReadAll(socket_.get(), header, sizeof(header))) return false;
  stream = GetBigEndian32(header);
  payload.resize(GetBigEndian32(header + 4));
  return ReadAll(socket_.get(), payload.data(), payload.size());
}

void FakePlugin::Run() {
  uint32_t stream = 0;
  std::string payload;
  while (ReadFrame(stream, payload)) TakeFrame(stream, payload);
  {
    MutexLock lock(mutex_);
    closed_ = true;
    changed_.SignalAll();
  }
  for (std::thread& handler : handlers_) handler.join();
}

void FakePlugin::TakeFrame(uint32_t stream, const std::string& payload) {
  std::string& pending = pending_[stream];
  // The stub reads the beginning of a message through a buffer of 4096 bytes, and a frame into one read.
  if (pending.empty() && payload.size() > kFirstFrameBytes) {
    MutexLock lock(mutex_);
    protocol_error_ = absl::StrCat("a first frame of ", payload.size(), " bytes");
  }
  pending.append(payload);
  if (pending.size() < kTtrpcHeaderBytes) return;
  const TtrpcHeader header{.length = GetBigEndian32(pending.data()),
                           .stream = GetBigEndian32(pending.data() + 4),
                           .type = static_cast<TtrpcType>(pending[8])};
  if (pending.size() < kTtrpcHeaderBytes + header.length) return;
  if (pending.size() > kTtrpcHeaderBytes + header.length) {
    MutexLock lock(mutex_);
    protocol_error_ = "two messages in one frame";
  }
  const std::string data = pending.substr(kTtrpcHeaderBytes, header.length);
  pending.clear();
  if (header.type == TtrpcType::kRequest) {
    // In order, unless a handler takes long.
    if (options_.handlers.contains("slow")) {
      handlers_.emplace_back([this, header, data] { TakeRequest(header, data); });
    } else {
      TakeRequest(header, data);
    }
    return;
  }
  MutexLock lock(mutex_);
  answers_[header.stream].ParseFromString(data);
  changed_.SignalAll();
}

void FakePlugin::TakeRequest(const TtrpcHeader& header, const std::string& data) {
  ttrpc::Request request;
  request.ParseFromString(data);
  Send(kMuxPluginStream, header.stream, TtrpcType::kResponse, Handle(request).SerializeAsString());
}

ttrpc::Response FakePlugin::Handle(const ttrpc::Request& request) {
  const std::string& method = request.method();
  if (options_.legacy && IsNewMethod(method)) return Error(12, absl::StrCat("method ", method));
  std::string call = method;
  ttrpc::Response response;
  if (method == "Configure") {
    nri::ConfigureResponse configured;
    configured.set_events(options_.events);
    response = Answer(configured);
  } else if (method == "Synchronize") {
    nri::SynchronizeRequest part;
    part.ParseFromString(request.payload());
    nri::SynchronizeResponse answer;
    answer.set_more(part.more());
    response = Answer(answer);
    MutexLock lock(mutex_);
    ++synchronize_parts_;
    synchronized_.MergeFrom(part);
  } else if (method == "StateChange") {
    nri::StateChangeEvent event;
    event.ParseFromString(request.payload());
    call = absl::StrCat("StateChange ", nri::Event_Name(event.event()), " ", event.pod().id());
  } else {
    nri::StartContainerRequest event;  // the fields of all of them
    event.ParseFromString(request.payload());
    call = absl::StrCat(method, " ", event.pod().id());
  }
  const auto handler = options_.handlers.find(method);
  {
    MutexLock lock(mutex_);
    calls_.push_back(call);
    changed_.SignalAll();
  }
  return handler == options_.handlers.end() ? response : handler->second(request);
}

void FakePlugin::Send(uint32_t mux, uint32_t stream, TtrpcType type, const std::string& data) {
  const auto message = EncodeTtrpcHeader(
      {.length = static_cast<uint32_t>(data.size()), .stream = stream, .type = type});
  const auto frame = EncodeMuxHeader(mux, message.size() + data.size());
  std::string bytes(frame.data(), frame.size());
  bytes.append(message.data(), message.size()).append(data);
  MutexLock lock(write_mutex_);
  for (size_t sent = 0; sent < bytes.size();) {
    const ssize_t more = send(socket_.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (more <= 0) return;
    sent += static_cast<size_t>(more);
  }
}

ttrpc::Response FakePlugin::Call(const std::string& method, const std::string& payload) {
  ttrpc::Request request;
  request.set_service("nri.pkg.api.v1alpha1.Runtime");
  request.set_method(method);
  request.set_payload(payload);
  uint32_t stream = 0;
  {
    MutexLock lock(mutex_);
    stream = next_stream_;
    next_stream_ += 2;
  }
  Send(kMuxRuntimeStream, stream, TtrpcType::kRequest, request.SerializeAsString());
  MutexLock lock(mutex_);
  const absl::Time end = absl::Now() + absl::Seconds(5);
  while (!answers_.contains(stream) && !closed_ && absl::Now() < end) {
    changed_.WaitUntil(mutex_, end);
  }
  const auto answer = answers_.find(stream);
  return answer == answers_.end() ? Error(14, "no answer") : answer->second;
}

bool FakePlugin::WaitUntil(const std::function<bool()>& condition) const {
  const absl::Time end = absl::Now() + absl::Seconds(5);
  MutexLock lock(mutex_);
  while (!condition() && absl::Now() < end) changed_.WaitUntil(mutex_, end);
  return condition();
}

bool FakePlugin::WaitForCall(const std::string& call) const {
  return WaitUntil([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return std::find(calls_.begin(), calls_.end(), call) != calls_.end();
  });
}

bool FakePlugin::WaitForClose() const {
  return WaitUntil([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return closed_; });
}

std::vector<std::string> FakePlugin::calls() const {
  MutexLock lock(mutex_);
  return calls_;
}

nri::SynchronizeRequest FakePlugin::synchronized() const {
  MutexLock lock(mutex_);
  return synchronized_;
}

int FakePlugin::synchronize_parts() const {
  MutexLock lock(mutex_);
  return synchronize_parts_;
}

bool FakePlugin::closed() const {
  MutexLock lock(mutex_);
  return closed_;
}

std::string FakePlugin::protocol_error() const {
  MutexLock lock(mutex_);
  return protocol_error_;
}

}  // namespace ocid
