#include <csignal>
#include <string>
#include <vector>

#include "client/cli/app.h"

int main(int argc, char** argv) {
  // A reader that goes away is an error of write(2), which is handled where it happens: the
  // terminal is to be put right and a container of `run` to be waited for.
  std::signal(SIGPIPE, SIG_IGN);
  return ocid::cli::RunApp(std::vector<std::string>(argv + 1, argv + argc), ocid::cli::Stdio{});
}
