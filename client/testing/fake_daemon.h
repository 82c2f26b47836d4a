// A daemon for the client's tests alone: it keeps a few containers in memory, runs nothing, and
// answers over a real unix socket. Scripts itself by names: see the comments on each service in the
// .cc file.
//
// Thread-safe. The destructor stops the server.
#ifndef OCID_CLIENT_TESTING_FAKE_DAEMON_H_
#define OCID_CLIENT_TESTING_FAKE_DAEMON_H_

#include <memory>
#include <string>
#include <vector>

#include "proto/ocid/v1/container.pb.h"
#include "proto/ocid/v1/exec.pb.h"
#include "proto/ocid/v1/spec.pb.h"

namespace ocid::testing {

class FakeDaemon {
 public:
  struct State;  // what the services share; of the .cc file alone

  // Listens on a socket in a folder of its own.
  FakeDaemon();
  ~FakeDaemon();
  FakeDaemon(const FakeDaemon&) = delete;
  FakeDaemon& operator=(const FakeDaemon&) = delete;

  std::string address() const;

  void AddContainer(const v1::Container& container);
  void SetHistory(const v1::OciSpecHistory& history);
  // What the main process and every exec write, and end with.
  void SetProcess(std::string output, std::string errors, int exit_code);

  v1::CreateContainerRequest last_create() const;
  v1::CreateExecRequest last_exec() const;
  v1::UpdateContainerRequest last_update() const;
  std::vector<std::string> deleted() const;
  std::string received_stdin() const;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace ocid::testing

#endif  // OCID_CLIENT_TESTING_FAKE_DAEMON_H_
