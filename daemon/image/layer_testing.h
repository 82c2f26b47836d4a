// For tests: tar archives made entry by entry, with whatever a hostile layer may hold.
//
// Headers are written by hand, because libarchive and tar(1) refuse to write what must be refused when
// it is read.
#ifndef OCID_DAEMON_IMAGE_LAYER_TESTING_H_
#define OCID_DAEMON_IMAGE_LAYER_TESTING_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/base/unique_fd.h"

namespace ocid {

struct TarEntry {
  char type = '0';  // tar(5): 0 file, 1 hard link, 2 symlink, 3 char, 4 block, 5 directory, 6 FIFO
  std::string path = {};
  std::string content = {};
  std::string link = {};
  uint32_t mode = 0644;
  uint64_t uid = 0;
  uint64_t gid = 0;
  int64_t mtime = 1'000'000'000;
  uint32_t major = 0;
  uint32_t minor = 0;
  std::vector<std::pair<std::string, std::string>> pax = {};  // an extended header of its own before it
  // What the header says where it is not content.size().
  int64_t lying_size = -1;
};

TarEntry Directory(std::string path, uint32_t mode = 0755);
TarEntry File(std::string path, std::string content, uint32_t mode = 0644);
TarEntry Symlink(std::string path, std::string target);
TarEntry HardLink(std::string path, std::string target);
TarEntry Whiteout(std::string path);  // an empty file of this name

std::string MakeTar(const std::vector<TarEntry>& entries);

enum class TestCompression { kGzip, kZstd };
std::string Compress(std::string_view bytes, TestCompression compression);

// An anonymous file with these bytes, at its start.
UniqueFd MemoryFile(std::string_view bytes);

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_LAYER_TESTING_H_
