// The HOME of a user of the container, as its /etc/passwd has it.
//
// The file is hostile: only a regular one is read, no further than 1 MiB, and inside the root.
#ifndef OCID_RUNTIME_CHILD_HOME_DIRECTORY_H_
#define OCID_RUNTIME_CHILD_HOME_DIRECTORY_H_

#include <cstddef>
#include <cstdint>

namespace ocid {

// Fills `text` with "HOME=" and the directory: "/" where the file says none, as of the runtimes
// before us. `root` is the container's root directory.
void FindHome(int root, uint64_t uid, char* text, size_t capacity);

}  // namespace ocid

#endif  // OCID_RUNTIME_CHILD_HOME_DIRECTORY_H_
