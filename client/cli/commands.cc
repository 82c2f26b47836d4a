#include "client/cli/commands.h"

#include <span>

namespace ocid::cli {
namespace {

const CommandSpec* const kCommands[] = {
    // Containers
    &kCreateCommand,
    &kStartCommand,
    &kRunCommand,
    &kExecCommand,
    &kExecsCommand,
    &kAttachCommand,
    &kStopCommand,
    &kKillCommand,
    &kPauseCommand,
    &kResumeCommand,
    &kUpdateCommand,
    &kWaitCommand,
    &kDeleteCommand,
    // Looking
    &kListCommand,
    &kInspectCommand,
    &kLogsCommand,
    &kPsCommand,
    &kTopCommand,
    &kStatsCommand,
    &kEventsCommand,
    &kSpecCommand,
    // Devices, plugins, images
    &kDeviceCommand,
    &kPluginCommand,
    &kImageCommand,
    &kBundleCommand,
    // The daemon and ocictl
    &kVersionCommand,
    &kInfoCommand,
    &kDebugCommand,
    &kCompletionCommand,
};

}  // namespace

std::span<const CommandSpec* const> Commands() { return kCommands; }

}  // namespace ocid::cli
