#include "client/cli/pull_progress.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace ocid::cli {
namespace {

void Add(v1::PullImageResponse& progress, const char* status, uint64_t done, uint64_t total) {
  auto& layer = *progress.add_layers();
  layer.set_digest("sha256:" + std::string(64, 'a'));
  layer.set_status(status);
  layer.set_done_bytes(done);
  layer.set_total_bytes(total);
}

v1::ConsoleSize Size(uint32_t width, uint32_t height) {
  v1::ConsoleSize size;
  size.set_columns(width);
  size.set_rows(height);
  return size;
}

TEST(FormatLayers, EachLayerHasABarThatSaysHowFarItIs) {
  v1::PullImageResponse progress;
  Add(progress, "fetching", 512, 1024);
  Add(progress, "done", 1024, 1024);
  Add(progress, "waiting", 0, 0);
  EXPECT_EQ(FormatLayers(progress, Size(200, 25)),
            (std::vector<std::string>{
                "sha256:aaaaaaaaaaaa  fetching   [===========>            ] 512 B of 1.0 KiB",
                "sha256:aaaaaaaaaaaa  done       [========================] 1.0 KiB",
                "sha256:aaaaaaaaaaaa  waiting    [                        ] "}));
}

TEST(FormatLayers, ManyLayersFitOnTheScreen) {
  v1::PullImageResponse progress;
  for (int i = 0; i < 100; ++i) Add(progress, "done", 1, 1);
  for (int i = 0; i < 30; ++i) Add(progress, "fetching", 0, 1);
  const std::vector<std::string> lines = FormatLayers(progress, Size(40, 10));
  ASSERT_EQ(lines.size(), 9U);
  EXPECT_EQ(lines.back(), "100 of 130 layers done");
  for (const std::string& line : lines) EXPECT_LE(line.size(), 40U);
}

TEST(FormatLayers, ALyingRegistryDrawsNoMoreThanAFullBar) {
  v1::PullImageResponse progress;
  Add(progress, "fetching", 99, 1);
  EXPECT_NE(FormatLayers(progress, Size(100, 10))[0].find("[========================]"),
            std::string::npos);
}

TEST(PullProgressTest, NothingIsDrawnWhereThereIsNoTerminal) {
  std::array<int, 2> pipe_fds;
  ASSERT_EQ(pipe(pipe_fds.data()), 0);
  v1::PullImageResponse progress;
  Add(progress, "fetching", 1, 2);
  PullProgress(pipe_fds[1]).Draw(progress);
  close(pipe_fds[1]);
  char byte = 0;
  EXPECT_EQ(read(pipe_fds[0], &byte, 1), 0);
  close(pipe_fds[0]);
}

}  // namespace
}  // namespace ocid::cli
