// SpecCompiler: from what a caller asks for to what the executor runs, as the container manager needs
// it. The daemon's own is made of the spec pipeline and the plan compiler; tests have a fake.
//
//   config --Generate--> spec + journal --CompilePlan--> launch plan      (create, each start)
//                        spec + exec config --CompileExecPlan--> join plan
//                        journal --Describe--> OciSpecHistory             (inspect, render)
//                        spec + processes --DetectDrift--> differences
//
// Nothing here changes anything: no process, cgroup or file exists afterwards that was not there
// before, but for what plugins do. Thread-safe. Generate reads the bundle and CDI files, and may block on them.
#ifndef OCID_DAEMON_CONTAINER_SPEC_COMPILER_H_
#define OCID_DAEMON_CONTAINER_SPEC_COMPILER_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/ocid/v1/container.pb.h"
#include "proto/ocid/v1/exec.pb.h"
#include "proto/ocid/v1/spec.pb.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/oci/oci_spec.h"

namespace ocid {

// The spec of one generation.
struct GeneratedSpec {
  OciSpec spec;
  std::string sha256;   // of spec.Canonical(), "sha256:<hex>"
  std::string journal;  // how it came to be, for the record and Describe
  std::string original_sha256 = {};  // of the document before the first device or plugin
};

class PluginCalls;  // daemon/nri/plugin_calls.h

struct CompiledPlan {
  std::string plan;             // what the supervisor gets
  std::string executor_sha256;  // of the document it was compiled from
};

struct HistoryOptions {
  v1::SpecView view = v1::SPEC_VIEW_UNSPECIFIED;
  bool include_documents = false;
  bool redact = false;
};

// What a look for drift needs to know of a container that has a process.
struct DriftQuestion {
  std::string container_id;
  pid_t init_pid = 0;
  uint64_t init_start_time = 0;  // field 22 of proc_pid_stat(5)
  pid_t supervisor_pid = 0;
  bool executed = false;      // the program runs; before that the process is the launcher's
  std::string journal;        // of the generation
  std::string spec_text;      // its final spec
  std::string updated_resources;  // what updates have set since, as JSON; empty: nothing
  std::vector<CgroupPath> cgroups;
  bool systemd = false;  // which keeps the cgroup
  bool redact = false;
};

// What a launch finds made.
struct LaunchPlaces {
  std::vector<CgroupPath> cgroups = {};
  std::string network_namespace = {};  // CreatePlanRequest::network_namespace
};

class SpecCompiler {
 public:
  virtual ~SpecCompiler() = default;

  // `plugins`: who is asked, and where they answer something that changes other containers, changes
  // them; null: nobody. Blocks as long as they take.
  virtual absl::StatusOr<GeneratedSpec> Generate(const std::string& container_id,
                                                 const v1::ContainerConfig& config,
                                                 absl::Time create_time,
                                                 PluginCalls* plugins) const = 0;

  // For a plan that is run, `places` must exist.
  virtual absl::StatusOr<CompiledPlan> CompilePlan(const std::string& container_id,
                                                   const v1::ContainerConfig& config,
                                                   const OciSpec& spec,
                                                   const LaunchPlaces& places) const = 0;

  // `config.args` is not empty.
  virtual absl::StatusOr<std::string> CompileExecPlan(const std::string& container_id,
                                                      const v1::ContainerConfig& config,
                                                      const OciSpec& spec,
                                                      const v1::ExecConfig& exec) const = 0;

  // Where the kernel disagrees with the final spec. Blocks on /proc and on files of the container.
  virtual absl::StatusOr<v1::DetectDriftResponse> DetectDrift(
      const DriftQuestion& question) const = 0;

  // All of the history but container_id, generation and executor_sha256.
  virtual absl::StatusOr<v1::OciSpecHistory> Describe(std::string_view journal,
                                                      const HistoryOptions& options) const = 0;
};

}  // namespace ocid

#endif  // OCID_DAEMON_CONTAINER_SPEC_COMPILER_H_
