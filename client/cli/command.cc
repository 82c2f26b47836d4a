#include "client/cli/command.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/proto_json.h"
#include "client/cli/text.h"
#include "client/error.h"

namespace ocid::cli {
namespace {

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

// "web: no such container (CONTAINER_NOT_FOUND)", and below it what else came.
// Texts may hold what a bundle or a container says: none of it reaches the terminal as it is.
std::string Describe(std::string_view subject, const ApiError& error) {
  std::string text = std::string(subject);
  const std::string message = Printable(error.message);
  // The daemon often opens with the same words.
  if (!text.empty() && !absl::StartsWith(message, text + ": ")) {
    absl::StrAppend(&text, ": ", message);
  } else {
    text = message;
  }
  const std::string reason =
      error.reason.empty() ? absl::StatusCodeToString(error.code) : error.reason;
  absl::StrAppend(&text, " (", reason, ")\n");
  for (const ApiError::FieldViolation& violation : error.field_violations) {
    // A single violation often is the message.
    if (absl::EndsWith(error.message, violation.field + ": " + violation.description)) continue;
    absl::StrAppend(&text, "  ", violation.field.empty() ? "/" : Printable(violation.field), ": ",
                    Printable(violation.description), "\n");
  }
  for (const ApiError::PreconditionViolation& violation : error.precondition_violations) {
    absl::StrAppend(&text, "  ", Printable(violation.subject), ": ",
                    Printable(violation.description), "\n");
  }
  if (error.retry_delay.has_value()) {
    absl::StrAppend(&text, "  try again in ", FormatShort(*error.retry_delay), "\n");
  }
  return text;
}

std::string UnreachableHint(const Address& address) {
  if (!address.is_unix()) return "";
  return absl::StrCat("  Is ocid running? Start it with `ocid --listen unix://", address.unix_path,
                      "`, or name\n  another address with --address or OCID_ADDRESS.\n");
}

}  // namespace

absl::Status Context::Prepare() {
  if (!global_.timeout.empty()) {
    const absl::StatusOr<absl::Duration> timeout = ParseDuration(global_.timeout);
    if (!timeout.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--timeout ", timeout.status().message()));
    }
    timeout_ = *timeout;
  }
  ClientOptions options;
  const absl::StatusOr<Address> address = ParseAddress(global_.address);
  if (address.ok() && !address->is_unix()) {
    auto credentials = ReadTlsCredentials({.certificate = global_.tls_cert,
                                           .key = global_.tls_key,
                                           .authorities = global_.tls_ca});
    if (!credentials.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(credentials.status().message(),
                                                     " (--tls-cert, --tls-key, --tls-ca)"));
    }
    options.credentials = *std::move(credentials);
  }
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(global_.address, options);
  if (!client.ok()) return client.status();
  client_ = *std::move(client);
  return absl::OkStatus();
}

int Context::Fail(std::string_view subject, const absl::Status& status) {
  const ApiError error = DecodeError(status);
  std::string text = absl::StrCat("ocictl: ", title_, subject.empty() ? "" : " ");
  if (IsUnreachable(error)) {
    absl::StrAppend(&text, View(subject), ": ", error.message, "\n",
                    client_ == nullptr ? "" : UnreachableHint(client_->address()));
  } else {
    const std::string described = Describe(subject, error);
    absl::StrAppend(&text, subject.empty() ? ": " : "", described);
  }
  Output(stdio_.err).Write(text);
  return ExitCodeFor(error, command_.stands_in);
}

int Context::Usage(const absl::Status& status) {
  Output(stdio_.err)
      .Write(absl::StrCat("ocictl: ", title_, ": ", status.message(), "\n  See `ocictl ", title_,
                          " --help`.\n"));
  return kUsage;
}

bool Context::AwaitDaemon() {
  constexpr absl::Duration kPatience = absl::Seconds(30);
  constexpr absl::Duration kQuiet = absl::Seconds(3);
  if (client_->WaitUntilReachable(kQuiet)) return true;
  out_.Flush();
  Note("ocictl: the daemon is away; waiting for it");
  return client_->WaitUntilReachable(kPatience - kQuiet);
}

void Context::Note(std::string_view text) {
  Output(stdio_.err).Write(absl::StrCat(View(text), "\n"));
}

void Context::PrintDone(const v1::Container& container) {
  out_.Write(json() ? PrettyJson(ToJson(container)) : container.id() + "\n");
}

void Context::PrintDone(const std::string& id) {
  out_.Write(json() ? PrettyJson(nlohmann::ordered_json{{"id", id}}) : id + "\n");
}

CLI::Option* AddRepeated(CLI::App& app, const std::string& name, std::vector<std::string>& values,
                         const std::string& description) {
  return app.add_option(name, values, description)->allow_extra_args(false);
}

int ForEachId(Context& context, const std::vector<std::string>& ids,
              const std::function<absl::Status(const std::string&)>& act) {
  int code = kSuccess;
  for (const std::string& id : ids) {
    const absl::Status status = act(id);
    if (!status.ok()) code = context.Fail(id, status);
  }
  return code;
}

}  // namespace ocid::cli
