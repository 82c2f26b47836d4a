#include "daemon/cdi/cdi_registry.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace ocid {
namespace {

namespace fs = std::filesystem;

class CdiRegistryTest : public ::testing::Test {
 protected:
  CdiRegistryTest() {
    std::string pattern = ::testing::TempDir() + "cdi.XXXXXX";
    root_ = ::mkdtemp(pattern.data());
    fs::create_directory(root_ + "/etc");
    fs::create_directory(root_ + "/run");
  }
  ~CdiRegistryTest() override { fs::remove_all(root_); }

  static std::string Text(const std::string& device, const std::string& value = "1") {
    return "cdiVersion: 0.5.0\nkind: vendor.com/gpu\ndevices: [{name: \"" + device +
           "\", containerEdits: {env: [V=" + value + "]}}]\n";
  }
  void Write(const std::string& path, const std::string& text) {
    std::ofstream(root_ + "/" + path) << text;
  }
  // The value that a device of the registry sets, or why there is none.
  std::string Value(const std::string& device) {
    const auto entry = registry().Refresh()->Find("vendor.com/gpu=" + device);
    return entry.ok() ? entry->device().edits.env[0] : std::string(entry.status().message());
  }
  CdiRegistry& registry() {
    if (registry_ == nullptr) {
      registry_ =
          std::make_unique<CdiRegistry>(std::vector<std::string>{root_ + "/etc", root_ + "/run"});
    }
    return *registry_;
  }
  // Until the files' timestamps are told apart from those of a change to come.
  static void Settle() { absl::SleepFor(absl::Milliseconds(80)); }

  std::string root_;
  std::unique_ptr<CdiRegistry> registry_;
};

TEST_F(CdiRegistryTest, TheHigherDirectoryWins) {
  Write("etc/a.yaml", Text("0", "etc"));
  Write("run/a.json", Text("0", "run"));
  EXPECT_EQ(Value("0"), "V=run");
  fs::remove(root_ + "/run/a.json");
  EXPECT_EQ(Value("0"), "V=etc");
}

TEST_F(CdiRegistryTest, TwoFilesOfOnePriorityConflict) {
  Write("etc/a.yaml", Text("0"));
  Write("etc/b.yaml", Text("0"));
  EXPECT_EQ(Value("0"),
            "conflict: defined by each of " + root_ + "/etc/a.yaml, " + root_ + "/etc/b.yaml");
  ASSERT_EQ(registry().Snapshot()->errors.size(), 2u);
  EXPECT_EQ(registry().Snapshot()->errors[0].devices,
            (std::vector<std::string>{"vendor.com/gpu=0"}));
}

TEST_F(CdiRegistryTest, AConflictBelowStandsEvenIfAHigherDirectoryDefinesTheDevice) {
  Write("etc/a.yaml", Text("0"));
  Write("etc/b.yaml", Text("0"));
  Write("run/c.yaml", Text("0"));
  EXPECT_EQ(registry().Refresh()->devices.count("vendor.com/gpu=0"), 0u);
}

TEST_F(CdiRegistryTest, ABadFileCostsOnlyItsOwnDevices) {
  Write("etc/a.yaml", Text("0"));
  Write("etc/b.yaml", "cdiVersion: 0.5.0\nkind: [\n");
  Write("etc/c.yml", Text("1"));
  EXPECT_EQ(Value("0"), "V=1");
  ASSERT_EQ(registry().Snapshot()->errors.size(), 1u);
  EXPECT_EQ(registry().Snapshot()->errors[0].path, root_ + "/etc/b.yaml");
  EXPECT_NE(Value("1").find("b.yaml"), std::string::npos);
}

TEST_F(CdiRegistryTest, SeesFilesThatAreMovedLinkedOrRewritten) {
  EXPECT_NE(Value("0").find("unknown vendor"), std::string::npos);
  Write("outside", Text("0", "moved"));
  fs::rename(root_ + "/outside", root_ + "/etc/a.yaml");
  EXPECT_EQ(Value("0"), "V=moved");
  Write("target", Text("1", "linked"));
  fs::create_symlink(root_ + "/target", root_ + "/etc/b.yaml");
  EXPECT_EQ(Value("1"), "V=linked");
  Write("target", Text("1", "LINKED"));  // as long as before, and at once
  EXPECT_EQ(Value("1"), "V=LINKED");
}

TEST_F(CdiRegistryTest, SeesADirectoryThatAppearsLate) {
  fs::remove_all(root_ + "/run");
  EXPECT_TRUE(registry().Refresh()->errors.empty());
  fs::create_directory(root_ + "/run");
  Write("run/a.yaml", Text("0"));
  EXPECT_EQ(Value("0"), "V=1");
}

TEST_F(CdiRegistryTest, ReadsOnlyTheFileThatChanged) {
  for (int i = 0; i < 10; ++i) {
    Write("etc/" + std::to_string(i) + ".yaml", Text(std::to_string(i)));
  }
  Settle();
  registry().Refresh();
  EXPECT_EQ(registry().files_read(), 10u);
  const auto before = registry().Refresh();
  EXPECT_EQ(registry().files_read(), 10u);
  EXPECT_EQ(registry().Refresh(), before);
  Write("etc/3.yaml", Text("3", "new"));
  Settle();
  EXPECT_EQ(Value("3"), "V=new");
  EXPECT_EQ(registry().files_read(), 11u);
}

TEST_F(CdiRegistryTest, SkipsWhatIsNoRegularFile) {
  ASSERT_EQ(::mkfifo((root_ + "/etc/fifo.yaml").c_str(), 0600), 0);
  fs::create_directory(root_ + "/etc/dir.yaml");
  Write("etc/a.yaml", Text("0"));
  EXPECT_EQ(Value("0"), "V=1");
  EXPECT_TRUE(registry().Snapshot()->errors.empty());
}

TEST_F(CdiRegistryTest, ManyThreadsMayRefreshAtOnce) {
  Write("etc/a.yaml", Text("0"));
  registry();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this] {
      for (int i = 0; i < 50; ++i) EXPECT_EQ(Value("0"), "V=1");
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace ocid
