#include "client/address.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/unique_fd.h"

namespace ocid {
namespace {

absl::Status Invalid(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("address \"", std::string(text), "\": ", std::string(why)));
}

absl::StatusOr<Address> UnixAddress(std::string_view text, std::string_view path) {
  if (path.empty()) return Invalid(text, "a path is missing after unix:");
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return Invalid(text, "the path is longer than the 107 bytes a unix socket can have");
  }
  return Address{.text = std::string(text),
                 .target = absl::StrCat("unix:", std::string(path)),
                 .unix_path = std::string(path)};
}

}  // namespace

absl::StatusOr<Address> ParseAddress(std::string_view text) {
  if (text.empty()) return Invalid(text, "empty");
  if (text.starts_with('/')) return UnixAddress(text, text);
  if (text.starts_with("unix://")) {
    const std::string_view path = text.substr(7);
    if (!path.starts_with('/'))
      return Invalid(text, "unix:// needs an absolute path: unix:///PATH");
    return UnixAddress(text, path);
  }
  if (text.starts_with("unix:")) return UnixAddress(text, text.substr(5));
  for (const std::string_view scheme : {"dns:", "ipv4:", "ipv6:"}) {
    if (text.starts_with(scheme) && text.size() > scheme.size()) {
      return Address{.text = std::string(text), .target = std::string(text), .unix_path = ""};
    }
  }
  // The daemon's own word for it, as in its `listen`.
  const std::string_view given = text;
  if (text.starts_with("tcp://")) text.remove_prefix(6);
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == text.size() ||
      text.find_first_not_of("0123456789", colon + 1) != std::string_view::npos) {
    return Invalid(given, "neither unix:///PATH nor tcp://HOST:PORT");
  }
  return Address{.text = std::string(given),
                 .target = absl::StrCat("dns:///", std::string(text)),
                 .unix_path = ""};
}

std::string ProbeUnixSocket(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof(name.sun_path)) return std::generic_category().message(ENAMETOOLONG);
  std::memcpy(name.sun_path, path.data(), path.size());
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return std::generic_category().message(errno);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) != 0) {
    return std::generic_category().message(errno);
  }
  return "";
}

}  // namespace ocid
