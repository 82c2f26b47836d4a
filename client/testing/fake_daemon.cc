#include "client/testing/fake_daemon.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/unknown_field_set.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proto/ocid/v1/container.grpc.pb.h"
#include "proto/ocid/v1/event.grpc.pb.h"
#include "proto/ocid/v1/exec.grpc.pb.h"
#include "proto/ocid/v1/log.grpc.pb.h"
#include "proto/ocid/v1/system.grpc.pb.h"
#include "runtime/base/mutex.h"

namespace ocid::testing {
namespace {

using google::protobuf::UnknownFieldSet;
using grpc::ServerContext;
using grpc::Status;
using grpc::StatusCode;

std::string Encode(const UnknownFieldSet& fields) {
  std::string bytes;
  static_cast<void>(fields.SerializeToString(&bytes));
  return bytes;
}

std::string Detail(const std::string& type, const UnknownFieldSet& message) {
  google::protobuf::Any any;
  any.set_type_url("type.googleapis.com/" + type);
  any.set_value(Encode(message));
  return any.SerializeAsString();
}

// A status with an ErrorInfo, and with a BadRequest where there are violations.
Status Error(StatusCode code, const std::string& message, const std::string& reason,
             const std::vector<std::pair<std::string, std::string>>& violations = {}) {
  UnknownFieldSet info;
  info.AddLengthDelimited(1, reason);
  info.AddLengthDelimited(2, "ocid");
  UnknownFieldSet status;
  status.AddVarint(1, static_cast<uint64_t>(code));
  status.AddLengthDelimited(2, message);
  status.AddLengthDelimited(3, Detail("google.rpc.ErrorInfo", info));
  if (!violations.empty()) {
    UnknownFieldSet request;
    for (const auto& [field, description] : violations) {
      UnknownFieldSet violation;
      violation.AddLengthDelimited(1, field);
      violation.AddLengthDelimited(2, description);
      request.AddLengthDelimited(1, Encode(violation));
    }
    status.AddLengthDelimited(3, Detail("google.rpc.BadRequest", request));
  }
  return Status(code, message, Encode(status));
}

Status NoContainer(const std::string& id) {
  return Error(StatusCode::NOT_FOUND, "no container \"" + id + "\"", "CONTAINER_NOT_FOUND");
}

}  // namespace

struct FakeDaemon::State {
  mutable Mutex mutex;
  std::map<std::string, v1::Container> containers;
  v1::OciSpecHistory history;
  std::string output;
  std::string errors;
  int exit_code = 0;
  v1::CreateContainerRequest last_create;
  v1::CreateExecRequest last_exec;
  v1::UpdateContainerRequest last_update;
  std::vector<std::string> deleted;
  std::string received_stdin;
  CondVar changed;

  std::string directory;
  std::vector<std::unique_ptr<grpc::Service>> services;
  std::unique_ptr<grpc::Server> server;
};

namespace {

// Create: a bundle whose path ends in "missing" is BUNDLE_INVALID, one that ends in "broken" breaks
// the schema in two places. Start: a container named "noexec" has no program. List: pages of two.
class Containers final : public v1::ContainerService::Service {
 public:
  explicit Containers(FakeDaemon::State& state) : state_(state) {}

 private:
  Status Create(ServerContext*, const v1::CreateContainerRequest* request,
                v1::Container* response) override {
    const MutexLock lock(state_.mutex);
    state_.last_create = *request;
    const std::string& bundle = request->config().bundle();
    if (bundle.ends_with("missing")) {
      return Error(StatusCode::INVALID_ARGUMENT, "bundle " + bundle + ": config.json: no such file",
                   "BUNDLE_INVALID");
    }
    if (bundle.ends_with("broken")) {
      return Error(StatusCode::INVALID_ARGUMENT, "the spec breaks the schema", "SPEC_INVALID",
                   {{"/process/cwd", "required"}, {"/root/path", "not a string"}});
    }
    response->set_id(request->container_id());
    response->set_state(v1::CONTAINER_STATE_CREATED);
    if (!request->validate_only()) state_.containers[request->container_id()] = *response;
    return Status::OK;
  }

  Status Get(ServerContext*, const v1::GetContainerRequest* request,
             v1::Container* response) override {
    const MutexLock lock(state_.mutex);
    return Find(request->container_id(), response);
  }

  Status List(ServerContext*, const v1::ListContainersRequest* request,
              v1::ListContainersResponse* response) override {
    const MutexLock lock(state_.mutex);
    auto it = state_.containers.upper_bound(request->page_token());
    for (; it != state_.containers.end() && response->containers_size() < 2; ++it) {
      *response->add_containers() = it->second;
    }
    if (it != state_.containers.end()) {
      response->set_next_page_token(std::prev(it)->first);
    }
    return Status::OK;
  }

  Status Update(ServerContext*, const v1::UpdateContainerRequest* request,
                v1::Container* response) override {
    const MutexLock lock(state_.mutex);
    state_.last_update = *request;
    return Find(request->container_id(), response);
  }

  Status Delete(ServerContext*, const v1::DeleteContainerRequest* request,
                v1::DeleteContainerResponse*) override {
    const MutexLock lock(state_.mutex);
    if (state_.containers.erase(request->container_id()) == 0) {
      return NoContainer(request->container_id());
    }
    state_.deleted.push_back(request->container_id());
    return Status::OK;
  }

  Status Start(ServerContext*, const v1::StartContainerRequest* request,
               v1::Container* response) override {
    const MutexLock lock(state_.mutex);
    if (request->container_id() == "noexec") {
      return Error(StatusCode::FAILED_PRECONDITION, "start noexec: /bin/nothing: not found",
                   "EXECUTABLE_NOT_FOUND");
    }
    const auto it = state_.containers.find(request->container_id());
    if (it == state_.containers.end()) return NoContainer(request->container_id());
    it->second.set_state(v1::CONTAINER_STATE_RUNNING);
    it->second.set_pid(4711);
    *response = it->second;
    state_.changed.SignalAll();
    return Status::OK;
  }

  // Blocks until the call is cancelled for "forever"; else the exit code is there at once.
  Status Wait(ServerContext* context, const v1::WaitContainerRequest* request,
              v1::WaitContainerResponse* response) override {
    const MutexLock lock(state_.mutex);
    while (request->container_id() == "forever" && !context->IsCancelled()) {
      static_cast<void>(
          state_.changed.WaitUntil(state_.mutex, absl::Now() + absl::Milliseconds(20)));
    }
    v1::Container container;
    if (Status status = Find(request->container_id(), &container); !status.ok()) return status;
    response->mutable_exit_status()->set_code(state_.exit_code);
    response->mutable_exit_status()->set_known(true);
    return Status::OK;
  }

  Status InspectOciSpec(ServerContext*, const v1::InspectOciSpecRequest* request,
                        v1::OciSpecHistory* response) override {
    const MutexLock lock(state_.mutex);
    v1::Container container;
    if (Status status = Find(request->container_id(), &container); !status.ok()) return status;
    *response = state_.history;
    return Status::OK;
  }

  Status Find(const std::string& id, v1::Container* out)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_.mutex) {
    const auto it = state_.containers.find(id);
    if (it == state_.containers.end()) return NoContainer(id);
    *out = it->second;
    return Status::OK;
  }

  FakeDaemon::State& state_;
};

// Attach: writes what SetProcess gave and ends with its exit code, after the container was started
// and, where the client sends standard input, after its end.
class Execs final : public v1::ExecService::Service {
 public:
  explicit Execs(FakeDaemon::State& state) : state_(state) {}

 private:
  Status Create(ServerContext*, const v1::CreateExecRequest* request, v1::Exec* response) override {
    const MutexLock lock(state_.mutex);
    state_.last_exec = *request;
    if (!state_.containers.contains(request->container_id())) {
      return NoContainer(request->container_id());
    }
    response->set_container_id(request->container_id());
    response->set_id(request->exec_id().empty() ? "made-up" : request->exec_id());
    return Status::OK;
  }

  Status Attach(ServerContext* context,
                grpc::ServerReaderWriter<v1::AttachResponse, v1::AttachRequest>* stream) override {
    v1::AttachRequest request;
    if (!stream->Read(&request) || !request.has_open()) {
      return Status(StatusCode::INVALID_ARGUMENT, "open must come first");
    }
    const v1::AttachRequest::Open open = request.open();
    const std::string id = open.container_id();
    v1::AttachResponse response;
    response.mutable_opened()->set_stdout_offset(open.stdout_offset());
    stream->Write(response);
    bool reads_stdin = false;
    std::string output;
    std::string errors;
    int exit_code = 0;
    {
      const MutexLock lock(state_.mutex);
      while (!context->IsCancelled() &&
             state_.containers[id].state() != v1::CONTAINER_STATE_RUNNING) {
        static_cast<void>(
            state_.changed.WaitUntil(state_.mutex, absl::Now() + absl::Milliseconds(10)));
      }
      reads_stdin = open.exec_id().empty() ? state_.last_create.config().open_stdin()
                                           : state_.last_exec.config().open_stdin();
      output = state_.output;
      errors = state_.errors;
      exit_code = state_.exit_code;
    }
    while (reads_stdin && stream->Read(&request) && !request.close_stdin()) {
      const MutexLock lock(state_.mutex);
      state_.received_stdin += request.stdin();
    }
    const uint64_t offset = std::min<uint64_t>(open.stdout_offset(), output.size());
    const bool dies = id == "flaky" && offset == 0;
    response.mutable_stdout()->set_offset(offset);
    response.mutable_stdout()->set_data(dies ? output.substr(0, 1) : output.substr(offset));
    stream->Write(response);
    if (dies) return Status(StatusCode::UNAVAILABLE, "gone");
    response.mutable_stderr()->set_data(errors);
    stream->Write(response);
    response.mutable_exit()->set_code(exit_code);
    response.mutable_exit()->set_known(true);
    stream->Write(response);
    return Status::OK;
  }

  FakeDaemon::State& state_;
};

// Three lines: one on standard error, one with no newline.
class Logs final : public v1::LogService::Service {
  Status Read(ServerContext*, const v1::ReadLogRequest* request,
              grpc::ServerWriter<v1::LogEntry>* writer) override {
    if (request->container_id() == "nothing") return NoContainer("nothing");
    v1::LogEntry entry;
    entry.mutable_time()->set_seconds(1);
    entry.set_stream(v1::LOG_STREAM_STDOUT);
    entry.set_data("first\n");
    writer->Write(entry);
    entry.set_stream(v1::LOG_STREAM_STDERR);
    entry.set_data("problem\n");
    writer->Write(entry);
    entry.set_stream(v1::LOG_STREAM_STDOUT);
    entry.set_data("last");
    writer->Write(entry);
    return Status::OK;
  }
};

class Events final : public v1::EventService::Service {
  Status Watch(ServerContext*, const v1::WatchEventsRequest* request,
               grpc::ServerWriter<v1::Event>* writer) override {
    v1::Event event;
    event.set_sequence(request->from_sequence());
    event.set_type(v1::Event::STATE_CHANGED);
    event.set_container_id("web");
    event.set_previous_state(v1::CONTAINER_STATE_RUNNING);
    event.set_state(v1::CONTAINER_STATE_STOPPED);
    event.mutable_exit_status()->set_code(3);
    writer->Write(event);
    return Status::OK;
  }
};

// GetInfo is left as generated code answers: UNIMPLEMENTED.
class System final : public v1::SystemService::Service {
  Status GetVersion(ServerContext*, const v1::GetVersionRequest*, v1::Version* response) override {
    response->set_version("9.8.7");
    response->set_api_version("ocid.v1");
    return Status::OK;
  }
};

}  // namespace

FakeDaemon::FakeDaemon() : state_(std::make_unique<State>()) {
  std::string pattern = (std::filesystem::temp_directory_path() / "ocid-fake-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) std::abort();
  state_->directory = pattern;
  state_->services.push_back(std::make_unique<Containers>(*state_));
  state_->services.push_back(std::make_unique<Execs>(*state_));
  state_->services.push_back(std::make_unique<Logs>());
  state_->services.push_back(std::make_unique<Events>());
  state_->services.push_back(std::make_unique<System>());
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address(), grpc::InsecureServerCredentials());
  for (const auto& service : state_->services) builder.RegisterService(service.get());
  state_->server = builder.BuildAndStart();
  if (state_->server == nullptr) std::abort();
}

FakeDaemon::~FakeDaemon() {
  state_->server->Shutdown(std::chrono::system_clock::now());
  state_->server->Wait();
  std::error_code ignored;
  std::filesystem::remove_all(state_->directory, ignored);
}

std::string FakeDaemon::address() const { return "unix://" + state_->directory + "/ocid.sock"; }

void FakeDaemon::AddContainer(const v1::Container& container) {
  const MutexLock lock(state_->mutex);
  state_->containers[container.id()] = container;
}

void FakeDaemon::SetHistory(const v1::OciSpecHistory& history) {
  const MutexLock lock(state_->mutex);
  state_->history = history;
}

void FakeDaemon::SetProcess(std::string output, std::string errors, int exit_code) {
  const MutexLock lock(state_->mutex);
  state_->output = std::move(output);
  state_->errors = std::move(errors);
  state_->exit_code = exit_code;
}

v1::CreateContainerRequest FakeDaemon::last_create() const {
  const MutexLock lock(state_->mutex);
  return state_->last_create;
}

v1::CreateExecRequest FakeDaemon::last_exec() const {
  const MutexLock lock(state_->mutex);
  return state_->last_exec;
}

v1::UpdateContainerRequest FakeDaemon::last_update() const {
  const MutexLock lock(state_->mutex);
  return state_->last_update;
}

std::vector<std::string> FakeDaemon::deleted() const {
  const MutexLock lock(state_->mutex);
  return state_->deleted;
}

std::string FakeDaemon::received_stdin() const {
  const MutexLock lock(state_->mutex);
  return state_->received_stdin;
}

}  // namespace ocid::testing
