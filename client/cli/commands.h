// Every command of ocictl, each defined in the file of its name.
#ifndef OCID_CLIENT_CLI_COMMANDS_H_
#define OCID_CLIENT_CLI_COMMANDS_H_

#include "client/cli/command.h"

namespace ocid::cli {

extern const CommandSpec kCreateCommand;
extern const CommandSpec kStartCommand;
extern const CommandSpec kRunCommand;
extern const CommandSpec kExecCommand;
extern const CommandSpec kExecsCommand;
extern const CommandSpec kStopCommand;
extern const CommandSpec kKillCommand;
extern const CommandSpec kDeleteCommand;
extern const CommandSpec kPauseCommand;
extern const CommandSpec kResumeCommand;
extern const CommandSpec kUpdateCommand;
extern const CommandSpec kWaitCommand;
extern const CommandSpec kListCommand;
extern const CommandSpec kInspectCommand;
extern const CommandSpec kLogsCommand;
extern const CommandSpec kAttachCommand;
extern const CommandSpec kPsCommand;
extern const CommandSpec kTopCommand;
extern const CommandSpec kStatsCommand;
extern const CommandSpec kEventsCommand;
extern const CommandSpec kSpecCommand;
extern const CommandSpec kDeviceCommand;
extern const CommandSpec kPluginCommand;
extern const CommandSpec kImageCommand;
extern const CommandSpec kBundleCommand;
extern const CommandSpec kVersionCommand;
extern const CommandSpec kInfoCommand;
extern const CommandSpec kDebugCommand;
extern const CommandSpec kCompletionCommand;

}  // namespace ocid::cli

#endif  // OCID_CLIENT_CLI_COMMANDS_H_
