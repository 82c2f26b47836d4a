// The OCI `process` of an exec: the container's own, changed by what the exec asks for. Pure.
#ifndef OCID_DAEMON_COMPILER_EXEC_PROCESS_H_
#define OCID_DAEMON_COMPILER_EXEC_PROCESS_H_

#include <nlohmann/json_fwd.hpp>

#include "proto/ocid/v1/exec.pb.h"
#include "runtime/oci/oci_spec.h"

namespace ocid {

nlohmann::json ExecProcess(const OciSpec& spec, const v1::ExecConfig& config);

}  // namespace ocid

#endif  // OCID_DAEMON_COMPILER_EXEC_PROCESS_H_
