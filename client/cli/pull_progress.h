// The progress of a pull on a terminal: one bar for each layer, drawn over what was drawn before.
//
// FormatLayers is pure. A PullProgress belongs to one thread and writes as its descriptor does.
#ifndef OCID_CLIENT_CLI_PULL_PROGRESS_H_
#define OCID_CLIENT_CLI_PULL_PROGRESS_H_

#include <string>
#include <vector>

#include "proto/ocid/v1/image.pb.h"
#include "proto/ocid/v1/types.pb.h"

namespace ocid::cli {

// A line for each layer, and fewer where there are more layers than rows: then what is done, or has not
// begun, is counted in a line of its own. No line is longer than the terminal is wide.
std::vector<std::string> FormatLayers(const v1::PullImageResponse& progress,
                                      const v1::ConsoleSize& size);

class PullProgress {
 public:
  // Draws nothing where `fd` is no terminal.
  explicit PullProgress(int fd) : fd_(fd) {}
  // What was drawn goes.
  ~PullProgress() { Erase(); }
  PullProgress(const PullProgress&) = delete;
  PullProgress& operator=(const PullProgress&) = delete;

  void Draw(const v1::PullImageResponse& progress);
  void Erase();

 private:
  const int fd_;
  size_t drawn_lines_ = 0;
};

}  // namespace ocid::cli

#endif  // OCID_CLIENT_CLI_PULL_PROGRESS_H_
