// 100 kB of hostile JSON or YAML, to the parser of bundles and to that of CDI files: an error within
// 50 ms and 50 MB.
#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/cdi/cdi_spec.h"
#include "gtest/gtest.h"
#include "runtime/oci/oci_spec.h"

namespace ocid {
namespace {

constexpr size_t kBytes = 100'000;
constexpr double kMilliseconds = 50;
constexpr long kKilobytes = 50 * 1024;

#if defined(__SANITIZE_ADDRESS__) || defined(OCID_TSAN)
constexpr bool kMeasured = false;  // sanitizers cost both
#else
constexpr bool kMeasured = true;
#endif

// CPU time: the machine may be busy with other things.
double CpuMilliseconds() {
  timespec now = {};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

long StatusKilobytes(const std::string& field) {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.starts_with(field + ":")) return std::stol(line.substr(field.size() + 1));
  }
  return 0;
}

std::string Repeat(const std::string& part, size_t bytes = kBytes) {
  std::string text;
  while (text.size() + part.size() <= bytes) text += part;
  return text;
}

// "a0: &a0 [x,...]", and each next one nine times the one before.
std::string AliasBomb() {
  std::string text = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 1000 && text.size() < kBytes; ++i) {
    const std::string n = std::to_string(i);
    text += "a" + n + ": &a" + n + " [";
    for (int k = 0; k < 9; ++k) text += (k > 0 ? ",*a" : "*a") + std::to_string(i - 1);
    text += "]\n";
  }
  return text;
}

// One large value and as many aliases of it as there is room for.
std::string AliasFlood() {
  return "a: &a \"" + std::string(kBytes / 2, 'x') + "\"\nb: [" + Repeat("*a,", kBytes / 2) + "]\n";
}

std::string DeepBlock() {
  std::string text;
  for (size_t i = 0; text.size() < kBytes; ++i) text += std::string(i, ' ') + "a:\n";
  return text;
}

std::vector<std::pair<const char*, std::string>> HostileTexts() {
  const std::string open_members = Repeat("{\"a\":");
  return {
      {"nested arrays", std::string(kBytes, '[')},
      {"nested arrays, closed", std::string(kBytes / 2, '[') + std::string(kBytes / 2, ']')},
      {"nested objects", open_members},
      {"nested braces", std::string(kBytes, '{')},
      {"nested block", DeepBlock()},
      {"nested list", Repeat("- ")},
      {"alias bomb", AliasBomb()},
      {"alias flood", AliasFlood()},
      {"anchors", Repeat("&a ")},
      {"duplicate keys", "{" + Repeat("\"a\":1,") + "\"a\":1}"},
      {"duplicate block keys", Repeat("a: 1\n")},
      {"a huge number", "{\"major\":" + std::string(kBytes, '9') + "}"},
      {"a huge exponent", "{\"major\":1e" + std::string(kBytes, '9') + "}"},
      {"a huge number in YAML", "cdiVersion: " + std::string(kBytes, '9') + "\n"},
      {"many numbers out of range", "[" + Repeat("99999999999999999999,") + "1]"},
      {"many values", "[" + Repeat("1,") + "1"},
      {"invalid UTF-8", "{\"a\":\"" + std::string(kBytes, '\xff') + "\"}"},
      {"overlong UTF-8", "{\"a\":\"" + Repeat("\xc0\x80") + "\"}"},
      {"a surrogate", "{\"a\":\"" + Repeat("\\ud800") + "\"}"},
      {"an open string", "{\"a\":\"" + std::string(kBytes, 'x')},
      {"open quotes", std::string(kBytes, '"')},
      {"tags", Repeat("!!str ")},
      {"exclamation marks", std::string(kBytes, '!')},
      {"question marks", std::string(kBytes, '?')},
      {"colons", std::string(kBytes, ':')},
      {"commas", "[" + std::string(kBytes, ',')},
      {"dashes", std::string(kBytes, '-')},
      {"tabs", std::string(kBytes, '\t')},
      {"zeros", std::string(kBytes, '\0')},
      {"directives", Repeat("%YAML 1.2\n")},
      {"documents", Repeat("---\n")},
      {"block scalars", Repeat("a: |\n b\n")},
      {"keys of keys", Repeat("? ")},
      {"folded keys", Repeat("{[a,b]: c},")},
  };
}

void ExpectCheapError(const char* parser, const std::function<bool(const std::string&)>& refuses) {
  for (const auto& [name, text] : HostileTexts()) {
    double best = 1e9;
    long grown = 0;
    for (int round = 0; round < 3; ++round) {
      ::malloc_trim(0);
      std::ofstream("/proc/self/clear_refs") << "5";  // VmHWM begins again
      const long before = StatusKilobytes("VmRSS");
      const double start = CpuMilliseconds();
      EXPECT_TRUE(refuses(text)) << parser << ": " << name;
      best = std::min(best, CpuMilliseconds() - start);
      grown = std::max(grown, StatusKilobytes("VmHWM") - before);
    }
    if (!kMeasured) continue;
    EXPECT_LT(best, kMilliseconds) << parser << ": " << name;
    EXPECT_LT(grown, kKilobytes) << parser << ": " << name;
  }
}

TEST(HostileText, ABundleOfItIsRefusedAtOnce) {
  ExpectCheapError("bundle", [](const std::string& text) { return !OciSpec::Parse(text).ok(); });
}

TEST(HostileText, ACdiFileOfItIsRefusedAtOnce) {
  ExpectCheapError("CDI", [](const std::string& text) { return !ParseCdiSpec(text).ok(); });
}

}  // namespace
}  // namespace ocid
