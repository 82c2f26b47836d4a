// What layers do to a root directory, and what hostile ones must not do to the rest of the host: each
// attack is applied beside a canary that must stay as it was.
#include "daemon/image/layer_apply.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "daemon/image/digest.h"
#include "daemon/image/layer_testing.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

namespace fs = std::filesystem;

class ApplyLayerTest : public testing::Test {
 protected:
  ApplyLayerTest()
      : base_(testing::TempDir() + "/apply-" +
              testing::UnitTest::GetInstance()->current_test_info()->name()),
        root_(base_ + "/root"),
        canary_(base_ + "/canary") {
    fs::remove_all(base_);
    fs::create_directories(root_);
    fs::create_directories(canary_ + "/directory");
    std::ofstream(canary_ + "/file") << "untouched";
    chmod((canary_ + "/file").c_str(), 0600);
    before_ = Describe(canary_);
    root_fd_.reset(open(root_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  ~ApplyLayerTest() override {
    EXPECT_EQ(Describe(canary_), before_) << "something outside of the root has changed";
    EXPECT_EQ(std::distance(fs::directory_iterator(base_), fs::directory_iterator()), 2);
    fs::remove_all(base_);
  }

  // Path, type, mode, size and change time of everything below.
  static std::vector<std::string> Describe(const std::string& directory) {
    std::vector<std::string> lines;
    const auto describe = [&](const std::string& path) {
      struct stat info;
      lstat(path.c_str(), &info);
      lines.push_back(path + " " + std::to_string(info.st_mode) + " " +
                      std::to_string(info.st_size) + " " + std::to_string(info.st_ctim.tv_nsec) +
                      " " + std::to_string(info.st_nlink));
    };
    describe(directory);
    for (const auto& entry : fs::recursive_directory_iterator(directory)) describe(entry.path());
    return lines;
  }

  absl::Status Apply(const std::vector<TarEntry>& entries, const LayerLimits& limits = {}) {
    return ApplyTar(MakeTar(entries), limits);
  }
  absl::Status ApplyTar(const std::string& tar, const LayerLimits& limits = {}) {
    return ApplyLayer(MemoryFile(tar), root_fd_, {.limits = limits}).status();
  }
  std::string Read(const std::string& path) {
    std::ifstream file(root_ + "/" + path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  struct stat Stat(const std::string& path) {
    struct stat info = {};
    EXPECT_EQ(lstat((root_ + "/" + path).c_str(), &info), 0) << path;
    return info;
  }
  bool Exists(const std::string& path) {
    struct stat info;
    return lstat((root_ + "/" + path).c_str(), &info) == 0;
  }

  const std::string base_;
  const std::string root_;
  const std::string canary_;
  std::vector<std::string> before_;
  UniqueFd root_fd_;
};

#define EXPECT_REFUSED(status) EXPECT_EQ(GetReason(status), "IMAGE_INVALID") << (status)
#define ASSERT_APPLIED(status)                \
  do {                                        \
    const absl::Status applied_ = (status);   \
    ASSERT_TRUE(applied_.ok()) << applied_;   \
  } while (false)

TEST_F(ApplyLayerTest, FilesHaveTheirContentModeOwnerAndTime) {
  TarEntry file = File("usr/bin/tool", "content", 04755);
  file.uid = 1000;
  file.gid = 3'000'000'000;
  file.pax = {{"mtime", "1234567890.123456789"}};
  ASSERT_APPLIED(Apply({Directory("usr/", 0750), Directory("usr/bin"), file}));
  EXPECT_EQ(Read("usr/bin/tool"), "content");
  const struct stat info = Stat("usr/bin/tool");
  EXPECT_EQ(info.st_mode, S_IFREG | 04755U);
  EXPECT_EQ(info.st_uid, 1000U);
  EXPECT_EQ(info.st_gid, 3'000'000'000U);
  EXPECT_EQ(info.st_mtim.tv_sec, 1234567890);
  EXPECT_EQ(info.st_mtim.tv_nsec, 123456789);
  EXPECT_EQ(Stat("usr").st_mode, S_IFDIR | 0750U);
  EXPECT_EQ(Stat("usr").st_mtim.tv_sec, 1'000'000'000);
  EXPECT_EQ(Stat("usr/bin").st_mtim.tv_sec, 1'000'000'000);
}

TEST_F(ApplyLayerTest, ADirectoryKeepsItsTimeWhenALaterLayerChangesWhatIsInIt) {
  ASSERT_APPLIED(Apply({Directory("d"), File("d/old", "")}));
  ASSERT_APPLIED(Apply({File("d/new", ""), Whiteout("d/.wh.old")}));
  EXPECT_EQ(Stat("d").st_mtim.tv_sec, 1'000'000'000);
  EXPECT_FALSE(Exists("d/old"));
}

TEST_F(ApplyLayerTest, AbsoluteNamesMeanTheRoot) {
  ASSERT_APPLIED(Apply({File("/etc/passwd", "inside"), File("./a//./b", "b")}));
  EXPECT_EQ(Read("etc/passwd"), "inside");
  EXPECT_EQ(Read("a/b"), "b");
}

TEST_F(ApplyLayerTest, NamesThatClimbAreRefused) {
  EXPECT_REFUSED(Apply({File("../canary/file", "x")}));
  EXPECT_REFUSED(Apply({File("a/../../canary/file", "x")}));
  EXPECT_REFUSED(Apply({Directory("..")}));
  EXPECT_REFUSED(Apply({Whiteout("../canary/.wh.file")}));
  EXPECT_REFUSED(Apply({Whiteout("../canary/.wh..wh..opq")}));
}

TEST_F(ApplyLayerTest, SymbolicLinksLeadNowhereOutside) {
  ASSERT_APPLIED(Apply({Symlink("absolute", canary_), Symlink("relative", "../canary"),
                        Symlink("deep", "../../../../../../.." + canary_)}));
  // The target is made below the root, or the entry is refused; the canary is checked at the end.
  for (const char* link : {"absolute", "relative", "deep"}) {
    static_cast<void>(Apply({File(std::string(link) + "/file", "x")}));
    static_cast<void>(Apply({Directory(std::string(link) + "/directory", 0777)}));
    static_cast<void>(Apply({Whiteout(std::string(link) + "/.wh.file")}));
    static_cast<void>(Apply({Whiteout(std::string(link) + "/.wh..wh..opq")}));
    static_cast<void>(Apply({HardLink("stolen", std::string(link) + "/file")}));
    static_cast<void>(Apply({HardLink(std::string(link) + "/planted", "absolute")}));
  }
  EXPECT_NE(Read("stolen"), "untouched");
}

TEST_F(ApplyLayerTest, ALinkThatTheNextEntryReplacesIsNotFollowed) {
  ASSERT_APPLIED(Apply({Symlink("d", canary_), Directory("d", 0777), File("d/file", "inside")}));
  EXPECT_TRUE(S_ISDIR(Stat("d").st_mode));
  EXPECT_EQ(Read("d/file"), "inside");
}

TEST_F(ApplyLayerTest, AFileOverALinkReplacesTheLink) {
  ASSERT_APPLIED(Apply({Symlink("f", canary_ + "/file"), File("f", "inside")}));
  EXPECT_TRUE(S_ISREG(Stat("f").st_mode));
  EXPECT_EQ(Read("f"), "inside");
}

TEST_F(ApplyLayerTest, AParentReplacedByALinkBetweenEntriesStaysInside) {
  static_cast<void>(Apply({Directory("d"), File("d/a", "1"), Symlink("d", canary_),
                           File("d/file", "2"), File("d/directory/x", "3")}));
  EXPECT_TRUE(S_ISLNK(Stat("d").st_mode));
}

TEST_F(ApplyLayerTest, TheRootIsADirectoryAndNothingElse) {
  EXPECT_REFUSED(Apply({Symlink("/.", canary_), File("file", "x")}));
  EXPECT_REFUSED(Apply({Symlink("./", canary_)}));
  EXPECT_REFUSED(Apply({Symlink("/", canary_)}));
  EXPECT_REFUSED(Apply({File("/", "x")}));
  EXPECT_REFUSED(Apply({HardLink("/.", "a")}));
  ASSERT_APPLIED(Apply({Directory("./", 0711)}));
  EXPECT_EQ(Stat("").st_mode, S_IFDIR | 0711U);
}

TEST_F(ApplyLayerTest, HardLinksShareOneFileWithinTheRoot) {
  ASSERT_APPLIED(Apply({File("a", "content"), HardLink("b", "a"), HardLink("/c", "./b")}));
  EXPECT_EQ(Stat("a").st_nlink, 3U);
  ASSERT_APPLIED(Apply({HardLink("d", "a")}));  // of the layer below
  EXPECT_EQ(Stat("d").st_ino, Stat("a").st_ino);
}

TEST_F(ApplyLayerTest, HardLinksOutOrToNothingAreRefused) {
  EXPECT_REFUSED(Apply({HardLink("out", "../canary/file")}));
  EXPECT_REFUSED(Apply({HardLink("out", canary_ + "/file")}));
  EXPECT_REFUSED(Apply({HardLink("out", "missing")}));
  EXPECT_REFUSED(Apply({Directory("d"), HardLink("out", "d")}));
  EXPECT_REFUSED(Apply({HardLink("out", "/")}));
  EXPECT_FALSE(Exists("out"));
}

TEST_F(ApplyLayerTest, AHardLinkToALinkIsTheLink) {
  ASSERT_APPLIED(Apply({Symlink("a", canary_ + "/file"), HardLink("b", "a")}));
  EXPECT_TRUE(S_ISLNK(Stat("b").st_mode));
}

TEST_F(ApplyLayerTest, AHardLinkReplacingWhatHoldsItsTargetIsRefused) {
  EXPECT_REFUSED(Apply({Directory("d"), File("d/f", "x"), HardLink("d", "d/f")}));
}

TEST_F(ApplyLayerTest, WhiteoutsRemoveWhatLowerLayersHave) {
  ASSERT_APPLIED(Apply({Directory("d"), File("d/f", ""), Directory("d/sub"), File("d/sub/x", ""),
                        File("keep", ""), Symlink("link", canary_)}));
  ASSERT_APPLIED(Apply({Whiteout(".wh.d"), Whiteout(".wh.link"), Whiteout(".wh.not-there"),
                        Whiteout("no/such/.wh.thing")}));
  EXPECT_FALSE(Exists("d"));
  EXPECT_FALSE(Exists("link"));
  EXPECT_TRUE(Exists("keep"));
  EXPECT_FALSE(Exists(".wh.d"));
}

TEST_F(ApplyLayerTest, WhiteoutsLeaveTheirOwnLayerAlone) {
  ASSERT_APPLIED(Apply({Directory("d"), File("d/lower", "")}));
  ASSERT_APPLIED(Apply({Directory("d"), File("d/own", ""), Whiteout(".wh.d"), File("f", ""),
                        Whiteout(".wh.f")}));
  EXPECT_TRUE(Exists("d/own"));
  EXPECT_FALSE(Exists("d/lower"));
  EXPECT_TRUE(Exists("f"));
}

TEST_F(ApplyLayerTest, AnOpaqueDirectoryHidesLowerLayersInAnyOrder) {
  for (const bool opaque_first : {true, false}) {
    ASSERT_APPLIED(Apply({Directory("d"), File("d/lower", ""), Directory("d/s"),
                          File("d/s/lower", "")}));
    std::vector<TarEntry> layer = {File("d/own", ""), File("d/s/own", "")};
    layer.insert(opaque_first ? layer.begin() : layer.end(), Whiteout("d/.wh..wh..opq"));
    ASSERT_APPLIED(Apply(layer));
    EXPECT_FALSE(Exists("d/lower"));
    EXPECT_FALSE(Exists("d/s/lower"));
    EXPECT_TRUE(Exists("d/own"));
    EXPECT_TRUE(Exists("d/s/own"));
    ASSERT_APPLIED(Apply({Whiteout(".wh..wh..opq")}));
    EXPECT_TRUE(fs::is_empty(root_));
  }
}

TEST_F(ApplyLayerTest, WhiteoutsThatNameNothingAreRefused) {
  EXPECT_REFUSED(Apply({Whiteout(".wh.")}));
  EXPECT_REFUSED(Apply({Whiteout("d/.wh.")}));
  EXPECT_REFUSED(Apply({Whiteout(".wh..")}));
  EXPECT_REFUSED(Apply({Whiteout(".wh...")}));
}

TEST_F(ApplyLayerTest, TypesReplaceEachOther) {
  ASSERT_APPLIED(Apply({Directory("x"), File("x/y", ""), File("f", "")}));
  ASSERT_APPLIED(Apply({File("x", "file"), Directory("f"), File("f/in", "")}));
  EXPECT_EQ(Read("x"), "file");
  EXPECT_TRUE(Exists("f/in"));
}

TEST_F(ApplyLayerTest, AFileAsParentIsRefused) {
  EXPECT_REFUSED(Apply({File("f", ""), File("f/below", "")}));
}

TEST_F(ApplyLayerTest, ExtendedAttributesAndCapabilitiesAreKept) {
  // cap_net_raw=ep, VFS_CAP_REVISION_2.
  const std::string capability("\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  TarEntry file = File("ping", "x", 0755);
  file.uid = 7;
  file.pax = {{"SCHILY.xattr.security.capability", capability},
              {"SCHILY.xattr.user.note", std::string("a\0b\n=", 5)}};
  ASSERT_APPLIED(Apply({file}));
  char value[64];
  const std::string path = root_ + "/ping";
  ASSERT_EQ(getxattr(path.c_str(), "security.capability", value, sizeof(value)), 20);
  EXPECT_EQ(std::string(value, 20), capability);
  ASSERT_EQ(getxattr(path.c_str(), "user.note", value, sizeof(value)), 5);
  EXPECT_EQ(std::string(value, 5), std::string("a\0b\n=", 5));
}

TEST_F(ApplyLayerTest, OverlayfsAttributesOfAnImageAreDropped) {
  TarEntry directory = Directory("d");
  directory.pax = {{"SCHILY.xattr.trusted.overlay.opaque", "y"},
                   {"SCHILY.xattr.trusted.overlay.redirect", "/etc"}};
  ASSERT_APPLIED(Apply({directory}));
  char value[64];
  EXPECT_EQ(getxattr((root_ + "/d").c_str(), "trusted.overlay.opaque", value, sizeof(value)), -1);
  EXPECT_EQ(getxattr((root_ + "/d").c_str(), "trusted.overlay.redirect", value, sizeof(value)), -1);
}

TEST_F(ApplyLayerTest, DevicesAndFifosAreMadeAndWhiteoutDevicesAreNot) {
  ASSERT_APPLIED(Apply({{.type = '3', .path = "null", .mode = 0666, .major = 1, .minor = 3},
                        {.type = '6', .path = "fifo", .mode = 0640}}));
  EXPECT_EQ(Stat("null").st_mode, S_IFCHR | 0666U);
  EXPECT_EQ(Stat("null").st_rdev, makedev(1, 3));
  EXPECT_EQ(Stat("fifo").st_mode, S_IFIFO | 0640U);
  EXPECT_REFUSED(Apply({{.type = '3', .path = "hidden", .major = 0, .minor = 0}}));
}

TEST_F(ApplyLayerTest, LongAndForeignNamesAreKept) {
  const std::string long_name = std::string(200, 'n') + "/" + std::string(255, 'm');
  ASSERT_APPLIED(Apply({File(long_name, "1"), Symlink("link", std::string(300, 't'))}));
  EXPECT_EQ(Read(long_name), "1");
  TarEntry umlaut = File("plain", "2");
  umlaut.pax = {{"path", "\xc3\xbc\xe2\x82\xac"}};
  ASSERT_APPLIED(Apply({umlaut, File("latin-\xfc", "3")}));
  EXPECT_EQ(Read("\xc3\xbc\xe2\x82\xac"), "2");
  EXPECT_EQ(Read("latin-\xfc"), "3");
  EXPECT_REFUSED(Apply({File(std::string(256, 'n'), "")}));
  std::string deep;
  for (int i = 0; i < 2500; ++i) deep += "a/";
  EXPECT_REFUSED(Apply({File(deep + "f", "")}));
}

TEST_F(ApplyLayerTest, SparseFilesKeepTheirHoles) {
  // GNU.sparse 1.0: the map is in front of the data.
  std::string content = "2\n0\n4\n1048576\n0\n";
  content.resize(512, '\0');
  content += "data";
  TarEntry file = File("GNUSparseFile.0/sparse", content);
  file.pax = {{"GNU.sparse.major", "1"}, {"GNU.sparse.minor", "0"},
              {"GNU.sparse.name", "sparse"}, {"GNU.sparse.realsize", "1048576"}};
  ASSERT_APPLIED(Apply({file}));
  EXPECT_EQ(Stat("sparse").st_size, 1048576);
  EXPECT_LT(Stat("sparse").st_blocks, 64);
  EXPECT_EQ(Read("sparse").substr(0, 5), std::string("data\0", 5));
}

TEST_F(ApplyLayerTest, HugeAndLyingSizesAreRefusedQuickly) {
  TarEntry lying = File("f", "short");
  lying.lying_size = int64_t{1} << 50;
  EXPECT_REFUSED(Apply({lying}));
  lying.lying_size = 1 << 20;
  EXPECT_REFUSED(Apply({lying}));
  TarEntry sparse = File("GNUSparseFile.0/s", "1\n0\n0\n");
  sparse.pax = {{"GNU.sparse.major", "1"}, {"GNU.sparse.minor", "0"},
                {"GNU.sparse.name", "s"}, {"GNU.sparse.realsize", "9223372036854775807"}};
  EXPECT_REFUSED(Apply({sparse}));
}

TEST_F(ApplyLayerTest, TruncatedArchivesAreRefused) {
  const std::string tar = MakeTar({File("a", std::string(3000, 'x')), File("b", "y")});
  for (const size_t size : {size_t{100}, size_t{511}, size_t{1000}, size_t{2000}, size_t{3700}}) {
    EXPECT_REFUSED(ApplyTar(tar.substr(0, size))) << size;
  }
}

TEST_F(ApplyLayerTest, LimitsOnEntriesAndBytesHold) {
  EXPECT_REFUSED(Apply({File("a", ""), File("b", ""), File("c", "")}, {.entries = 2}));
  EXPECT_REFUSED(Apply({File("a", std::string(100000, 'x'))}, {.stream_bytes = 50000}));
  TarEntry many = File("x", "");
  many.pax = {{"SCHILY.xattr.user.big", std::string(5000, 'v')}};
  EXPECT_REFUSED(Apply({many}, {.xattr_bytes = 4096}));
}

TEST_F(ApplyLayerTest, ABombEndsAtTheLimit) {
  const std::string bomb =
      Compress(MakeTar({File("zeros", std::string(size_t{64} << 20, '\0'))}), TestCompression::kGzip);
  EXPECT_LT(bomb.size(), 200'000U);
  const absl::Status status =
      ApplyLayer(MemoryFile(bomb), root_fd_,
                 {.compression = Compression::kGzip, .limits = {.stream_bytes = 1 << 20}})
          .status();
  EXPECT_REFUSED(status);
  EXPECT_LE(fs::file_size(root_ + "/zeros"), 1U << 20);
}

TEST_F(ApplyLayerTest, CompressedLayersHaveTheDigestOfTheirTar) {
  const std::string tar = MakeTar({File("a", "content")});
  for (const auto& [kind, name] : {std::pair(TestCompression::kGzip, Compression::kGzip),
                                   std::pair(TestCompression::kZstd, Compression::kZstd)}) {
    const auto result = ApplyLayer(MemoryFile(Compress(tar, kind)), root_fd_,
                                   {.compression = name, .diff_id = Digest::Sha256Of(tar)});
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->diff_id, Digest::Sha256Of(tar));
    EXPECT_EQ(Read("a"), "content");
  }
}

TEST_F(ApplyLayerTest, ContentThatIsNotWhatTheConfigurationSaysIsRefused) {
  const std::string tar = MakeTar({File("a", "content")});
  EXPECT_REFUSED(ApplyLayer(MemoryFile(tar), root_fd_, {.diff_id = Digest::Sha256Of("other")}).status());
  EXPECT_REFUSED(ApplyLayer(MemoryFile(tar), root_fd_, {.compression = Compression::kGzip}).status());
  const std::string gzip = Compress(tar, TestCompression::kGzip);
  EXPECT_REFUSED(ApplyLayer(MemoryFile(gzip), root_fd_, {}).status());
  EXPECT_REFUSED(ApplyLayer(MemoryFile(gzip.substr(0, gzip.size() / 2)), root_fd_,
                            {.compression = Compression::kGzip})
                     .status());
}

TEST_F(ApplyLayerTest, OwnersThatAreNoIdsAreRefused) {
  TarEntry file = File("f", "");
  file.uid = 0xffffffff;
  EXPECT_REFUSED(Apply({file}));
  file.uid = uint64_t{1} << 33;
  EXPECT_REFUSED(Apply({file}));
}

TEST_F(ApplyLayerTest, RootlessTreesBelongToTheirOwnerAndHoldNoDevices) {
  TarEntry file = File("f", "", 04755);
  file.uid = 33;
  const std::string tar = MakeTar({file, {.type = '3', .path = "null", .major = 1, .minor = 3}});
  ASSERT_TRUE(
      ApplyLayer(MemoryFile(tar), root_fd_, {.owner = RootlessOwner{1234, 5678}}).ok());
  EXPECT_EQ(Stat("f").st_uid, 1234U);
  EXPECT_EQ(Stat("f").st_gid, 5678U);
  EXPECT_TRUE(S_ISREG(Stat("null").st_mode));
}

TEST_F(ApplyLayerTest, AnEmptyLayerIsALayer) {
  EXPECT_TRUE(Apply({}).ok());
  EXPECT_TRUE(ApplyTar("").ok());
  EXPECT_TRUE(fs::is_empty(root_));
}

}  // namespace
}  // namespace ocid
