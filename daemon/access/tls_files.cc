#include "daemon/access/tls_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/error_details.h"
#include "runtime/base/unique_fd.h"

namespace ocid {
namespace {

constexpr size_t kMaxFileBytes = 16 << 20;  // revocation lists grow

absl::Status ErrnoError(const std::string& path) { return absl::ErrnoToStatus(errno, path); }

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid()) return ErrnoError(path);
  std::string text;
  char buffer[65536];
  while (true) {
    const ssize_t got = read(file.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(path);
    if (got == 0) return text;
    text.append(buffer, static_cast<size_t>(got));
    if (text.size() > kMaxFileBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": larger than ", kMaxFileBytes, " bytes"));
    }
  }
}

absl::Status ReplaceFile(const std::string& path, std::string_view text) {
  const std::string temporary = path + ".new";
  UniqueFd file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return ErrnoError(temporary);
  while (!text.empty()) {
    const ssize_t put = write(file.get(), text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return ErrnoError(temporary);
    text.remove_prefix(static_cast<size_t>(put));
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) return ErrnoError(path);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<TlsFiles>> TlsFiles::Open(TlsPaths paths, std::string directory) {
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return ErrnoError(directory);
  if (chmod(directory.c_str(), 0700) != 0) return ErrnoError(directory);
  std::unique_ptr<TlsFiles> files(new TlsFiles(std::move(paths), std::move(directory)));
  const absl::StatusOr<bool> read = files->Reload();
  if (!read.ok()) return read.status();
  return files;
}

absl::StatusOr<TlsFiles::Texts> TlsFiles::Read() const {
  Texts texts;
  const std::pair<const std::string*, std::string*> all[] = {
      {&paths_.certificate, &texts.certificate},
      {&paths_.key, &texts.key},
      {&paths_.client_authorities, &texts.authorities},
      {&paths_.revocations, &texts.revocations}};
  for (const auto& [path, text] : all) {
    if (path->empty()) continue;
    absl::StatusOr<std::string> read = ReadFile(*path);
    if (!read.ok()) return read.status();
    if (read->empty()) return absl::InvalidArgumentError(*path + ": is empty");
    *text = *std::move(read);
  }
  return texts;
}

// Which files these are, and when they last changed. A change that leaves all of that as it was has
// happened within one tick of the file system's clock; SIGHUP reads it all the same.
std::string TlsFiles::Stamps() const {
  std::string stamps;
  for (const std::string* const path :
       {&paths_.certificate, &paths_.key, &paths_.client_authorities, &paths_.revocations}) {
    struct stat status = {};
    if (!path->empty() && stat(path->c_str(), &status) != 0) status = {};
    absl::StrAppend(&stamps, status.st_dev, ":", status.st_ino, ":", status.st_size, ":",
                    status.st_ctim.tv_sec, ".", status.st_ctim.tv_nsec, ";");
  }
  return stamps;
}

absl::StatusOr<bool> TlsFiles::ReloadIfTouched() {
  {
    const MutexLock reload(reload_mutex_);
    if (Stamps() == stamps_) return false;
  }
  return Reload();
}

absl::StatusOr<bool> TlsFiles::Reload() {
  const MutexLock reload(reload_mutex_);
  stamps_ = Stamps();  // before reading: a change meanwhile is seen next time
  absl::StatusOr<Texts> texts = Read();
  if (!texts.ok()) return texts.status();
  if (*texts == texts_) return false;
  const absl::Status pair = CheckKeyPair(texts->certificate, texts->key);
  if (!pair.ok()) return pair;
  absl::StatusOr<std::shared_ptr<const CertificateTrust>> trust =
      CertificateTrust::Parse(texts->authorities, texts->revocations);
  if (!trust.ok()) return Annotate(trust.status(), "tls-client-ca or tls-crl");
  absl::Status published = ReplaceFile(authorities_path(), texts->authorities);
  if (published.ok()) {
    published = ReplaceFile(identity_path(), absl::StrCat(texts->key, "\n", texts->certificate));
  }
  if (!published.ok()) return published;
  texts_ = *std::move(texts);
  const MutexLock lock(mutex_);
  trust_ = *std::move(trust);
  return true;
}

std::shared_ptr<const CertificateTrust> TlsFiles::trust() const {
  const MutexLock lock(mutex_);
  return trust_;
}

}  // namespace ocid
