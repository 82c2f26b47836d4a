// ocirun create, ocirun run.
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "runtime/cli/command.h"
#include "runtime/cli/console.h"
#include "runtime/cli/log.h"
#include "runtime/cli/notify_socket.h"

namespace ocid {
namespace {

absl::StatusOr<CreateOptions> ReadCreateOptions(const Invocation& invocation) {
  const absl::StatusOr<std::string> id = OnlyArgument(invocation);
  if (!id.ok()) return id.status();
  const Flags& flags = invocation.flags;
  const absl::StatusOr<std::optional<int64_t>> preserve = flags.Number("preserve-fds");
  if (!preserve.ok()) return preserve.status();
  constexpr int64_t kMostPreserved = 1 << 16;
  const int64_t count = preserve->value_or(0);
  if (count < 0 || count > kMostPreserved) {
    return absl::InvalidArgumentError("--preserve-fds: must be from 0 to 65536");
  }
  return CreateOptions{.id = *id,
                       .bundle = flags.Value("bundle", "."),
                       .config_file = flags.Value("config"),
                       .pid_file = flags.Value("pid-file"),
                       .console_socket = flags.Value("console-socket"),
                       .pidfd_socket = flags.Value("pidfd-socket"),
                       .preserve_fds = static_cast<unsigned>(count),
                       .keep_keyring = flags.Switch("no-new-keyring")};
}

absl::StatusOr<int> RunInForeground(const Invocation& invocation, const CreateOptions& options) {
  absl::StatusOr<Foreground> foreground = Foreground::Enter();
  if (!foreground.ok()) return foreground.status();
  absl::StatusOr<Created> created = Container::Create(invocation.runtime, options);
  if (!created.ok()) return created.status();
  Container& container = created->container;
  const bool keep = invocation.flags.Switch("keep");
  const absl::Cleanup remove = [&] {
    if (keep) return;
    const absl::Status deleted = container.Delete(/*force=*/true);
    if (!deleted.ok() && !absl::IsNotFound(deleted)) LogError(deleted.message());
  };
  absl::StatusOr<NotifyProxy> notify = NotifyProxy::Open(container.state());
  if (!notify.ok()) return notify.status();
  const absl::Status started = container.StartOwn(created->plan, &created->process);
  if (!started.ok()) return started;
  // For as long as it runs, others may pause it, update it or delete it.
  container.Unlock();
  return foreground->Wait(created->process, &*notify);
}

}  // namespace

std::vector<FlagSpec> CreateFlags() {
  return {{"bundle", "b", FlagKind::kValue, "directory of the bundle; default: the current one"},
          {"config", "f", FlagKind::kValue, "configuration in place of the bundle's config.json"},
          {"console-socket", "", FlagKind::kValue, "socket that receives the console"},
          {"pidfd-socket", "", FlagKind::kValue, "socket that receives a pidfd of the process"},
          {"pid-file", "", FlagKind::kValue, "file that the process ID is written to"},
          {"preserve-fds", "", FlagKind::kValue, "descriptors from 3 on that the process gets"},
          {"no-pivot", "", FlagKind::kIgnoredSwitch,
           "accepted; the root is always entered by "
           "pivot_root, which works on a ramdisk too"},
          {"no-new-keyring", "", FlagKind::kSwitch, "keep the caller's session keyring"},
          {"no-subreaper", "", FlagKind::kIgnoredSwitch, "accepted, without effect"}};
}

std::vector<FlagSpec> RunFlags() {
  std::vector<FlagSpec> flags = CreateFlags();
  flags.push_back({"detach", "d", FlagKind::kSwitch, "do not wait for the process"});
  flags.push_back({"keep", "", FlagKind::kSwitch, "keep the container when it has stopped"});
  return flags;
}

absl::StatusOr<int> RunCreate(const Invocation& invocation) {
  const absl::StatusOr<CreateOptions> options = ReadCreateOptions(invocation);
  if (!options.ok()) return options.status();
  const absl::StatusOr<Created> created = Container::Create(invocation.runtime, *options);
  if (!created.ok()) return created.status();
  return 0;
}

absl::StatusOr<int> RunRun(const Invocation& invocation) {
  absl::StatusOr<CreateOptions> options = ReadCreateOptions(invocation);
  if (!options.ok()) return options.status();
  options->detached = invocation.flags.Switch("detach");
  if (!options->detached) return RunInForeground(invocation, *options);
  absl::StatusOr<Created> created = Container::Create(invocation.runtime, *options);
  if (!created.ok()) return created.status();
  const absl::Status started = StartDetached(created->container);
  if (started.ok()) return 0;
  const absl::Status deleted = created->container.Delete(/*force=*/true);
  if (!deleted.ok()) LogError(deleted.message());
  return started;
}

}  // namespace ocid
