// Copies what is in one directory into another: what a tmpfs with "tmpcopyup" starts with.
//
// The source is hostile: nothing is followed, everything is reached by descriptor, and depth is
// limited. Modes, owners and times of files, directories, symlinks, fifos and
// device nodes are kept where the kernel lets them be; sockets are left out, and what is mounted
// below the source is not entered.
#ifndef OCID_RUNTIME_CHILD_COPY_TREE_H_
#define OCID_RUNTIME_CHILD_COPY_TREE_H_

namespace ocid {

// Both are directories; `source` may be O_PATH. 0, or -errno.
long CopyTree(int source, int target);

}  // namespace ocid

#endif  // OCID_RUNTIME_CHILD_COPY_TREE_H_
