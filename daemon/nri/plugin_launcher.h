// PluginLauncher: the plugins that the daemon starts itself, from a folder of executables "NN-name".
//
//   found -> started -> [connection] -> ended -> started again, after 1 s, 2 s, ... up to a minute
//
// A plugin gets its end of a socket pair as descriptor 3, three environment variables and nothing else.
// What it prints goes to the daemon's log, line by line, with its name. One that ran for a minute is
// started again after a second. Stop kills what runs and waits for it.
//
// Names that are not "NN-name", folders, files that are not executable and WebAssembly are skipped, with a
// line in the log where somebody may wonder.
//
// Thread-safe. Start reads the folder; Stop waits. Source: containerd/nri pkg/adaptation/plugin.go.
#ifndef OCID_DAEMON_NRI_PLUGIN_LAUNCHER_H_
#define OCID_DAEMON_NRI_PLUGIN_LAUNCHER_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

// An executable of the plugin folder.
struct PluginFile {
  std::string path;
  std::string index;
  std::string name;
};

// In the order of file names. A missing folder is an empty one.
std::vector<PluginFile> FindPluginFiles(const std::string& directory);

// The text of "NN-name.conf", else of "name.conf", else nothing. At most 1 MiB.
std::string ReadPluginConfig(const std::string& directory, const std::string& index,
                             const std::string& name);

// Splits "NN-name". False where it is something else.
bool ParsePluginName(std::string_view qualified, std::string& index, std::string& name);
// Whether an external plugin may call itself so.
bool IsPluginIndex(std::string_view index);
bool IsPluginName(std::string_view name);

class PluginLauncher {
 public:
  // A plugin that was started: the daemon's end of its connection, and its process.
  struct Started {
    const PluginFile& file;
    pid_t pid;
    UniqueFd pidfd;
    UniqueFd socket;
  };
  // On the plugin's thread here.
  using Connect = std::function<void(Started started)>;

  explicit PluginLauncher(Connect connect);
  ~PluginLauncher();
  PluginLauncher(const PluginLauncher&) = delete;
  PluginLauncher& operator=(const PluginLauncher&) = delete;

  // Starts what is in the folder, and returns it. Call once.
  absl::StatusOr<std::vector<PluginFile>> Start(const std::string& directory);
  void Stop();

 private:
  void Keep(const PluginFile& file);

  const Connect connect_;
  UniqueFd stop_event_;
  std::vector<std::thread> keepers_;  // one for each plugin
};

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_PLUGIN_LAUNCHER_H_
