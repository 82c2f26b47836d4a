// ExecService of the API: each RPC checks the form of its request, makes one call of the
// ContainerManager and encodes the answer, in a file of its name. Handlers do not block.
//
// Thread-safe; `api` outlives the service.
#ifndef OCID_DAEMON_API_EXEC_SERVICE_H_
#define OCID_DAEMON_API_EXEC_SERVICE_H_

#include "daemon/api/api_context.h"
#include "proto/ocid/v1/exec.grpc.pb.h"

namespace ocid {

class ExecService final : public v1::ExecService::CallbackService {
 public:
  explicit ExecService(const ApiContext& api) : api_(api) {}

  grpc::ServerUnaryReactor* Create(grpc::CallbackServerContext* context,
                                   const v1::CreateExecRequest* request,
                                   v1::Exec* response) override;
  grpc::ServerUnaryReactor* Start(grpc::CallbackServerContext* context,
                                  const v1::StartExecRequest* request, v1::Exec* response) override;
  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context,
                                const v1::GetExecRequest* request, v1::Exec* response) override;
  grpc::ServerUnaryReactor* Resize(grpc::CallbackServerContext* context,
                                   const v1::ResizeExecRequest* request,
                                   v1::ResizeExecResponse* response) override;
  grpc::ServerUnaryReactor* Wait(grpc::CallbackServerContext* context,
                                 const v1::WaitExecRequest* request,
                                 v1::WaitExecResponse* response) override;
  grpc::ServerUnaryReactor* Kill(grpc::CallbackServerContext* context,
                                 const v1::KillExecRequest* request,
                                 v1::KillExecResponse* response) override;
  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context,
                                 const v1::ListExecsRequest* request,
                                 v1::ListExecsResponse* response) override;
  grpc::ServerUnaryReactor* Delete(grpc::CallbackServerContext* context,
                                   const v1::DeleteExecRequest* request,
                                   v1::DeleteExecResponse* response) override;
  grpc::ServerBidiReactor<v1::AttachRequest, v1::AttachResponse>* Attach(
      grpc::CallbackServerContext* context) override;

 private:
  const ApiContext& api_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_API_EXEC_SERVICE_H_
