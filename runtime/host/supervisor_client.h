// SupervisorClient: SupervisorHandle over a ControlChannel.
//
// Thread-safe, as SupervisorHandle is.
#ifndef OCID_RUNTIME_HOST_SUPERVISOR_CLIENT_H_
#define OCID_RUNTIME_HOST_SUPERVISOR_CLIENT_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/host/control_channel.h"
#include "runtime/host/supervisor_handle.h"
#include "runtime/host/supervisor_process.h"

namespace ocid {

class SupervisorClient : public SupervisorHandle {
 public:
  SupervisorClient(std::shared_ptr<ControlChannel> channel,
                   std::shared_ptr<SupervisorProcess> process, ProcessIdentity init);
  ~SupervisorClient() override;

  // The supervisor's callbacks as a channel's.
  static ControlChannel::Events ToEvents(SupervisorCallbacks callbacks);

  // Asks a new supervisor for its init. `plan` holds request.plan.
  static absl::StatusOr<ProcessIdentity> Create(ControlChannel& channel,
                                                const CreateRequest& request, BorrowedFd plan,
                                                absl::Time deadline);

  // What the supervisor knows; `pidfd`, unless null, becomes one of the supervisor.
  static absl::StatusOr<SupervisorStatus> QueryStatus(ControlChannel& channel, UniqueFd* pidfd,
                                                      absl::Time deadline);

  pid_t supervisor_pid() const override { return process_->pid(); }
  ProcessIdentity init() const override { return init_; }
  absl::Status Start(absl::Duration timeout) override;
  absl::Status Signal(int signal, absl::Duration timeout) override;
  absl::Status SignalExec(std::string_view exec_id, int signal, absl::Duration timeout) override;
  absl::StatusOr<ExecStarted> Exec(const ExecRequest& request, absl::Duration timeout) override;
  absl::Status Resize(std::string_view exec_id, uint16_t rows, uint16_t columns,
                      absl::Duration timeout) override;
  absl::Status CloseStdin(std::string_view exec_id, absl::Duration timeout) override;
  absl::StatusOr<UniqueFd> Attach(std::string_view exec_id, AttachOffsets offsets,
                                  absl::Duration timeout) override;
  absl::StatusOr<SupervisorStatus> Status(absl::Duration timeout) override;
  absl::Status RemoveExec(std::string_view exec_id, absl::Duration timeout) override;
  absl::Status Shutdown(absl::Duration timeout) override;
  absl::Status KillSupervisor() override;

 private:
  const std::shared_ptr<ControlChannel> channel_;
  const std::shared_ptr<SupervisorProcess> process_;
  const ProcessIdentity init_;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_HOST_SUPERVISOR_CLIENT_H_
