// The supervisor's control server and the formats beside it, on messages that no daemon would send.
// Each message that is not one gets one answer, and the connection goes on.
#include <sys/socket.h>

#include <cstring>
#include <memory>
#include <vector>

#include "runtime/supervisor/control_protocol.h"
#include "runtime/supervisor/control_server.h"
#include "runtime/supervisor/exit_record.h"
#include "tests/fuzz/fuzz_input.h"

namespace ocid {
namespace {

struct Counter {
  ControlServer server;
  int handled = 0;
};

template <typename Body>
void ReadBody(const Request& request) {
  // On the heap, so that a body that is copied too far is seen.
  const std::vector<char> bytes(request.bytes, request.bytes + request.size);
  const auto body = std::make_unique<Body>();
  if (!ParseBody(bytes.data(), bytes.size(), body.get())) return;
  if constexpr (requires { body->target; }) {
    if (IsValid(body->target)) {
      FUZZ_CHECK(SameTarget(body->target, body->target), "a target differs from itself");
    }
  }
}

void Handle(void* self, Request& request, ReplyTo to) {
  auto* counter = static_cast<Counter*>(self);
  ++counter->handled;
  ReadBody<LaunchBody>(request);
  ReadBody<TargetBody>(request);
  ReadBody<SignalBody>(request);
  ReadBody<ResizeBody>(request);
  ReadBody<AttachBody>(request);
  ReadBody<StatusRequestBody>(request);
  counter->server.Send(to, {.value = request.header.type});
}

void ServeMessages(FuzzInput& input) {
  EventLoop loop;
  FUZZ_CHECK(loop.Open() == 0, "epoll");
  int ends[2];
  FUZZ_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0,
             "socketpair");
  const UniqueFd daemon(ends[0]);
  const auto counter = std::make_unique<Counter>();
  counter->server.Open(&loop, UniqueFd(ends[1]), UniqueFd(), &Handle, counter.get());

  int sent = 0;
  int answered = 0;
  while (!input.empty() && sent < 32) {
    std::string message(input.Bytes(1 + input.Take<uint16_t>() % 512));
    // Most messages get a sound header, or nothing would pass it.
    if (input.Below(4) != 0 && message.size() >= sizeof(MessageHeader)) {
      MessageHeader header;
      header.size = static_cast<uint32_t>(message.size());
      header.type = static_cast<uint16_t>(input.Below(32));
      header.request_id = input.Take<uint64_t>();
      std::memcpy(message.data(), &header, sizeof(header));
    }
    if (message.empty()) continue;
    if (send(daemon.get(), message.data(), message.size(), MSG_NOSIGNAL) < 0) break;
    ++sent;
    loop.RunOnce(0);
    char reply[kMaxControlMessageBytes];
    const ssize_t size = recv(daemon.get(), reply, sizeof(reply), MSG_DONTWAIT);
    MessageHeader header;
    if (size > 0 && ParseHeader(reply, static_cast<size_t>(size), &header)) ++answered;
  }
  FUZZ_CHECK(answered == sent, std::to_string(answered) + " of " + std::to_string(sent));
}

}  // namespace
}  // namespace ocid

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ocid::FuzzInput input(data, size);
  if (input.Below(2) == 0) {
    ocid::ServeMessages(input);
    return 0;
  }
  const std::vector<char> bytes(data, data + size);
  ocid::AttachFrameHeader frame;
  ocid::ParseFrame(bytes.data(), bytes.size(), &frame);
  return 0;
}
