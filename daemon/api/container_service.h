// ContainerService of the API: each RPC checks the form of its request, makes one call of the
// ContainerManager and encodes the answer, in a file of its name. Handlers do not block.
//
// Thread-safe; `api` outlives the service.
#ifndef OCID_DAEMON_API_CONTAINER_SERVICE_H_
#define OCID_DAEMON_API_CONTAINER_SERVICE_H_

#include "daemon/api/api_context.h"
#include "proto/ocid/v1/container.grpc.pb.h"

namespace ocid {

class ContainerService final : public v1::ContainerService::CallbackService {
 public:
  explicit ContainerService(const ApiContext& api) : api_(api) {}

  grpc::ServerUnaryReactor* Create(grpc::CallbackServerContext* context,
                                   const v1::CreateContainerRequest* request,
                                   v1::Container* response) override;
  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context,
                                const v1::GetContainerRequest* request,
                                v1::Container* response) override;
  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context,
                                 const v1::ListContainersRequest* request,
                                 v1::ListContainersResponse* response) override;
  grpc::ServerUnaryReactor* Update(grpc::CallbackServerContext* context,
                                   const v1::UpdateContainerRequest* request,
                                   v1::Container* response) override;
  grpc::ServerUnaryReactor* Delete(grpc::CallbackServerContext* context,
                                   const v1::DeleteContainerRequest* request,
                                   v1::DeleteContainerResponse* response) override;
  grpc::ServerUnaryReactor* Start(grpc::CallbackServerContext* context,
                                  const v1::StartContainerRequest* request,
                                  v1::Container* response) override;
  grpc::ServerUnaryReactor* Stop(grpc::CallbackServerContext* context,
                                 const v1::StopContainerRequest* request,
                                 v1::Container* response) override;
  grpc::ServerUnaryReactor* Kill(grpc::CallbackServerContext* context,
                                 const v1::KillContainerRequest* request,
                                 v1::KillContainerResponse* response) override;
  grpc::ServerUnaryReactor* Pause(grpc::CallbackServerContext* context,
                                  const v1::PauseContainerRequest* request,
                                  v1::Container* response) override;
  grpc::ServerUnaryReactor* Resume(grpc::CallbackServerContext* context,
                                   const v1::ResumeContainerRequest* request,
                                   v1::Container* response) override;
  grpc::ServerUnaryReactor* Wait(grpc::CallbackServerContext* context,
                                 const v1::WaitContainerRequest* request,
                                 v1::WaitContainerResponse* response) override;
  grpc::ServerUnaryReactor* ListProcesses(grpc::CallbackServerContext* context,
                                          const v1::ListProcessesRequest* request,
                                          v1::ListProcessesResponse* response) override;
  grpc::ServerUnaryReactor* GetStats(grpc::CallbackServerContext* context,
                                     const v1::GetStatsRequest* request,
                                     v1::ContainerStats* response) override;
  grpc::ServerUnaryReactor* InspectOciSpec(grpc::CallbackServerContext* context,
                                           const v1::InspectOciSpecRequest* request,
                                           v1::OciSpecHistory* response) override;
  grpc::ServerUnaryReactor* RenderOciSpec(grpc::CallbackServerContext* context,
                                          const v1::RenderOciSpecRequest* request,
                                          v1::OciSpecHistory* response) override;
  grpc::ServerUnaryReactor* DetectDrift(grpc::CallbackServerContext* context,
                                        const v1::DetectDriftRequest* request,
                                        v1::DetectDriftResponse* response) override;

 private:
  const ApiContext& api_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_API_CONTAINER_SERVICE_H_
