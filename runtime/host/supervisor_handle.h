// How a daemon holds the supervisors of its containers.
//
//   SupervisorHost    one per daemon: the sealed copy of the supervisor's program, and the thread
//                     that reads every supervisor's control socket
//   SupervisorHandle  one per container: a connection to its supervisor
//
//   auto host = SupervisorHost::Open({});
//   auto created = (*host)->Create(request, callbacks, absl::Seconds(30));  // spawn + clone +
//   set-up
//   (*created)->Start(absl::Seconds(30));                                   // opens the start gate
//   ...                                                  callbacks.on_init_exit(record)
//   (*created)->Shutdown(absl::Seconds(5));                                 // when the init is
//   gone
//
// A supervisor outlives its daemon. To drop a handle, or the host, only closes the connection. A
// later daemon calls SupervisorHost::Reattach for each state directory it finds; the newest
// connection wins, and what happened meanwhile is in the Status that Reattach fetched. When nobody
// answers, the supervisor is gone: then the exit record in the container's directory
// (runtime/supervisor/exit_record.h), if there is one, says how the init ended.
//
// A supervisor ends when it is told to (Shutdown, legal once the init is gone), when its Create
// failed, or by SIGKILL. It never leaves on its own, because what it knows about finished execs is
// nowhere else. SIGKILL to a supervisor ends an init that has not yet executed its program; a
// running init has lost its log and its exit code by then, and the caller kills its cgroup.
//
// Thread-safe. Calls that take a timeout block until the supervisor has answered; none of them
// holds a lock meanwhile, and calls of different threads on one handle run side by side. A timeout
// ends the waiting (DEADLINE_EXCEEDED), not the operation: ask Status what became of it. (Except
// Create, which kills what it began.)
//
// Errors: NOT_FOUND (no such exec), ALREADY_EXISTS (exec id in use), FAILED_PRECONDITION (wrong
// state, or a step of the launch failed), INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNAVAILABLE (the
// supervisor is gone), DEADLINE_EXCEEDED. A launch that failed carries one of the reasons below
// (GetReason of runtime/base/error_details.h) and the step in words.
#ifndef OCID_RUNTIME_HOST_SUPERVISOR_HANDLE_H_
#define OCID_RUNTIME_HOST_SUPERVISOR_HANDLE_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/unique_fd.h"
#include "runtime/supervisor/exit_record.h"

namespace ocid {

// Reasons of errors.
inline constexpr std::string_view kReasonLaunchFailed = "LAUNCH_FAILED";
inline constexpr std::string_view kReasonExecutableNotFound = "EXECUTABLE_NOT_FOUND";
inline constexpr std::string_view kReasonSupervisorGone = "SUPERVISOR_GONE";

// Names inside a container's two directories.
inline constexpr std::string_view kSupervisorSocketName = "supervisor.sock";  // state directory
inline constexpr std::string_view kLogName = "log";  // container directory; log.1 ... are older

inline constexpr size_t kMaxExecIdLength = 128;

// A process as it can be found again: a PID alone may be somebody else's by now.
struct ProcessIdentity {
  pid_t pid = 0;
  uint64_t start_time = 0;  // field 22 of /proc/PID/stat, clock ticks since boot

  friend bool operator==(const ProcessIdentity&, const ProcessIdentity&) = default;
};

// Where the log of the init's output ends up and how large it gets.
struct LogLimits {
  uint64_t max_bytes = 0;  // of one file; 0: unbounded
  uint32_t max_files = 1;  // files kept, the current one included
  bool cri_format = false;  // not JSON lines: runtime/supervisor/log_line.h
};

struct CreateRequest {
  std::string id;                         // for ps(1): the supervisor's argv[1]
  BorrowedFd state_dir;                   // <state>/<id>, tmpfs; supervisor.sock is bound here
  BorrowedFd container_dir;               // <root>/containers/<id>; log and exit record
  std::string_view plan;                  // the bytes of a LaunchPlan
  BorrowedFd supervisor_cgroup2_dir;      // the supervisor's own; invalid: the daemon's
  BorrowedFd cgroup2_dir;                 // the init is born in it; may be invalid
  BorrowedFd oom_kills;                   // Cgroup::OpenOomKillFile; may be invalid
  std::vector<BorrowedFd> cgroup1_procs;  // cgroup.procs of v1 hierarchies, open for writing
  bool open_stdin = false;                // without a console: a pipe instead of /dev/null
  LogLimits log;
  // Called as soon as there is a supervisor, with a function that ends it, on any thread and at any
  // time later: a create that waits for it fails at once. May be empty.
  std::function<void(std::function<void()> kill)> on_spawned;
};

struct ExecRequest {
  std::string exec_id;    // 1..kMaxExecIdLength bytes
  std::string_view plan;  // a join plan
  BorrowedFd cgroup2_dir;
  std::vector<BorrowedFd> cgroup1_procs;
  bool open_stdin = false;  // without a console: a pipe instead of /dev/null
  // Attach before the program runs, so that no byte of its output can be overwritten unseen.
  bool attach = false;
};

struct ExecStarted {
  ProcessIdentity process;
  UniqueFd stream;  // for AttachStream, if `attach`
};

enum class ProcessState {
  kNone,      // no create was asked for yet
  kCreated,   // at its start gate
  kStarting,  // gate open, program not yet executed
  kRunning,
  kExited,
};

struct ProcessStatus {
  ProcessState state = ProcessState::kNone;
  ProcessIdentity process;
  ExitRecord exit;  // valid when kExited
};

struct ExecStatus {
  std::string exec_id;
  ProcessStatus status;
};

struct SupervisorStatus {
  pid_t supervisor_pid = 0;
  ProcessStatus init;
  bool output_drained = false;     // init's output has been read to its end
  uint64_t log_bytes = 0;          // of output put into the log since the start
  uint64_t log_dropped_bytes = 0;  // of output lost because the disk was full
  std::vector<ExecStatus> execs;   // oldest first; finished ones until RemoveExec
};

// From which byte of each stream an attach goes on. Offsets count a stream's bytes from its first.
// What is older than the 256 KiB that are kept is skipped; AttachStream::opened tells.
struct AttachOffsets {
  static constexpr uint64_t kOldest = 0;
  static constexpr uint64_t kNow = UINT64_MAX;
  uint64_t stdout_offset = kOldest;  // with a tty: its only stream
  uint64_t stderr_offset = kOldest;
};

// Whether the log of the init's output can be written.
struct LogState {
  bool writable = true;
  uint64_t dropped_bytes = 0;  // of output, since the supervisor's start
};

// Called on the host's thread, never under a lock. They must not block and must not call anything
// of this header that takes a timeout: hand over to a thread of your own. May run before the call
// that caused them returns. At most one on_init_exit, one on_exec_exit per exec, one on_lost.
struct SupervisorCallbacks {
  std::function<void(const ExitRecord&)> on_init_exit;
  std::function<void(const std::string& exec_id, const ExitRecord&)> on_exec_exit;
  // A full disk, or room again. At most once a second.
  std::function<void(const LogState&)> on_log_state;
  // The supervisor died, or another connection took this one's place. Not called after Shutdown
  // succeeded, nor for a handle that was dropped.
  std::function<void()> on_lost;
};

class SupervisorHandle {
 public:
  virtual ~SupervisorHandle() = default;

  virtual pid_t supervisor_pid() const = 0;
  virtual ProcessIdentity init() const = 0;

  // Opens the start gate and waits until the program has been executed (poststart hooks, if any,
  // have run) or a step has failed. After a failure the init is gone and its exit is reported.
  // FAILED_PRECONDITION unless kCreated.
  virtual absl::Status Start(absl::Duration timeout) = 0;

  // pidfd_send_signal(2) to the init, or to an exec. FAILED_PRECONDITION if it has exited.
  virtual absl::Status Signal(int signal, absl::Duration timeout) = 0;
  virtual absl::Status SignalExec(std::string_view exec_id, int signal, absl::Duration timeout) = 0;

  // Launches an exec and waits until its program has been executed. After an error there is no
  // such exec.
  virtual absl::StatusOr<ExecStarted> Exec(const ExecRequest& request, absl::Duration timeout) = 0;

  // An empty exec id names the init, here and below.
  virtual absl::Status Resize(std::string_view exec_id, uint16_t rows, uint16_t columns,
                              absl::Duration timeout) = 0;
  virtual absl::Status CloseStdin(std::string_view exec_id, absl::Duration timeout) = 0;

  // One end of a socket over which frames flow both ways (runtime/host/attach_stream.h). One client
  // at a time: the newest takes over. An exec whose client does not read waits for it; the init
  // waits a second, and then its client finds a gap in the offsets, while the log has everything.
  virtual absl::StatusOr<UniqueFd> Attach(std::string_view exec_id, AttachOffsets offsets,
                                          absl::Duration timeout) = 0;

  virtual absl::StatusOr<SupervisorStatus> Status(absl::Duration timeout) = 0;

  // Forgets a finished exec and frees its scrollback.
  virtual absl::Status RemoveExec(std::string_view exec_id, absl::Duration timeout) = 0;

  // Ends the supervisor and waits until its process is gone. FAILED_PRECONDITION while the init
  // lives. OK if the supervisor is gone already.
  virtual absl::Status Shutdown(absl::Duration timeout) = 0;

  // SIGKILL to the supervisor, for when it does not answer. The init is the caller's to kill.
  virtual absl::Status KillSupervisor() = 0;
};

class SupervisorHost {
 public:
  struct Options {
    // The supervisor's program. Empty: `ocid-supervisor` beside this process's executable.
    std::string supervisor_path;
  };

  // Copies the program into a sealed memfd and starts the host's thread.
  static absl::StatusOr<std::unique_ptr<SupervisorHost>> Open(const Options& options);

  // Ends the thread. Supervisors live on; calls on handles that are left fail with UNAVAILABLE.
  virtual ~SupervisorHost() = default;

  // Spawns a supervisor and has it create the init, up to its start gate. After an error neither
  // of them is left; the caller removes the directories.
  virtual absl::StatusOr<std::shared_ptr<SupervisorHandle>> Create(const CreateRequest& request,
                                                                   SupervisorCallbacks callbacks,
                                                                   absl::Duration timeout) = 0;

  // Connects to the supervisor of a state directory. `status`, if given, gets what it knows; an
  // exit that the status already shows is not reported through callbacks again. UNAVAILABLE
  // (SUPERVISOR_GONE) when none answers.
  virtual absl::StatusOr<std::shared_ptr<SupervisorHandle>> Reattach(BorrowedFd state_dir,
                                                                     SupervisorCallbacks callbacks,
                                                                     absl::Duration timeout,
                                                                     SupervisorStatus* status) = 0;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_HOST_SUPERVISOR_HANDLE_H_
