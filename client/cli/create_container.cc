#include "client/cli/create_container.h"

#include <string_view>
#include <utility>

#include "client/cli/pull_progress.h"
#include "client/error.h"

namespace ocid::cli {

bool NamesItsRegistry(const std::string& name) {
  const size_t slash = name.find('/');
  if (slash == std::string::npos || slash == 0) return false;
  const std::string_view host = std::string_view(name).substr(0, slash);
  return host == "localhost" || host.find_first_of(".:") != std::string_view::npos;
}

absl::StatusOr<v1::Image> PullImage(Context& context, const v1::PullImageRequest& request) {
  auto stream = context.client().images().Pull(request, context.call());
  v1::PullImageResponse progress;
  v1::Image image;
  PullProgress screen(context.stdio().err);
  while (stream.Next(progress)) {
    if (progress.has_image()) image = progress.image();
    screen.Draw(progress);
  }
  screen.Erase();
  const absl::Status status = stream.Finish();
  if (!status.ok()) return status;
  return image;
}

absl::StatusOr<v1::Container> CreateContainer(Context& context, const std::string& id,
                                              v1::ContainerConfig config,
                                              const ContainerFlags& flags) {
  v1::PullImageRequest pull;
  pull.set_reference(config.image());
  v1::CreateContainerRequest request;
  request.set_container_id(id);
  *request.mutable_config() = std::move(config);
  request.set_request_id(flags.request_id);
  request.set_validate_only(flags.dry_run);
  if (flags.pull == "always" && !pull.reference().empty() && !flags.dry_run) {
    const absl::StatusOr<v1::Image> pulled = PullImage(context, pull);
    if (!pulled.ok()) return pulled.status();
    request.mutable_config()->set_image(pulled->name());
  }
  absl::StatusOr<v1::Container> created =
      context.client().containers().Create(request, context.call());
  if (created.ok() || flags.dry_run || flags.pull != "missing" ||
      DecodeError(created.status()).reason != "IMAGE_NOT_FOUND" ||
      !NamesItsRegistry(pull.reference())) {
    return created;
  }
  const absl::StatusOr<v1::Image> pulled = PullImage(context, pull);
  if (!pulled.ok()) return pulled.status();
  request.mutable_config()->set_image(pulled->name());
  return context.client().containers().Create(request, context.call());
}

}  // namespace ocid::cli
