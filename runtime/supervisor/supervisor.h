// Supervisor: the process that stands between one container and everybody else.
//
// It launches the container's init and its execs, owns their standard input and output, reaps them,
// and tells the daemon what it asks (control_protocol.h). It needs no daemon to go on: the init's
// output goes to `log` and its end to `exit` in the container's directory, whoever listens.
//
// It ends by kShutdown; when the create failed; or when the daemon went away before it asked for
// one. Not by itself when the init has gone: the exit codes and the last output of execs are
// nowhere else, and an idle supervisor costs next to nothing.
//
// An exit is recorded, then reaped, then told: until it is reaped its PID cannot be reused, so a
// daemon that compares PID and start time is never wrong.
//
// Thread-hostile; the process has this one thread. Blocks while a launch's hooks run, and while the
// file system of the log does.
#ifndef OCID_RUNTIME_SUPERVISOR_SUPERVISOR_H_
#define OCID_RUNTIME_SUPERVISOR_SUPERVISOR_H_

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/unique_fd.h"
#include "runtime/launch/launcher.h"
#include "runtime/supervisor/control_protocol.h"
#include "runtime/supervisor/control_server.h"
#include "runtime/supervisor/event_loop.h"
#include "runtime/supervisor/log_writer.h"
#include "runtime/supervisor/process_io.h"

namespace ocid {

// A plan in memory, as long as somebody may have to read it.
class MappedPlan {
 public:
  MappedPlan() = default;
  MappedPlan(const MappedPlan&) = delete;
  MappedPlan& operator=(const MappedPlan&) = delete;
  ~MappedPlan() { Reset(); }

  // Maps a memfd that is sealed against any change. Returns 0 or an errno.
  int Map(UniqueFd fd);
  void Reset();

  const PlanView& view() const { return view_; }
  BorrowedFd fd() const { return fd_; }

 private:
  UniqueFd fd_;
  void* bytes_ = nullptr;
  size_t size_ = 0;
  PlanView view_;
};

class Supervisor {
 public:
  struct Fds {
    UniqueFd control;
    UniqueFd listener;
    UniqueFd container_dir;
  };

  explicit Supervisor(Fds fds);

  // Returns the exit code of the process.
  int Run();

 private:
  struct Process;

  static void HandleRequest(void* self, Request& request, ReplyTo to);
  static void SignalReady(void* self, uint32_t events);
  static void StatusReady(void* process, uint32_t events);
  static void HookReady(void* process, uint32_t events);

  void Dispatch(Request& request, ReplyTo to);
  void Create(Request& request, ReplyTo to);
  void Start(ReplyTo to);
  void Exec(Request& request, ReplyTo to);
  void Signal(const Request& request, ReplyTo to);
  void Resize(const Request& request, ReplyTo to);
  void CloseStdin(const Request& request, ReplyTo to);
  void Attach(const Request& request, ReplyTo to);
  void Status(const Request& request, ReplyTo to);
  void RemoveExec(const Request& request, ReplyTo to);
  void Shutdown(ReplyTo to);

  // Parse makes a process of a request, Launch launches it. Null, or false: refused and answered.
  Process* ParseLaunch(Request& request, LaunchBody* body, ReplyTo to);
  bool LaunchProcess(Process* process, Request& request, const LaunchBody& body, ReplyTo to);
  void OnStatus(Process* process);
  void OnExecuted(Process* process);
  void AnswerStarted(Process* process);
  void RunPoststartHooks(Process* process);
  void OnHooksDone(Process* process);
  void AnswerFailure(const Process& process, ReplyTo to, const FailureRecord& failure);

  void Reap();
  void OnExit(Process* process, const ExitRecord& record);
  void RecordInitExit();
  void RemoveProcess(Process* process);

  Process* Find(const TargetId& target);
  // The process that a request names; answers and returns null where there is none.
  Process* FindOrRefuse(const TargetId& target, ReplyTo to);
  void Answer(ReplyTo to, ReplyCode code, int32_t value = 0);
  void AnswerErrno(ReplyTo to, int error);

  void OpenOomScore();
  void SetOomScore(bool protect);
  int NextTimeoutMs();
  void TellLogState(int64_t now);

  Fds fds_;
  EventLoop loop_;
  ControlServer server_;
  LogWriter log_;
  UniqueFd signal_fd_;
  Watcher signal_watcher_;
  UniqueFd oom_score_fd_;
  char oom_score_[16] = {};  // that processes of the container inherit
  size_t oom_score_size_ = 0;
  Process* init_ = nullptr;
  Process* execs_ = nullptr;  // oldest first
  uint64_t last_ordinal_ = 0;
  bool record_pending_ = false;  // the exit record could not be written yet
  bool done_ = false;
  bool log_writable_told_ = true;
  int64_t log_told_at_ = 0;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_SUPERVISOR_SUPERVISOR_H_
