// Replays the seeds of one fuzz target in an ordinary build. Arguments: files and folders. Names
// each seed first, so that the last one named is the one that the program died of.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "tests/fuzz/fuzz_input.h"

namespace {

using std::filesystem::path;

std::vector<path> FilesOf(const path& seed) {
  if (!std::filesystem::is_directory(seed)) return {seed};
  std::vector<path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(seed)) {
    if (!entry.is_directory()) files.push_back(entry.path());
  }
  return files;
}

bool Replay(const path& file) {
  std::fprintf(stderr, "%s\n", file.c_str());
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return false;
  const std::vector<char> bytes((std::istreambuf_iterator<char>(stream)), {});
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  size_t replayed = 0;
  for (int i = 1; i < argc; ++i) {
    for (const path& file : FilesOf(argv[i])) {
      if (!Replay(file)) return EXIT_FAILURE;
      ++replayed;
    }
  }
  return replayed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
