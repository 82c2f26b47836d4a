// linux.netDevices: a network device of the host becomes the container's, with its addresses.
//
// Sources: rtnetlink(7), netdevice(7), runtime-spec config-linux.md#network-devices.
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "runtime/base/raw_syscall.h"
#include "runtime/launch/host_files.h"
#include "runtime/launch/host_steps.h"

namespace ocid {
namespace {

constexpr size_t kMaxAddresses = 64;
constexpr size_t kMaxAddressBytes = 128;
constexpr unsigned kMaxUnits = 100;  // as the kernel's own names with %d are few

// A request with room for its attributes.
class Request {
 public:
  template <typename Body>
  Request(uint16_t type, uint16_t flags, const Body& body) {
    nlmsghdr header = {};
    header.nlmsg_len = NLMSG_LENGTH(sizeof(body));
    header.nlmsg_type = type;
    header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
    memset(bytes_, 0, sizeof(bytes_));
    memcpy(bytes_, &header, sizeof(header));
    memcpy(bytes_ + NLMSG_HDRLEN, &body, sizeof(body));
  }

  bool Add(uint16_t type, const void* data, size_t size) {
    nlmsghdr* header = reinterpret_cast<nlmsghdr*>(bytes_);
    const size_t at = NLMSG_ALIGN(header->nlmsg_len);
    if (at + RTA_SPACE(size) > sizeof(bytes_)) return false;
    const rtattr attribute = {static_cast<uint16_t>(RTA_LENGTH(size)), type};
    memcpy(bytes_ + at, &attribute, sizeof(attribute));
    memcpy(bytes_ + at + RTA_LENGTH(0), data, size);
    header->nlmsg_len = static_cast<uint32_t>(at + RTA_LENGTH(size));
    return true;
  }

  const char* bytes() const { return bytes_; }
  size_t size() const { return reinterpret_cast<const nlmsghdr*>(bytes_)->nlmsg_len; }

 private:
  alignas(nlmsghdr) char bytes_[512];
};

struct Address {
  ifaddrmsg head = {};
  size_t size = 0;
  alignas(rtattr) char attributes[kMaxAddressBytes] = {};
};

struct Addresses {
  size_t count = 0;
  Address item[kMaxAddresses];
};

raw::Fd OpenNetlink() {
  return raw::Fd(raw::Call(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
}

long Send(int socket, const Request& request) {
  const long sent = raw::Retry(SYS_sendto, socket, request.bytes(), request.size(), 0, nullptr);
  return sent < 0 ? sent : 0;
}

// Calls `visit` for each message of the answer; ends at an acknowledgement or the end of a dump.
template <typename Visit>
long ReadAnswer(int socket, const Visit& visit) {
  for (;;) {
    alignas(nlmsghdr) char bytes[32768];
    const long size = raw::Retry(SYS_recvfrom, socket, bytes, sizeof(bytes), 0, nullptr);
    if (size < 0) return size;
    auto left = static_cast<int>(size);
    for (auto* message = reinterpret_cast<nlmsghdr*>(bytes); NLMSG_OK(message, left);
         message = NLMSG_NEXT(message, left)) {
      if (message->nlmsg_type == NLMSG_DONE) return 0;
      if (message->nlmsg_type == NLMSG_ERROR) {
        return reinterpret_cast<const nlmsgerr*>(NLMSG_DATA(message))->error;
      }
      visit(message);
    }
  }
}

long Ask(int socket, const Request& request) {
  const long sent = Send(socket, request);
  return sent < 0 ? sent : ReadAnswer(socket, [](const nlmsghdr*) {});
}

// 0: no such device.
int IndexOf(int socket, const char* name) {
  ifreq request = {};
  memcpy(request.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
  return raw::Call(SYS_ioctl, socket, SIOCGIFINDEX, &request) < 0 ? 0 : request.ifr_ifindex;
}

// Only what the specification keeps: permanent addresses that are good everywhere.
void KeepAddress(const nlmsghdr* message, int index, Addresses* addresses) {
  const auto* head = reinterpret_cast<const ifaddrmsg*>(NLMSG_DATA(message));
  if (message->nlmsg_type != RTM_NEWADDR || static_cast<int>(head->ifa_index) != index ||
      head->ifa_scope != RT_SCOPE_UNIVERSE || addresses->count == kMaxAddresses) {
    return;
  }
  Address& kept = addresses->item[addresses->count];
  kept = Address();
  kept.head = *head;
  uint32_t flags = head->ifa_flags;
  auto left = static_cast<int>(message->nlmsg_len - NLMSG_LENGTH(sizeof(*head)));
  for (const rtattr* attribute = IFA_RTA(head); RTA_OK(attribute, left);
       attribute = RTA_NEXT(attribute, left)) {
    if (attribute->rta_type == IFA_FLAGS) memcpy(&flags, RTA_DATA(attribute), sizeof(flags));
    const bool wanted = attribute->rta_type == IFA_ADDRESS || attribute->rta_type == IFA_LOCAL ||
                        attribute->rta_type == IFA_BROADCAST;
    const size_t space = RTA_ALIGN(attribute->rta_len);
    if (!wanted || kept.size + space > sizeof(kept.attributes)) continue;
    memcpy(kept.attributes + kept.size, attribute, attribute->rta_len);
    kept.size += space;
  }
  if ((flags & IFA_F_PERMANENT) != 0) ++addresses->count;
}

long ReadAddresses(int socket, int index, Addresses* addresses) {
  const ifaddrmsg all = {};
  const long sent = Send(socket, Request(RTM_GETADDR, NLM_F_DUMP, all));
  if (sent < 0) return sent;
  return ReadAnswer(socket, [&](const nlmsghdr* message) { KeepAddress(message, index, addresses); });
}

long AddAddress(int socket, const Address& address, int index) {
  ifaddrmsg head = address.head;
  head.ifa_index = static_cast<unsigned>(index);
  head.ifa_flags = 0;
  Request request(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, head);
  for (size_t at = 0; at < address.size;) {
    const auto* attribute = reinterpret_cast<const rtattr*>(address.attributes + at);
    request.Add(attribute->rta_type, RTA_DATA(attribute), RTA_PAYLOAD(attribute));
    at += RTA_ALIGN(attribute->rta_len);
  }
  return Ask(socket, request);
}

long SetUp(int socket, int index) {
  ifinfomsg link = {};
  link.ifi_index = index;
  link.ifi_flags = IFF_UP;
  link.ifi_change = IFF_UP;
  return Ask(socket, Request(RTM_NEWLINK, NLM_F_ACK, link));
}

// A socket of another network namespace: we go there for the length of one call.
raw::Fd OpenNetlinkIn(int space) {
  const raw::Fd own(
      raw::Call(SYS_openat, AT_FDCWD, "/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!own.ok()) return raw::Fd(-own.error());
  const long entered = raw::Call(SYS_setns, space, CLONE_NEWNET);
  if (entered < 0) return raw::Fd(entered);
  raw::Fd socket = OpenNetlink();
  const long returned = raw::Call(SYS_setns, own.get(), CLONE_NEWNET);
  return returned < 0 ? raw::Fd(returned) : static_cast<raw::Fd&&>(socket);
}

// Fills the first free number into a name with %d. False if there is none.
bool ChooseName(int socket, const char* pattern, char (&name)[IFNAMSIZ]) {
  const char* const percent = strchr(pattern, '%');
  const size_t length = strnlen(pattern, IFNAMSIZ);
  if (percent == nullptr) {
    if (length >= IFNAMSIZ) return false;
    memcpy(name, pattern, length + 1);
    return IndexOf(socket, name) == 0;
  }
  const auto before = static_cast<size_t>(percent - pattern);
  const size_t after = length - before - 2;
  for (unsigned unit = 0; unit < kMaxUnits; ++unit) {
    const Decimal number(unit);
    if (before + number.size() + after >= IFNAMSIZ) return false;
    memcpy(name, pattern, before);
    memcpy(name + before, number.text(), number.size());
    memcpy(name + before + number.size(), percent + 2, after + 1);
    if (IndexOf(socket, name) == 0) return true;
  }
  return false;
}

}  // namespace

Outcome MoveNetDevice(const char* name, const char* new_name, pid_t pid) {
  const raw::Fd host = OpenNetlink();
  if (!host.ok()) return From(-host.error());
  const int index = IndexOf(host.get(), name);
  if (index == 0) return From(-ENODEV, FailureDetail::kSource);
  Addresses addresses;
  const long read = ReadAddresses(host.get(), index, &addresses);
  if (read < 0) return From(read, FailureDetail::kDeviceAddress);
  const raw::Fd space(
      raw::Call(SYS_openat, AT_FDCWD, ProcPath(pid, "ns/net").text(), O_RDONLY | O_CLOEXEC));
  if (!space.ok()) return From(-space.error(), FailureDetail::kTarget);
  const raw::Fd container = OpenNetlinkIn(space.get());
  if (!container.ok()) return From(-container.error(), FailureDetail::kTarget);
  char chosen[IFNAMSIZ] = {};
  if (!ChooseName(container.get(), new_name, chosen)) {
    return From(-EEXIST, FailureDetail::kNameTaken);
  }
  ifinfomsg link = {};
  link.ifi_index = index;
  Request move(RTM_NEWLINK, NLM_F_ACK, link);
  const int fd = space.get();
  move.Add(IFLA_NET_NS_FD, &fd, sizeof(fd));
  move.Add(IFLA_IFNAME, chosen, strnlen(chosen, IFNAMSIZ) + 1);
  const long moved = Ask(host.get(), move);
  if (moved < 0) return From(moved, FailureDetail::kMoveDevice);
  const int there = IndexOf(container.get(), chosen);
  if (there == 0) return From(-ENODEV, FailureDetail::kMoveDevice);
  for (size_t i = 0; i < addresses.count; ++i) {
    const long added = AddAddress(container.get(), addresses.item[i], there);
    if (added < 0) return From(added, FailureDetail::kDeviceAddress);
  }
  return From(SetUp(container.get(), there), FailureDetail::kMoveDevice);
}

}  // namespace ocid
