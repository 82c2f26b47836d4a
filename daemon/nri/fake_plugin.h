// FakePlugin: a plugin in the test's own process, as the reference's stub behaves on the wire.
//
// It reads like the stub does: a frame that is longer than the 4096 bytes of its buffer at the beginning
// of a message, and more than 256 frames in a row, are failures of the test. What it answers is a function
// of the method; by default nothing is adjusted. Thread-safe.
#ifndef OCID_DAEMON_NRI_FAKE_PLUGIN_H_
#define OCID_DAEMON_NRI_FAKE_PLUGIN_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "daemon/nri/nri_requests.h"
#include "daemon/nri/ttrpc_frame.h"
#include "proto/internal/nri/nri.pb.h"
#include "proto/internal/nri/ttrpc.pb.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"

namespace ocid {

class FakePlugin {
 public:
  // The payload of the answer, or an error. Called on the thread that reads; where there is a handler for
  // "slow", each call has a thread of its own, and may call the daemon.
  using Handler = std::function<ttrpc::Response(const ttrpc::Request& request)>;

  struct Options {
    std::string index = "10";
    std::string name = "fake";
    int events = 0;
    std::map<std::string, Handler> handlers = {};  // by method
    bool register_itself = true;
    bool legacy = false;  // answers UNIMPLEMENTED to what came with NRI 0.12
  };

  FakePlugin(const std::string& socket_path, Options options);
  explicit FakePlugin(const std::string& socket_path) : FakePlugin(socket_path, Options()) {}
  ~FakePlugin();
  FakePlugin(const FakePlugin&) = delete;
  FakePlugin& operator=(const FakePlugin&) = delete;

  int fd() const { return socket_.get(); }

  // "Configure", "Synchronize", "RunPodSandbox web", ... in the order of arrival.
  std::vector<std::string> calls() const;
  // Waits for up to five seconds until a call is among them.
  bool WaitForCall(const std::string& call) const;
  // All parts together.
  nri::SynchronizeRequest synchronized() const;
  int synchronize_parts() const;
  bool closed() const;
  bool WaitForClose() const;
  std::string protocol_error() const;

  // A call of the daemon's service.
  ttrpc::Response Call(const std::string& method, const std::string& payload);

  static ttrpc::Response Answer(const google::protobuf::Message& message);
  static ttrpc::Response Error(int code, const std::string& message);

 private:
  void Run();
  bool ReadFrame(uint32_t& stream, std::string& payload);
  void TakeFrame(uint32_t stream, const std::string& payload);
  void TakeRequest(const TtrpcHeader& header, const std::string& data);
  ttrpc::Response Handle(const ttrpc::Request& request);
  void Send(uint32_t mux, uint32_t stream, TtrpcType type, const std::string& data);
  bool WaitUntil(const std::function<bool()>& condition) const;

  const Options options_;
  UniqueFd socket_;
  Mutex write_mutex_;
  mutable Mutex mutex_;
  mutable CondVar changed_;
  std::vector<std::string> calls_ ABSL_GUARDED_BY(mutex_);
  nri::SynchronizeRequest synchronized_ ABSL_GUARDED_BY(mutex_);
  int synchronize_parts_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::string protocol_error_ ABSL_GUARDED_BY(mutex_);
  uint32_t next_stream_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<uint32_t, ttrpc::Response> answers_ ABSL_GUARDED_BY(mutex_);
  std::map<uint32_t, std::string> pending_;  // the reader's
  std::vector<std::thread> handlers_;        // the reader's
  std::thread reader_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_FAKE_PLUGIN_H_
