// Layers: bytes as a layer's blob, and archives of hostile entries with sound headers. Nothing
// beside the root directory may change, whatever is in them.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "daemon/image/layer_apply.h"
#include "daemon/image/layer_testing.h"
#include "tests/fuzz/fuzz_input.h"

namespace ocid {
namespace {

namespace fs = std::filesystem;

constexpr char kCanaryText[] = "untouched";

// Paths and link targets that meet each other often, and try to leave.
std::string TakePath(FuzzInput& input) {
  static const char* const kParts[] = {"a", "b",     "link", "..",           ".",      "/",
                                       "",  ".wh.a", ".wh.", ".wh..wh..opq", "canary", "../canary"};
  std::string path = input.Below(4) == 0 ? "/" : "";
  for (uint32_t parts = 1 + input.Below(4); parts > 0; --parts) {
    path += kParts[input.Below(std::size(kParts))];
    if (parts > 1) path += "/";
  }
  return path;
}

std::vector<TarEntry> TakeEntries(FuzzInput& input) {
  std::vector<TarEntry> entries;
  while (!input.empty() && entries.size() < 32) {
    TarEntry entry;
    // No devices: they need privileges, and are made like FIFOs.
    entry.type = "0012225566x"[input.Below(11)];
    entry.path = TakePath(input);
    if (entry.type == '1' || entry.type == '2') entry.link = TakePath(input);
    if (entry.type == '0') entry.content = std::string(input.Bytes(input.Below(16)));
    entry.mode = input.Take<uint16_t>() & 07777;
    if (input.Below(8) == 0) entry.pax.emplace_back("path", TakePath(input));
    if (input.Below(8) == 0) entry.pax.emplace_back("linkpath", TakePath(input));
    if (input.Below(8) == 0) entry.pax.emplace_back("SCHILY.xattr.user.x", "y");
    if (input.Below(16) == 0) entry.lying_size = input.Take<int32_t>();
    entries.push_back(std::move(entry));
  }
  return entries;
}

// A folder of its own with the root, and a canary beside it.
class Scratch {
 public:
  Scratch() {
    const char* base = std::getenv("TEST_TMPDIR");
    path_ = std::string(base != nullptr ? base : "/tmp") + "/layer.XXXXXX";
    FUZZ_CHECK(mkdtemp(path_.data()) != nullptr, path_);
    fs::create_directory(path_ + "/root");
    fs::create_directory(path_ + "/canary");
    std::ofstream(path_ + "/canary/file") << kCanaryText;
  }
  ~Scratch() {
    // A layer may take the owner's permissions away from directories.
    std::error_code ignored;
    for (auto at = fs::recursive_directory_iterator(
             path_, fs::directory_options::skip_permission_denied, ignored);
         !ignored && at != fs::recursive_directory_iterator(); at.increment(ignored)) {
      if (at->is_directory(ignored) && !at->is_symlink(ignored)) {
        fs::permissions(at->path(), fs::perms::owner_all, ignored);
      }
    }
    fs::remove_all(path_, ignored);
  }

  UniqueFd OpenRoot() const {
    return UniqueFd(open((path_ + "/root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }

  void CheckCanary() const {
    size_t outside = 0;
    for (const auto& entry : fs::directory_iterator(path_)) {
      ++outside;
      FUZZ_CHECK(entry.is_directory() && !entry.is_symlink(), entry.path().string());
    }
    FUZZ_CHECK(outside == 2, "something new beside the root");
    std::ifstream file(path_ + "/canary/file");
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    FUZZ_CHECK(text == kCanaryText, text);
    struct stat info = {};
    FUZZ_CHECK(stat((path_ + "/canary/file").c_str(), &info) == 0 && info.st_nlink == 1,
               "the canary has another link");
  }

 private:
  std::string path_;
};

}  // namespace
}  // namespace ocid

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ocid::FuzzInput input(data, size);
  constexpr ocid::Compression kCompressions[] = {ocid::Compression::kNone, ocid::Compression::kGzip,
                                                 ocid::Compression::kZstd};
  const uint32_t kind = input.Below(4);
  ocid::LayerOptions options;
  options.compression = kind < 3 ? kCompressions[kind] : ocid::Compression::kNone;
  options.limits = {
      .stream_bytes = 1 << 20, .file_bytes = 1 << 20, .entries = 64, .xattr_bytes = 4096};
  options.owner = ocid::RootlessOwner{.uid = getuid(), .gid = getgid()};
  const std::string blob =
      kind < 3 ? std::string(input.Rest()) : ocid::MakeTar(ocid::TakeEntries(input));
  const ocid::Scratch scratch;
  const ocid::UniqueFd root = scratch.OpenRoot();
  // Twice: the second layer finds what the first has made.
  for (int layer = 0; layer < 2; ++layer) {
    ocid::ApplyLayer(ocid::MemoryFile(blob), ocid::BorrowedFd(root), options).IgnoreError();
  }
  scratch.CheckCanary();
  return 0;
}
