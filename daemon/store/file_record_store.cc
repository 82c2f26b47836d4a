#include "daemon/store/file_record_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/store/files.h"
#include "daemon/store/record_format.h"
#include "daemon/store/store_layout.h"
#include "runtime/base/error_details.h"
#include "runtime/supervisor/exit_record.h"

namespace ocid {
namespace {

using internal::ContainerRecord;
using internal::ExecIntent;
using internal::RuntimeState;

const BorrowedFd kFromPath(AT_FDCWD);

// Makes the directory and those above it, 0700 where it makes them.
absl::StatusOr<UniqueFd> MakeBase(const std::string& path) {
  if (path.empty() || path.front() != '/') {
    return absl::InvalidArgumentError(absl::StrCat("directory \"", path, "\": not absolute"));
  }
  for (size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    const std::string parent = path.substr(0, slash);
    const int result = ::mkdir(parent.c_str(), 0700);
    if (result != 0 && errno != EEXIST) return FileError(errno, "make directory", parent);
  }
  const int result = ::mkdir(path.c_str(), 0700);
  if (result != 0 && errno != EEXIST) return FileError(errno, "make directory", path);
  // The administrator's own path: a symbolic link in it is as good as any.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return FileError(errno, "open directory", path);
  return fd;
}

absl::StatusOr<UniqueFd> Lock(BorrowedFd dir, const std::string& path) {
  UniqueFd file(::openat(dir.get(), std::string(kLockName).c_str(),
                         O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return FileError(errno, "open", JoinPath(path, kLockName));
  const int result = ::flock(file.get(), LOCK_EX | LOCK_NB);
  if (result == 0) return file;
  if (errno != EWOULDBLOCK) return FileError(errno, "lock", JoinPath(path, kLockName));
  return absl::FailedPreconditionError(
      absl::StrCat("directory ", path, ": in use by another ocid"));
}

template <typename Message>
absl::StatusOr<Message> ReadMessage(BorrowedFd dir, const std::string& path, RecordKind kind) {
  const absl::StatusOr<std::string> file = ReadFile(dir, path, kMaxRecordBytes);
  if (!file.ok()) return file.status();
  const absl::StatusOr<std::string_view> payload = ParseRecord(kind, *file);
  if (!payload.ok()) return Annotate(payload.status(), path);
  Message message;
  if (!message.ParseFromArray(payload->data(), static_cast<int>(payload->size()))) {
    return MakeError(absl::StatusCode::kDataLoss, "RECORD_CORRUPT",
                     absl::StrCat(path, ": the message does not parse"));
  }
  return message;
}

class FileRecordStore final : public RecordStore {
 public:
  struct Parts {
    FileRecordStoreOptions options;
    UniqueFd root_lock;
    UniqueFd state_lock;
    UniqueFd root;             // <root>
    UniqueFd root_containers;  // <root>/containers
    UniqueFd state_containers;
  };

  explicit FileRecordStore(Parts parts) : parts_(std::move(parts)) {}

  std::string RootPath(const std::string& id) const override {
    return JoinPath(JoinPath(parts_.options.root_dir, kContainersName), id);
  }

  std::string StatePath(const std::string& id) const override {
    return JoinPath(JoinPath(parts_.options.state_dir, kContainersName), id);
  }

  absl::StatusOr<ContainerDirectories> MakeDirectories(const std::string& id) override {
    absl::StatusOr<UniqueFd> root = MakeDirectory(parts_.root_containers, id);
    if (!root.ok()) return root.status();
    absl::StatusOr<UniqueFd> state = MakeDirectory(parts_.state_containers, id);
    if (!state.ok()) return state.status();
    return ContainerDirectories{*std::move(root), *std::move(state)};
  }

  absl::StatusOr<ContainerDirectories> OpenDirectories(const std::string& id) override {
    absl::StatusOr<UniqueFd> root = OpenDirectory(parts_.root_containers, id);
    if (!root.ok()) return root.status();
    absl::StatusOr<UniqueFd> state = OpenDirectory(parts_.state_containers, id);
    if (!state.ok()) return state.status();
    return ContainerDirectories{*std::move(root), *std::move(state)};
  }

  absl::Status PutRecord(const ContainerRecord& record) override {
    const std::string payload = record.SerializeAsString();
    if (payload.size() > kMaxRecordBytes - kRecordHeaderBytes) {
      return MakeError(absl::StatusCode::kInvalidArgument, "SPEC_TOO_LARGE",
                       absl::StrCat("the container's record would have ", payload.size(), " bytes"));
    }
    const absl::Status replaced =
        ReplaceFile(parts_.root_containers, JoinPath(record.id(), kRecordName),
                    FrameRecord(RecordKind::kContainer, payload), Sync::kDurable);
    if (!replaced.ok()) return replaced;
    // And the entry of the container's own directory, which may be new.
    return SyncDirectory(parts_.root_containers, ".");
  }

  absl::StatusOr<ContainerRecord> GetRecord(const std::string& id) const override {
    return ReadMessage<ContainerRecord>(parts_.root_containers, JoinPath(id, kRecordName),
                                        RecordKind::kContainer);
  }

  absl::Status PutState(const std::string& id, RuntimeState state) override {
    state.set_boot_id(parts_.options.boot_id);
    return ReplaceFile(parts_.state_containers, JoinPath(id, kStateName),
                       FrameRecord(RecordKind::kState, state.SerializeAsString()), Sync::kNone);
  }

  absl::StatusOr<RuntimeState> GetState(const std::string& id) const override {
    const std::string path = JoinPath(id, kStateName);
    absl::StatusOr<RuntimeState> state =
        ReadMessage<RuntimeState>(parts_.state_containers, path, RecordKind::kState);
    if (state.ok() && state->boot_id() != parts_.options.boot_id) {
      return absl::NotFoundError(absl::StrCat(path, ": of another boot"));
    }
    return state;
  }

  absl::Status PutExec(const std::string& id, const v1::Exec& exec) override {
    const std::string directory = JoinPath(id, kExecsName);
    const absl::StatusOr<UniqueFd> made = MakeDirectory(parts_.state_containers, directory);
    if (!made.ok()) return made.status();
    ExecIntent intent;
    intent.set_boot_id(parts_.options.boot_id);
    *intent.mutable_exec() = exec;
    return ReplaceFile(*made, exec.id(), FrameRecord(RecordKind::kExec, intent.SerializeAsString()),
                       Sync::kNone);
  }

  absl::Status RemoveExec(const std::string& id, const std::string& exec_id) override {
    return RemoveFile(parts_.state_containers, JoinPath(JoinPath(id, kExecsName), exec_id));
  }

  absl::StatusOr<std::vector<v1::Exec>> GetExecs(const std::string& id) const override {
    const std::string directory = JoinPath(id, kExecsName);
    const absl::StatusOr<std::vector<std::string>> names =
        ListDirectory(parts_.state_containers, directory);
    std::vector<v1::Exec> execs;
    if (absl::IsNotFound(names.status())) return execs;
    if (!names.ok()) return names.status();
    for (const std::string& name : *names) {
      absl::StatusOr<ExecIntent> intent = ReadMessage<ExecIntent>(
          parts_.state_containers, JoinPath(directory, name), RecordKind::kExec);
      if (!intent.ok() || intent->boot_id() != parts_.options.boot_id) continue;
      if (intent->exec().id() != name) continue;
      execs.push_back(std::move(*intent->mutable_exec()));
    }
    return execs;
  }

  absl::Status RemoveExitRecord(const std::string& id) override {
    return RemoveFile(parts_.root_containers, JoinPath(id, kExitRecordName));
  }

  absl::Status RemoveRecord(const std::string& id) override {
    return RemoveFile(parts_.root_containers, JoinPath(id, kRecordName));
  }

  absl::Status RemoveDirectories(const std::string& id) override {
    // The record first: without it the rest is debris whatever happens here.
    const absl::Status record = RemoveRecord(id);
    if (!record.ok()) return record;
    const absl::Status root = RemoveTree(parts_.root_containers, id);
    const absl::Status state = RemoveTree(parts_.state_containers, id);
    return root.ok() ? state : root;
  }

  absl::Status SyncRemovals() override { return SyncDirectory(parts_.root_containers, "."); }

  absl::StatusOr<std::vector<std::string>> List() const override {
    const absl::StatusOr<std::vector<std::string>> root = ListDirectory(parts_.root_containers, ".");
    if (!root.ok()) return root.status();
    const absl::StatusOr<std::vector<std::string>> state =
        ListDirectory(parts_.state_containers, ".");
    if (!state.ok()) return state.status();
    std::vector<std::string> ids;
    std::set_union(root->begin(), root->end(), state->begin(), state->end(),
                   std::back_inserter(ids));
    std::erase_if(ids, [](const std::string& id) { return !IsValidId(id); });
    return ids;
  }

  absl::StatusOr<std::string> Quarantine(const std::string& id) override {
    const absl::StatusOr<UniqueFd> directory =
        MakeDirectory(parts_.root, std::string(kQuarantineName));
    if (!directory.ok()) return directory.status();
    const std::string name = absl::StrCat(id, ".", absl::ToUnixNanos(absl::Now()));
    const int result =
        ::renameat(parts_.root_containers.get(), id.c_str(), directory->get(), name.c_str());
    if (result != 0) return FileError(errno, "rename", RootPath(id));
    const absl::Status removed = RemoveTree(parts_.state_containers, id);
    if (!removed.ok()) return removed;
    return JoinPath(JoinPath(parts_.options.root_dir, kQuarantineName), name);
  }

 private:
  const Parts parts_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RecordStore>> OpenFileRecordStore(
    const FileRecordStoreOptions& options) {
  FileRecordStore::Parts parts;
  parts.options = options;
  if (parts.options.boot_id.empty()) {
    absl::StatusOr<std::string> boot_id = ReadBootId();
    if (!boot_id.ok()) return boot_id.status();
    parts.options.boot_id = *std::move(boot_id);
  }
  absl::StatusOr<UniqueFd> root = MakeBase(options.root_dir);
  if (!root.ok()) return root.status();
  absl::StatusOr<UniqueFd> state = MakeBase(options.state_dir);
  if (!state.ok()) return state.status();
  // One directory for both would mix records and states.
  struct stat root_stat, state_stat;
  const bool same = ::fstat(root->get(), &root_stat) == 0 &&
                    ::fstat(state->get(), &state_stat) == 0 &&
                    root_stat.st_dev == state_stat.st_dev && root_stat.st_ino == state_stat.st_ino;
  if (same) {
    return absl::InvalidArgumentError(
        absl::StrCat("root and state are the same directory: ", options.root_dir));
  }
  absl::StatusOr<UniqueFd> root_lock = Lock(*root, options.root_dir);
  if (!root_lock.ok()) return root_lock.status();
  absl::StatusOr<UniqueFd> state_lock = Lock(*state, options.state_dir);
  if (!state_lock.ok()) return state_lock.status();
  absl::StatusOr<UniqueFd> root_containers = MakeDirectory(*root, std::string(kContainersName));
  if (!root_containers.ok()) return root_containers.status();
  absl::StatusOr<UniqueFd> state_containers = MakeDirectory(*state, std::string(kContainersName));
  if (!state_containers.ok()) return state_containers.status();
  parts.root_lock = *std::move(root_lock);
  parts.state_lock = *std::move(state_lock);
  parts.root = *std::move(root);
  parts.root_containers = *std::move(root_containers);
  parts.state_containers = *std::move(state_containers);
  return std::make_unique<FileRecordStore>(std::move(parts));
}

}  // namespace ocid
