// PipelineCompiler: the daemon's own SpecCompiler, made of the spec pipeline and the plan compiler.
//
// Thread-safe. Generate blocks on the bundle's and CDI's files; the rest is computation.
#ifndef OCID_DAEMON_COMPILER_PIPELINE_COMPILER_H_
#define OCID_DAEMON_COMPILER_PIPELINE_COMPILER_H_

#include <functional>
#include <memory>
#include <string>

#include "daemon/container/spec_compiler.h"
#include "daemon/spec/transformers/transformers.h"
#include "runtime/plan/plan_compile.h"

namespace ocid {

class CdiRegistry;
struct SeccompDefault;
class ImageRootfs;

struct PipelineCompilerOptions {
  CdiRegistry* devices = nullptr;  // must outlive the compiler; null: no devices
  const ImageRootfs* images = nullptr;  // must outlive the compiler; null: no images
  std::shared_ptr<const SeccompDefault> image_seccomp = nullptr;  // null: none
  HostFacts host;
  NriPluginsOptions plugins = {};
  // linux.cgroupsPath of a container whose bundle and request name none.
  std::function<std::string(const std::string& container_id)> default_cgroups_path;
  // See SpecEditor::Options.
  bool plugins_override_request = false;
};

std::unique_ptr<SpecCompiler> MakePipelineCompiler(PipelineCompilerOptions options);

}  // namespace ocid

#endif  // OCID_DAEMON_COMPILER_PIPELINE_COMPILER_H_
