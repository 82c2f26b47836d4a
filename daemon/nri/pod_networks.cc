#include "daemon/nri/pod_networks.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

// A new namespace takes settings of the host's over (devconf_inherit_init_net), which change.
constexpr auto kSpareAge = std::chrono::seconds(1);

absl::Status Failed(const char* call, const std::string& path, int error) {
  const std::string step = absl::StrCat("network of the pod, ", path, ": ", call);
  return MakeError(absl::StatusCode::kFailedPrecondition, "LAUNCH_FAILED",
                   absl::StrCat(step, ": ", std::strerror(error)),
                   {{"step", step}, {"errno", absl::StrCat(error)}});
}

// A thread is in a network namespace, and the caller's is not to change.
absl::StatusOr<UniqueFd> NewNetwork(const std::string& path) {
  UniqueFd network;
  int error = 0;
  std::thread maker([&] {
    if (unshare(CLONE_NEWNET) == 0) {
      network.reset(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    }
    if (!network.valid()) error = errno;
  });
  maker.join();
  if (network.valid()) return network;
  return Failed("unshare", path, error);
}

}  // namespace

absl::StatusOr<std::unique_ptr<PodNetworks>> PodNetworks::Open(const std::string& directory) {
  if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
    return Failed("mkdir", directory, errno);
  }
  return std::unique_ptr<PodNetworks>(new PodNetworks(directory));
}

std::string PodNetworks::PathFor(const std::string& container_id) const {
  return absl::StrCat(directory_, "/", container_id);
}

bool PodNetworks::Has(const std::string& container_id) const {
  struct statfs info = {};
  return statfs(PathFor(container_id).c_str(), &info) == 0 && info.f_type == NSFS_MAGIC;
}

absl::Status PodNetworks::Make(const std::string& container_id) {
  const std::string path = PathFor(container_id);
  const absl::Status removed = Remove(container_id);
  if (!removed.ok()) return removed;
  UniqueFd network = TakeSpare();
  if (!network.valid()) {
    absl::StatusOr<UniqueFd> made = NewNetwork(path);
    if (!made.ok()) return made.status();
    network = *std::move(made);
  }
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444));
  if (!file.valid()) return Failed("open", path, errno);
  const std::string source = absl::StrCat("/proc/self/fd/", network.get());
  if (mount(source.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) == 0) return absl::OkStatus();
  const int error = errno;
  unlink(path.c_str());
  return Failed("mount", path, error);
}

void PodNetworks::MakeSpare() {
  {
    MutexLock lock(mutex_);
    if (!std::exchange(spare_wanted_, false)) return;
  }
  absl::StatusOr<UniqueFd> made = NewNetwork("in advance");
  if (!made.ok()) return;  // who needs one says why there is none
  MutexLock lock(mutex_);
  spare_ = *std::move(made);
  spare_time_ = std::chrono::steady_clock::now();
}

UniqueFd PodNetworks::TakeSpare() {
  MutexLock lock(mutex_);
  spare_wanted_ = true;
  UniqueFd spare = std::move(spare_);
  if (std::chrono::steady_clock::now() - spare_time_ > kSpareAge) spare.reset();
  return spare;
}

absl::Status PodNetworks::Remove(const std::string& container_id) const {
  const std::string path = PathFor(container_id);
  while (umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
  }
  if (errno == ENOENT) return absl::OkStatus();
  if (errno != EINVAL) return Failed("umount2", path, errno);
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return Failed("unlink", path, errno);
  return absl::OkStatus();
}

absl::Status PodNetworks::RemoveUnless(
    const std::function<bool(const std::string& container_id)>& kept) const {
  absl::Status first;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory_, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string id = entry->path().filename();
    if (!kept(id)) first.Update(Remove(id));
  }
  if (error) first.Update(Failed("read", directory_, error.value()));
  return first;
}

}  // namespace ocid
