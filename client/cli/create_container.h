// CreateContainer: what `create` and `run` have in common after their flags.
//
// Belongs to one thread and blocks as the daemon's answers do.
#ifndef OCID_CLIENT_CLI_CREATE_CONTAINER_H_
#define OCID_CLIENT_CLI_CREATE_CONTAINER_H_

#include <string>

#include "absl/status/statusor.h"
#include "client/cli/command.h"
#include "client/cli/container_flags.h"

namespace ocid::cli {

// Whether `name` says which registry has it, as docker does: its first component is a host, with a
// dot, a port, or "localhost".
bool NamesItsRegistry(const std::string& name);

// Pulls an image; draws how far it is where standard error is a terminal.
absl::StatusOr<v1::Image> PullImage(Context& context, const v1::PullImageRequest& request);

// Creates `id` of `config`. An image that the daemon does not have is pulled before, as `flags.pull`
// says; not for a dry run, which changes nothing. The daemon's errors.
absl::StatusOr<v1::Container> CreateContainer(Context& context, const std::string& id,
                                              v1::ContainerConfig config,
                                              const ContainerFlags& flags);

}  // namespace ocid::cli

#endif  // OCID_CLIENT_CLI_CREATE_CONTAINER_H_
