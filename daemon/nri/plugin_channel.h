// PluginChannel: the one connection to a plugin, with ttrpc in both directions over the multiplexer.
//
//   auto channel = PluginChannel::Start(std::move(socket), {.on_request = ..., .on_closed = ...});
//   RpcResult result = channel->Call("CreateContainer", payload, absl::Seconds(2));
//   channel->Close("no longer needed");
//
// Any number of calls may be under way; each waits for its own answer. Requests of the plugin are taken
// at any time, also while a call to it waits. Whatever the peer does (garbage, silence, a full socket)
// costs this connection only: calls end at their deadline or when the connection does.
//
// One thread at a time reads the socket. A call that finds nobody reading does so itself until it has its
// answer, which saves the way over another thread: waking an idle processor takes longer than the rest of
// a call. At all other times the channel's own thread watches the socket and reads when something comes.
//
// Shared: the channel's thread holds a reference until the connection is closed. Thread-safe. Call blocks;
// callbacks run on the thread that reads, under no lock, and must not block.
#ifndef OCID_DAEMON_NRI_PLUGIN_CHANNEL_H_
#define OCID_DAEMON_NRI_PLUGIN_CHANNEL_H_

#include <sys/uio.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "daemon/nri/mux_frame.h"
#include "daemon/nri/ttrpc_frame.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

// How a call to a plugin ended.
struct RpcResult {
  enum class Kind {
    kAnswered,
    kError,    // the plugin answered `code` and `message`
    kTimeout,
    kLost,     // the connection was closed: `message`
    kTooLarge, // not sent: more than a message may hold
  };
  Kind kind = Kind::kLost;
  int code = 0;
  std::string message = {};
  std::string payload = {};

  bool ok() const { return kind == Kind::kAnswered; }
};

class PluginChannel : public std::enable_shared_from_this<PluginChannel> {
 public:
  // Answers one request of the plugin: once, on any thread. Blocks for a moment where the peer does not
  // read.
  using Reply = std::function<void(const RpcResult& result)>;

  struct Callbacks {
    // A call of the daemon's service.
    std::function<void(std::string_view method, std::string payload, Reply reply)> on_request;
    // The last callback, on the channel's thread. `reason` is Close's or what went wrong.
    std::function<void(const std::string& reason)> on_closed;
  };

  // `socket`: a connected stream socket. Where there are no descriptors left, the channel ends at once.
  static std::shared_ptr<PluginChannel> Start(UniqueFd socket, Callbacks callbacks);
  PluginChannel(const PluginChannel&) = delete;
  PluginChannel& operator=(const PluginChannel&) = delete;
  ~PluginChannel();

  // Calls the plugin's service. `payload` is the encoded request.
  RpcResult Call(std::string_view method, std::string_view payload, absl::Duration timeout);

  // The first reason counts. Calls that wait end with kLost.
  void Close(const std::string& reason);

 private:
  struct PendingCall;

  PluginChannel(UniqueFd socket, Callbacks callbacks);
  // The channel's thread, until the connection is closed.
  void Watch();
  // Until the call is answered or its deadline has passed. This thread reads where nobody else does.
  void Await(PendingCall& call, absl::Time deadline);
  // Hands on what has come; does not wait for more. For who has set reading_; ends with EndReading.
  void Read();
  void EndReading();
  // The events of the socket that wake the channel's thread, once. It hears of a hang-up in any case.
  void WakeOn(uint32_t events);
  absl::Status TakeRequest(const TtrpcHeader& header, std::string_view data);
  absl::Status TakeResponse(const TtrpcHeader& header, std::string_view data);
  void Answer(uint32_t stream, const RpcResult& result);
  // One message in at most two frames. False where it could not be sent: the channel is closed then.
  bool Send(uint32_t mux_stream, const TtrpcHeader& header, std::string_view data,
            absl::Time deadline);
  bool SendAll(iovec* parts, size_t count, absl::Time deadline);
  // False once the deadline has passed.
  bool WaitFor(int16_t events, absl::Time deadline) const;

  const UniqueFd socket_;
  const UniqueFd epoll_;  // what the channel's thread waits for: the socket, while nobody reads it
  const Callbacks callbacks_;

  // The order of messages on the wire. Held while a message is written, which ends at its deadline.
  Mutex write_mutex_;

  Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;  // some thread is
  std::string close_reason_ ABSL_GUARDED_BY(mutex_);
  uint32_t next_stream_ ABSL_GUARDED_BY(write_mutex_) = 1;
  std::map<uint32_t, PendingCall*> pending_ ABSL_GUARDED_BY(mutex_);

  // Of the thread that reads.
  std::vector<char> buffer_;
  MuxParser mux_;
  TtrpcParser responses_;
  TtrpcParser requests_;
  uint32_t last_request_stream_ = 0;
};

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_PLUGIN_CHANNEL_H_
