// The bytes of a launch plan: what a container's first process, or a process that joins a
// container, has to do between clone(2) and execve(2), as a flat list of steps.
//
//   PlanHeader | PlanStep[step_count] | data: strings, lists, a seccomp program
//
// A plan is written once by the compiler (plan_compile.h), travels as bytes (a sealed memfd, a blob
// on disk) and is only read after that. It holds no pointer: a PlanRef is an offset into the data,
// and a byte 0 follows what every PlanRef names, so that strings can be passed to the kernel as
// they are.
//
// PlanView lends; whoever owns the bytes keeps them alive and unchanged. Thread-safe (immutable).
// Nothing here blocks, allocates, throws or uses more of libc than memcpy: the child of a clone
// runs it.
#ifndef OCID_RUNTIME_PLAN_PLAN_FORMAT_H_
#define OCID_RUNTIME_PLAN_PLAN_FORMAT_H_

#include <cstddef>
#include <cstdint>

namespace ocid {

inline constexpr uint32_t kPlanMagic = 0x4e4c504f;  // "OPLN"
inline constexpr uint32_t kPlanVersion = 1;
inline constexpr size_t kMaxPlanBytes = 16u << 20;
// Descriptors that steps hand to later steps (kOpenTree -> kAttachTree).
inline constexpr uint32_t kMaxSlots = 256;

// Who acts, and when. The steps of a plan are in this order.
enum class Phase : uint8_t {
  kBeforeClone,     // host: enter a named pid namespace that the clone shall be born into
  kAfterClone,      // host: write the id maps
  kRoot,            // child: root file system, and what only the host's root may open
  kSetup,           // child: mounts, devices, settings of the kernel
  kRuntimeHooks,    // host: prestart and createRuntime hooks
  kEnter,           // child: createContainer hooks, pivot_root; ends at the start gate
  kStart,           // child, gate open: startContainer hooks, user, capabilities, seccomp, execve
  kPoststartHooks,  // host: on request of the caller
  kPoststopHooks,   // host: on request of the caller
};
inline constexpr size_t kPhaseCount = 9;

// What a step does. `n` are PlanStep::number, `r` are PlanStep::ref.
enum class Opcode : uint16_t {
  kInvalid,
  kJoinNamespace,        // n0 CLONE_NEW* flag; r0 path of the namespace
  kJoinProcess,          // n0 CLONE_NEW* flags to join of LaunchFds::join; n1 1: and its root
                         // directory, where that is not its mount namespace's
  kWriteIdMaps,          // r0 uid map, r1 gid map, as /proc/PID/uid_map takes them
  kMapIdsByProgram,      // n0 argument count; r0 path of newuidmap or newgidmap, r1 its arguments;
                         // the child's pid comes after the first
  kOpenIdmappedTree,     // n0 slot, n1 recursive, n2 map all beneath, n3 1: by the child's user
                         // namespace; r0 host path, else r1 uid map, r2 gid map
  kMoveNetDevice,        // r0 the host's name of it, r1 the container's, which may hold one %d
  kJoinResctrl,          // n0 ResctrlFlags; r0 directory of the group, r1 schemata, r2 directory
                         // of the monitoring group
  kUnshare,              // n0 CLONE_NEW* flags
  kBecomeNamespaceRoot,  // user and group 0 of the user namespace
  kWriteProcSelf,        // r0 file of the host's /proc/self (in kAfterClone: of the child's
                         // directory), r1 what to write
  kSetHostPropagation,   // n0 MS_* type for every mount of the copied namespace
  kIsolateParentMount,   // r0 path: the mount that holds it becomes private, for pivot_root
  kAttachRootfs,         // n0 1: private; r0 host path of the root file system, bound onto itself
  kOpenTree,             // n0 slot, n1 recursive, n2 SourceCheck; r0 host path
  kAttachTree,           // n0 slot, n1 TargetFlags; mount attributes in n2..n5; r0 destination
  kMountFs,              // n1 TargetFlags, attributes in n2..n5, n0 number of parameters;
                         // r0 type, r1 destination, r2 list of key, value pairs
  kSetMountAttributes,   // n1 TargetFlags, n2..n5; r0 path
  kReconfigure,          // n0 number of parameters, n2..n5; r0 path, r2 list of key, value pairs
  kMakeDirectory,        // n0 mode; r0 path
  kMakeSymlink,          // n0 replace what is there; r0 directory, r1 name, r2 target
  kMakeNode,             // n0 mode with type, n1 major, n2 minor, n3 uid, n4 gid;
                         // r0 directory, r1 name
  kMaskPath,             // r0 path
  kReadonlyPath,         // r0 path
  kMakeConsole,          // n0 rows, n1 columns, n2 uid, n3 bind it to /dev/console
  kOpenProc,             // a procfs that nobody else can reach, for kWriteSysctl
  kWriteSysctl,          // r0 path below /proc/sys, r1 value
  kSetHostname,          // r0
  kSetDomainname,        // r0
  kRunHook,              // n0 timeout in ms (0: none), n1 argument count, n2 environment count,
                         // n3 HookKind; r0 path, r1 arguments, r2 environment
  kPivotRoot,            //
  kChangeRoot,           // chroot(2): in a mount namespace that is shared with others
  kSetRootPropagation,   // n0 MS_* type for the container's root mount
  kNewSession,           // n0 1: keep the session keyring; setsid(2)
  kSetRlimit,            // n0 resource, n1 soft, n2 hard
  kSetScheduler,         // n0 policy, n1 flags, n2 nice, n3 priority, n4 runtime, n5 deadline;
                         // r0: period as 8 bytes
  kSetAffinity,          // r0 the CPU mask
  kSetIoPriority,        // n0 ioprio_set(2) value
  kSetPersonality,       // n0 persona
  kSetMemoryPolicy,      // n0 mode with flags, n1 number of bits; r0 the node mask
  kChangeDirectory,      // r0 path; it must lie inside the root
  kSetNoNewPrivileges,   //
  kBoundCapabilities,    // n0 mask to keep
  kSetUser,              // n0 uid, n1 gid, n2 number of groups or kKeepGroups; r0 groups as
                         // uint32_t
  kSetCapabilities,      // n0 effective, n1 permitted, n2 inheritable, n3 ambient
  kSetUmask,             // n0
  kResetSignals,         // default actions, empty mask
  kSetExecLabel,         // r0 file below /proc/self/attr, r1 label of the program
  kLoadSeccomp,          // n0 SECCOMP_FILTER_FLAG_*, n1 1: with a listener; r0 struct
                         // sock_filter[], r1 the listener's socket, r2 the start of what it is told
  kExecute,              // n0 argument count, n1 environment count, n2 1: add a HOME for user n3;
                         // r0 arguments, r1 environment, r2 PATH to search if the first argument
                         // has no slash. The last step of its plan
  kCloneAgain,           // the plan goes on in a clone, which is born into the pid namespace that
                         // kJoinProcess has set for children; see kPlanClonesAgain
  kCount,
};

// n1 of the steps that mount: how the destination is walked and made.
enum TargetFlags : uint64_t {
  kTargetDirectory = 1,   // made as a directory if missing
  kTargetFile = 2,        // made as an empty file if missing
  kTargetLikeSource = 4,  // the one or the other, as the tree in the slot is
  kTargetNoSymlinks = 8,  // a symlink anywhere in the path is an error
  kTargetOnProcfs = 16,   // may lie on procfs
  kTargetKeepMode = 32,   // the file system's root gets the mode of the directory that it covers
  kTargetCopyUp = 64,     // and what is in that directory
};

// n0 of kJoinResctrl.
enum ResctrlFlags : uint64_t {
  kResctrlMustExist = 1,  // the group is somebody else's
  kResctrlMayExist = 2,   // if its schemata are these
};

// n2 of kSetUser, where the kernel lets nobody set groups (user_namespaces(7), setgroups).
inline constexpr uint64_t kKeepGroups = UINT64_MAX;

// n2 of kOpenTree.
enum class SourceCheck : uint64_t { kNone, kProcfs, kNullDevice };

enum class HookKind : uint64_t {
  kPrestart,
  kCreateRuntime,
  kCreateContainer,
  kStartContainer,
  kPoststart,
  kPoststop,
};

struct PlanRef {
  uint32_t offset = 0;  // from the start of the plan; 0: no such thing
  uint32_t size = 0;    // without the byte 0 that follows
};

// Mount attributes are four numbers of a step, n2..n5:
//   n2 attr_set, n3 attr_clr of the mount itself; n4 attr_set | attr_clr << 32 of the mount and all
//   beneath it; n5 MS_* propagation type, with MS_REC if it goes for all beneath.
struct PlanStep {
  uint16_t opcode = 0;
  uint8_t phase = 0;
  uint8_t reserved = 0;
  uint32_t source =
      0;  // offset of a string: the JSON pointer that asked for the step; 0: a default
  uint64_t number[6] = {};
  PlanRef ref[3] = {};
};
static_assert(sizeof(PlanStep) == 80);

struct PlanHeader {
  uint32_t magic = kPlanMagic;
  uint32_t version = kPlanVersion;
  uint32_t total_bytes = 0;
  uint32_t step_count = 0;
  uint32_t phase_begin[kPhaseCount + 1] = {};  // indexes of steps
  uint32_t flags = 0;
  uint64_t clone_flags = 0;  // CLONE_NEW*
  // OCI state for hooks: prefix "status" middle pid suffix.
  PlanRef state_prefix;
  PlanRef state_middle;
  PlanRef state_suffix;
  PlanRef bundle;  // working directory of hooks
};

enum PlanFlags : uint32_t {
  kPlanHasGate = 1,     // stops between kEnter and kStart until OpenGate
  kPlanHasConsole = 2,  // sends a pseudo-terminal's master to the host
  kPlanJoins = 4,       // needs LaunchFds::join
  // Has a kCloneAgain. Processes of the container see, and with CAP_SYS_PTRACE look into, what is in
  // their pid namespace: the one that enters it has left the host's root and descriptors behind
  // (CVE-2016-9962).
  kPlanClonesAgain = 8,
  kPlanMapsAsUser = 16,    // an ordinary user writes the id maps
  kPlanSharesMounts = 32,  // the root file system is attached in a mount namespace of others
};

// Why a launch failed; all zero where it did not. It crosses process boundaries as it is.
struct FailureRecord {
  uint32_t step = 0;    // index of the step, or one of FailurePlace
  int32_t error = 0;    // errno; 0: no failure
  uint64_t detail = 0;  // FailureDetail in the low 32 bits, its argument in the high 32

  bool ok() const { return error == 0; }
};
static_assert(sizeof(FailureRecord) == 16);

// Failures outside any step.
enum FailurePlace : uint32_t {
  kFailedPlan = 0xffffff00,  // the plan is damaged
  kFailedDescriptors,        // a socket pair, or putting descriptors in place
  kFailedClone,
  kFailedCallback,  // the caller's on_cloned
  kFailedCgroup,    // entering a cgroup; the argument is its index
  kFailedJoin,      // entering the pid namespace of the process to join
  kFailedSetup,     // the child died or spoke nonsense before it was ready
};

// Which part of a step failed.
enum class FailureDetail : uint32_t {
  kNone,
  kSource,          // opening the source
  kTarget,          // resolving the destination
  kCreateTarget,    // making the destination
  kTargetOnProcfs,  // the destination turned out to lie on procfs
  kTypeMismatch,    // the source or an existing file is not what it must be
  kOpenFs,          // fsopen(2): does the kernel know the file system?
  kParameter,       // fsconfig(2); the argument is the parameter's index
  kMount,           // fsmount(2) or creating the superblock
  kAttributes,      // mount_setattr(2)
  kAttach,          // move_mount(2)
  kOutsideRoot,     // the directory is not inside the container's root
  kHookExit,        // the argument is the exit code
  kHookSignal,      // the argument is the signal
  kHookTimeout,
  kSignal,  // the child was killed; the argument is the signal
  kExit,    // the child exited; the argument is the exit code
  kUid,
  kGid,
  kGroups,
  kPty,
  kControllingTerminal,
  kUserNamespace,  // making or opening one
  kIdMap,          // mount_setattr(2) with MOUNT_ATTR_IDMAP
  kCopyUp,         // copying what a tmpfs covers
  kNameTaken,      // a network device of that name is there
  kMoveDevice,
  kDeviceAddress,
  kSchemata,
  kListener,  // telling the seccomp agent
};

inline FailureRecord MakeFailure(uint32_t step, int error,
                                 FailureDetail detail = FailureDetail::kNone,
                                 uint32_t argument = 0) {
  return {step, error, static_cast<uint64_t>(detail) | static_cast<uint64_t>(argument) << 32};
}

// A checked plan: every reference lies inside the bytes and every opcode is known.
class PlanView {
 public:
  PlanView() = default;

  // False if the bytes are no plan of this version. `bytes` must be aligned to 8 and stay alive.
  static bool Open(const void* bytes, size_t size, PlanView* out);

  const PlanHeader& header() const { return *reinterpret_cast<const PlanHeader*>(bytes_); }
  const PlanStep& step(uint32_t index) const {
    return reinterpret_cast<const PlanStep*>(bytes_ + sizeof(PlanHeader))[index];
  }
  uint32_t step_count() const { return header().step_count; }
  uint32_t begin(Phase phase) const { return header().phase_begin[static_cast<size_t>(phase)]; }
  uint32_t end(Phase phase) const { return header().phase_begin[static_cast<size_t>(phase) + 1]; }
  bool has(PlanFlags flag) const { return (header().flags & flag) != 0; }
  bool valid() const { return bytes_ != nullptr; }

  // Null-terminated; an empty string if the reference is empty.
  const char* text(PlanRef ref) const { return ref.offset == 0 ? "" : data(ref); }
  const char* data(PlanRef ref) const { return bytes_ + ref.offset; }
  const char* text_at(uint32_t offset) const { return offset == 0 ? "" : bytes_ + offset; }

 private:
  const char* bytes_ = nullptr;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_PLAN_PLAN_FORMAT_H_
