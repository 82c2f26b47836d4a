// MountTable: the mounts that one process sees, as /proc/PID/mountinfo lists them.
//
// A value; thread-compatible; nothing blocks. Source: proc_pid_mountinfo(5).
#ifndef OCID_DAEMON_SPEC_DRIFT_MOUNT_TABLE_H_
#define OCID_DAEMON_SPEC_DRIFT_MOUNT_TABLE_H_

#include <string>
#include <string_view>
#include <vector>

namespace ocid {

struct MountEntry {
  int id = 0;
  std::string device;  // "0:31"
  std::string root;    // of the mount, in its file system
  std::string mount_point;
  std::vector<std::string> options;  // of the mount: "ro", "nosuid"
  std::string type;
  std::string source;

  bool HasOption(std::string_view option) const;
  // "tmpfs on /data (ro, nosuid)"
  std::string Describe() const;
};

// In the order of the file: of several mounts at one place the last one covers the others. Lines
// that are none of mountinfo's are left out.
std::vector<MountEntry> ParseMountTable(std::string_view text);

}  // namespace ocid

#endif  // OCID_DAEMON_SPEC_DRIFT_MOUNT_TABLE_H_
