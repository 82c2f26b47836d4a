#include "client/cli/pull_progress.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "client/cli/output.h"
#include "client/cli/terminal.h"
#include "client/cli/text.h"

namespace ocid::cli {
namespace {

constexpr size_t kDigestLength = 19;  // "sha256:" and twelve digits
constexpr size_t kBarLength = 24;

bool IsDone(const v1::PullImageResponse::Layer& layer) {
  return layer.status() == "done" || layer.status() == "present";
}
bool IsWaiting(const v1::PullImageResponse::Layer& layer) { return layer.status() == "waiting"; }

std::string Bar(uint64_t done, uint64_t total) {
  const double part = total == 0 ? 0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto filled = static_cast<size_t>(part * kBarLength);
  std::string bar(filled, '=');
  if (filled > 0 && filled < kBarLength) bar.back() = '>';
  bar.resize(kBarLength, ' ');
  return absl::StrCat("[", bar, "]");
}

std::string FormatLayer(const v1::PullImageResponse::Layer& layer) {
  std::string line = Printable(layer.digest().substr(0, kDigestLength));
  line.resize(kDigestLength + 2, ' ');
  std::string status = Printable(layer.status());
  status.resize(std::max<size_t>(status.size(), 11), ' ');
  absl::StrAppend(&line, status, Bar(IsDone(layer) ? layer.total_bytes() : layer.done_bytes(), layer.total_bytes()), " ");
  if (!IsDone(layer) && layer.total_bytes() > layer.done_bytes()) {
    absl::StrAppend(&line, FormatSize(layer.done_bytes()), " of ");
  }
  if (layer.total_bytes() > 0) absl::StrAppend(&line, FormatSize(layer.total_bytes()));
  return line;
}

}  // namespace

std::vector<std::string> FormatLayers(const v1::PullImageResponse& progress,
                                      const v1::ConsoleSize& size) {
  const size_t rows = std::max<size_t>(size.rows(), 2) - 1;  // one for the cursor
  const bool all_fit = static_cast<size_t>(progress.layers_size()) <= rows;
  std::vector<std::string> lines;
  size_t done = 0;
  for (const auto& layer : progress.layers()) {
    if (IsDone(layer)) ++done;
    const bool shown = all_fit || (!IsDone(layer) && !IsWaiting(layer));
    if (shown && lines.size() + (all_fit ? 0 : 1) < rows) lines.push_back(FormatLayer(layer));
  }
  if (!all_fit) lines.push_back(absl::StrCat(done, " of ", progress.layers_size(), " layers done"));
  for (std::string& line : lines) {
    if (size.columns() > 0 && line.size() > size.columns()) line.resize(size.columns());
  }
  return lines;
}

void PullProgress::Draw(const v1::PullImageResponse& progress) {
  const std::optional<v1::ConsoleSize> size = GetConsoleSize(fd_);
  if (!size.has_value()) return;
  Erase();
  const std::vector<std::string> lines = FormatLayers(progress, *size);
  std::string text;
  for (const std::string& line : lines) absl::StrAppend(&text, line, "\n");
  drawn_lines_ = lines.size();
  Output(fd_).Write(text);
}

void PullProgress::Erase() {
  if (drawn_lines_ == 0) return;
  // ECMA-48: cursor up, erase to the end of the screen.
  Output(fd_).Write(absl::StrCat("\x1b[", drawn_lines_, "A\x1b[J"));
  drawn_lines_ = 0;
}

}  // namespace ocid::cli
