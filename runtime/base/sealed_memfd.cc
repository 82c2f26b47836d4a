#include "runtime/base/sealed_memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace ocid {
namespace {

// linux/memfd.h since 6.3; before it, every memfd may be executed.
constexpr unsigned kExecutable = 0x0010;

absl::StatusOr<UniqueFd> Make(const char* name, unsigned flags) {
  UniqueFd fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | flags));
  if (!fd.valid() && errno == EINVAL && flags != 0) {
    fd.reset(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  }
  if (!fd.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("make memfd ", name));
  return fd;
}

absl::Status Write(BorrowedFd fd, const char* name, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t size = write(fd.get(), bytes.data(), bytes.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return absl::ErrnoToStatus(errno, absl::StrCat("write memfd ", name));
    bytes.remove_prefix(static_cast<size_t>(size));
  }
  return absl::OkStatus();
}

absl::Status Copy(const std::string& path, BorrowedFd fd) {
  const UniqueFd source(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!source.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("open ", path));
  struct stat status = {};
  if (fstat(source.get(), &status) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("stat ", path));
  }
  for (off_t left = status.st_size; left > 0;) {
    const ssize_t size = sendfile(fd.get(), source.get(), nullptr, static_cast<size_t>(left));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) {
      return absl::ErrnoToStatus(size < 0 ? errno : EIO, absl::StrCat("copy ", path));
    }
    left -= size;
  }
  return absl::OkStatus();
}

absl::Status Seal(BorrowedFd fd, const char* name) {
  constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  if (fcntl(fd.get(), F_ADD_SEALS, kSeals) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("seal memfd ", name));
}

absl::StatusOr<UniqueFd> SealForExecution(BorrowedFd fd, const char* name) {
  const absl::Status sealed = Seal(fd, name);
  if (!sealed.ok()) return sealed;
  // A descriptor that is open for writing would make execve fail with ETXTBSY.
  UniqueFd readable(open(absl::StrCat("/proc/self/fd/", fd.get()).c_str(), O_RDONLY | O_CLOEXEC));
  if (!readable.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("reopen memfd ", name));
  return readable;
}

}  // namespace

absl::StatusOr<UniqueFd> SealBytes(const char* name, std::string_view bytes) {
  absl::StatusOr<UniqueFd> fd = Make(name, 0);
  if (!fd.ok()) return fd;
  absl::Status status = Write(*fd, name, bytes);
  if (status.ok()) status = Seal(*fd, name);
  if (!status.ok()) return status;
  return fd;
}

absl::StatusOr<UniqueFd> SealProgram(const char* name, std::string_view bytes) {
  const absl::StatusOr<UniqueFd> fd = Make(name, kExecutable);
  if (!fd.ok()) return fd.status();
  const absl::Status written = Write(*fd, name, bytes);
  if (!written.ok()) return written;
  return SealForExecution(*fd, name);
}

absl::StatusOr<UniqueFd> SealProgramFile(const char* name, const std::string& path) {
  const absl::StatusOr<UniqueFd> fd = Make(name, kExecutable);
  if (!fd.ok()) return fd.status();
  const absl::Status copied = Copy(path, *fd);
  if (!copied.ok()) return copied;
  return SealForExecution(*fd, name);
}

}  // namespace ocid
