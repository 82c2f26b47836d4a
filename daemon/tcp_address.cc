#include "daemon/tcp_address.h"

#include <cstddef>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/log.h"

namespace ocid {
namespace {

constexpr std::string_view kScheme = "tcp://";
constexpr int kMaxPort = 65535;

}  // namespace

absl::StatusOr<TcpAddress> ParseTcpAddress(std::string_view text) {
  const absl::Status wrong = absl::InvalidArgumentError(
      absl::StrCat(QuoteForLog(text), " is not an address such as tcp://0.0.0.0:7117"));
  if (!text.starts_with(kScheme)) return wrong;
  std::string_view rest = text.substr(kScheme.size());
  const size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return wrong;
  TcpAddress address{std::string(rest.substr(0, colon)), std::string(rest.substr(colon + 1))};
  if (address.host.front() == '[' && address.host.back() == ']') {
    address.host = address.host.substr(1, address.host.size() - 2);
  } else if (address.host.find(':') != std::string::npos) {
    return wrong;  // an IPv6 address without brackets: where does its port begin
  }
  int port = 0;
  if (address.host.empty() || !absl::SimpleAtoi(address.port, &port) || port < 0 ||
      port > kMaxPort) {
    return wrong;
  }
  return address;
}

}  // namespace ocid
