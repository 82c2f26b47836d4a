// ControlServer: the supervisor's end of the control protocol (control_protocol.h).
//
// Holds the listening socket and at most one connection; a new one replaces the old. Reads requests
// one at a time and hands them to the handler; while answers cannot be delivered, because the
// daemon does not read, no further requests are read, and a daemon that leaves too many events
// unread is cut off: it finds everything out again by kStatus.
//
// Thread-hostile. Never blocks.
#ifndef OCID_RUNTIME_SUPERVISOR_CONTROL_SERVER_H_
#define OCID_RUNTIME_SUPERVISOR_CONTROL_SERVER_H_

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/unique_fd.h"
#include "runtime/supervisor/control_protocol.h"
#include "runtime/supervisor/event_loop.h"

namespace ocid {

// One request. Descriptors that the handler does not take are closed after it returns.
struct Request {
  MessageHeader header;
  const char* bytes = nullptr;
  size_t size = 0;
  UniqueFd fds[kMaxMessageFds];
  size_t fd_count = 0;
};

// Whom to answer, possibly later: nobody any more, once the connection is another one.
struct ReplyTo {
  uint64_t connection = 0;  // 0: nobody
  uint64_t request_id = 0;
};

struct Reply {
  ReplyCode code = ReplyCode::kOk;
  int32_t value = 0;
  const void* body = nullptr;
  size_t size = 0;
  BorrowedFd fd = {};
};

class ControlServer {
 public:
  using Handler = void (*)(void* owner, Request& request, ReplyTo to);

  // Takes over `connection` and `listener`, either of which may be invalid.
  void Open(EventLoop* loop, UniqueFd connection, UniqueFd listener, Handler handler, void* owner);

  void Send(ReplyTo to, const Reply& reply);
  // kExited, kLogState.
  void SendEvent(MessageType type, const void* body, size_t size);

  // No connection, and never again one.
  bool deserted() const { return !connection_.valid() && !listener_.valid(); }
  bool connected() const { return connection_.valid(); }

 private:
  struct Pending;

  static void ListenerReady(void* self, uint32_t events);
  static void ConnectionReady(void* self, uint32_t events);
  void Accept();
  void Adopt(UniqueFd connection);
  void Disconnect();
  void ReadRequest();
  void SendMessage(const MessageHeader& header, const void* body, size_t size, BorrowedFd fd);
  bool FlushPending();

  EventLoop* loop_ = nullptr;
  Handler handler_ = nullptr;
  void* owner_ = nullptr;
  UniqueFd listener_;
  UniqueFd connection_;
  uint64_t connection_number_ = 0;
  Watcher listener_watcher_;
  Watcher connection_watcher_;
  Pending* first_pending_ = nullptr;
  Pending** last_pending_ = &first_pending_;
  size_t pending_count_ = 0;
  alignas(8) char buffer_[kMaxControlMessageBytes];
};

}  // namespace ocid

#endif  // OCID_RUNTIME_SUPERVISOR_CONTROL_SERVER_H_
