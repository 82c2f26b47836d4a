// What NRI plugins see of a container and its pod.
//
// A container here has no pod; plugins expect one. Each gets a pod of its own with the container's
// id, name, labels and annotations, because the usual plugins look for their instructions in the
// pod's annotations, by the container's name. Members that plugins index into without a look are
// always there, if empty: hooks, linux, linux.resources, linux.resources.memory,
// linux.resources.cpu.
//
// The spec may be any JSON object, checked or not: what has another type than the specification
// says is left out. Pure functions: thread-safe, nothing blocks. Source: containerd/nri pkg/api
// (v1alpha1); opencontainers/runtime-spec config.md, config-linux.md.
#ifndef OCID_DAEMON_NRI_NRI_CONTAINER_H_
#define OCID_DAEMON_NRI_NRI_CONTAINER_H_

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/nri/plugin_calls.h"
#include "runtime/oci/oci_spec.h"

namespace ocid {

// The namespace that every pod is in.
inline constexpr std::string_view kNriPodNamespace = "ocid";

// The container as it is at its creation: state CONTAINER_UNKNOWN, no process, no times. For later
// events the caller sets what has come to be. `cdi_devices`: that the request asked for.
nri::Container DescribeContainer(const OciSpec& spec, const PluginSubject& subject,
                                 const std::vector<std::string>& cdi_devices = {});

// The pod of a container. Of `subject`, its pod is not looked at. A network namespace without a path is
// left out, and the pod's addresses are for the caller to add.
nri::PodSandbox DescribePod(const OciSpec& spec, const PluginSubject& subject);

// linux.resources of a spec, with `memory` and `cpu` always present.
nri::LinuxResources DescribeResources(const nlohmann::json& resources);

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_NRI_CONTAINER_H_
