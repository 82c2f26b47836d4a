// ImageFiles: the files of an image in a folder or in an archive on the host, by name.
//
// A folder is read where it is, below its descriptor and through no link. An archive (tar, perhaps
// compressed with gzip or zstd) is first spread into the store's staging area, with files named by
// number: its names never become paths. Links within an archive, as `docker save` once wrote them, are
// names for other files of it.
//
// What comes from here is of unknown content: whoever reads it verifies digests.
//
// Thread-safe. Opening blocks on the disk. Errors: IMAGE_INVALID, StoreFailed.
#ifndef OCID_DAEMON_IMAGE_IMAGE_FILES_H_
#define OCID_DAEMON_IMAGE_IMAGE_FILES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

class ImageFiles {
 public:
  struct Limits {
    uint64_t archive_bytes = uint64_t{256} << 30;  // of all files together
    uint64_t entries = 100'000;
  };

  virtual ~ImageFiles() = default;

  // A regular file, at its start. IMAGE_INVALID where there is none of this name.
  virtual absl::StatusOr<UniqueFd> Open(std::string_view name) const = 0;
  virtual bool Contains(std::string_view name) const = 0;

  // The whole of a small file.
  absl::StatusOr<std::string> Read(std::string_view name, uint64_t limit_bytes) const;
};

// `path` is absolute: a folder, or an archive. An archive is spread into a new folder in `staging`,
// which goes with the object.
absl::StatusOr<std::unique_ptr<ImageFiles>> OpenImageFiles(const std::string& path,
                                                           const std::string& staging,
                                                           const ImageFiles::Limits& limits = {});

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_IMAGE_FILES_H_
