#include "daemon/store/file_record_store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "daemon/store/store_layout.h"
#include "gtest/gtest.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

namespace fs = std::filesystem;

class FileRecordStoreTest : public testing::Test {
 protected:
  FileRecordStoreTest() {
    std::string pattern = testing::TempDir() + "/store.XXXXXX";
    base_ = mkdtemp(pattern.data());
  }
  ~FileRecordStoreTest() override { fs::remove_all(base_); }

  FileRecordStoreOptions Options(const std::string& boot_id = "boot-1") const {
    return {.root_dir = base_ + "/var/root", .state_dir = base_ + "/run/state", .boot_id = boot_id};
  }

  std::unique_ptr<RecordStore> Open(const std::string& boot_id = "boot-1") const {
    absl::StatusOr<std::unique_ptr<RecordStore>> store = OpenFileRecordStore(Options(boot_id));
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }

  static internal::ContainerRecord Record(const std::string& id) {
    internal::ContainerRecord record;
    record.set_id(id);
    record.set_owner("uid=0");
    record.mutable_config()->set_bundle("/bundles/a");
    record.add_generations()->set_journal(std::string("\0\1\2", 3));
    return record;
  }

  static std::string Bytes(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }

  static void WriteBytes(const std::string& path, std::string_view bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }

  std::string base_;
};

TEST_F(FileRecordStoreTest, KeepsARecordOverAReopen) {
  {
    const std::unique_ptr<RecordStore> store = Open();
    ASSERT_TRUE(store->MakeDirectories("c1").ok());
    ASSERT_TRUE(store->PutRecord(Record("c1")).ok());
  }
  const std::unique_ptr<RecordStore> store = Open("boot-2");
  const absl::StatusOr<internal::ContainerRecord> record = store->GetRecord("c1");
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->SerializeAsString(), Record("c1").SerializeAsString());
  EXPECT_EQ(*store->List(), std::vector<std::string>{"c1"});
}

TEST_F(FileRecordStoreTest, StateOfAnotherBootCountsAsAbsent) {
  {
    const std::unique_ptr<RecordStore> store = Open("boot-1");
    ASSERT_TRUE(store->MakeDirectories("c1").ok());
    internal::RuntimeState state;
    state.set_state(v1::CONTAINER_STATE_RUNNING);
    ASSERT_TRUE(store->PutState("c1", state).ok());
    EXPECT_EQ(store->GetState("c1")->state(), v1::CONTAINER_STATE_RUNNING);
  }
  EXPECT_TRUE(absl::IsNotFound(Open("boot-2")->GetState("c1").status()));
}

TEST_F(FileRecordStoreTest, ASecondDaemonIsRefused) {
  const std::unique_ptr<RecordStore> first = Open();
  EXPECT_EQ(OpenFileRecordStore(Options()).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(FileRecordStoreTest, OneDirectoryForBothIsRefused) {
  FileRecordStoreOptions options = Options();
  options.state_dir = options.root_dir;
  EXPECT_TRUE(absl::IsInvalidArgument(OpenFileRecordStore(options).status()));
}

TEST_F(FileRecordStoreTest, DirectoriesAndFilesAreForTheirOwnerOnly) {
  const std::unique_ptr<RecordStore> store = Open();
  ASSERT_TRUE(store->MakeDirectories("c1").ok());
  ASSERT_TRUE(store->PutRecord(Record("c1")).ok());
  for (const std::string& path :
       {base_ + "/var/root", base_ + "/run/state", store->RootPath("c1"), store->StatePath("c1"),
        store->RootPath("c1") + "/record"}) {
    struct stat status;
    ASSERT_EQ(::stat(path.c_str(), &status), 0) << path;
    EXPECT_EQ(status.st_mode & 077, 0u) << path;
  }
}

TEST_F(FileRecordStoreTest, ARecordCutShortOrChangedAtAnyByteIsCorruptAndCanBeSetAside) {
  const std::unique_ptr<RecordStore> store = Open();
  ASSERT_TRUE(store->MakeDirectories("c1").ok());
  ASSERT_TRUE(store->PutRecord(Record("c1")).ok());
  const std::string path = store->RootPath("c1") + "/record";
  const std::string whole = Bytes(path);
  for (size_t at = 0; at < whole.size(); ++at) {
    WriteBytes(path, std::string_view(whole).substr(0, at));
    EXPECT_EQ(GetReason(store->GetRecord("c1").status()), "RECORD_CORRUPT") << at;
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0x20);
    WriteBytes(path, changed);
    EXPECT_EQ(GetReason(store->GetRecord("c1").status()), "RECORD_CORRUPT") << at;
  }
  const absl::StatusOr<std::string> aside = store->Quarantine("c1");
  ASSERT_TRUE(aside.ok()) << aside.status();
  EXPECT_TRUE(fs::exists(*aside + "/record"));
  EXPECT_TRUE(store->List()->empty());
}

TEST_F(FileRecordStoreTest, ATemporaryFileLeftByACrashChangesNothing) {
  const std::unique_ptr<RecordStore> store = Open();
  ASSERT_TRUE(store->MakeDirectories("c1").ok());
  ASSERT_TRUE(store->PutRecord(Record("c1")).ok());
  WriteBytes(store->RootPath("c1") + "/record.tmp", "half a rec");
  EXPECT_TRUE(store->GetRecord("c1").ok());
  internal::ContainerRecord newer = Record("c1");
  newer.set_owner("uid=1");
  ASSERT_TRUE(store->PutRecord(newer).ok());
  EXPECT_EQ(store->GetRecord("c1")->owner(), "uid=1");
  EXPECT_FALSE(fs::exists(store->RootPath("c1") + "/record.tmp"));
}

TEST_F(FileRecordStoreTest, AFifoInPlaceOfARecordDoesNotHang) {
  const std::unique_ptr<RecordStore> store = Open();
  ASSERT_TRUE(store->MakeDirectories("c1").ok());
  ASSERT_EQ(::mkfifo((store->RootPath("c1") + "/record").c_str(), 0600), 0);
  EXPECT_EQ(GetReason(store->GetRecord("c1").status()), "RECORD_CORRUPT");
}

TEST_F(FileRecordStoreTest, RemovesEverythingOfAContainer) {
  const std::unique_ptr<RecordStore> store = Open();
  ASSERT_TRUE(store->MakeDirectories("c1").ok());
  ASSERT_TRUE(store->PutRecord(Record("c1")).ok());
  ASSERT_TRUE(store->PutState("c1", {}).ok());
  v1::Exec exec;
  exec.set_id("e1");
  ASSERT_TRUE(store->PutExec("c1", exec).ok());
  WriteBytes(store->RootPath("c1") + "/log", "output");
  ASSERT_TRUE(store->RemoveDirectories("c1").ok());
  EXPECT_FALSE(fs::exists(store->RootPath("c1")));
  EXPECT_FALSE(fs::exists(store->StatePath("c1")));
  EXPECT_TRUE(store->RemoveDirectories("c1").ok());
  EXPECT_TRUE(store->SyncRemovals().ok());
}

TEST_F(FileRecordStoreTest, RemovalFollowsNoSymbolicLink) {
  const std::unique_ptr<RecordStore> store = Open();
  ASSERT_TRUE(store->MakeDirectories("c1").ok());
  fs::create_directory(base_ + "/precious");
  WriteBytes(base_ + "/precious/file", "x");
  fs::create_directory_symlink(base_ + "/precious", store->RootPath("c1") + "/link");
  ASSERT_TRUE(store->RemoveDirectories("c1").ok());
  EXPECT_TRUE(fs::exists(base_ + "/precious/file"));
}

TEST_F(FileRecordStoreTest, ListsExecsOfThisBoot) {
  {
    const std::unique_ptr<RecordStore> store = Open("boot-1");
    ASSERT_TRUE(store->MakeDirectories("c1").ok());
    EXPECT_TRUE(store->GetExecs("c1")->empty());
    for (const char* id : {"b", "a", "c"}) {
      v1::Exec exec;
      exec.set_id(id);
      ASSERT_TRUE(store->PutExec("c1", exec).ok());
    }
    ASSERT_TRUE(store->RemoveExec("c1", "c").ok());
    WriteBytes(store->StatePath("c1") + "/execs/broken", "garbage");
    const absl::StatusOr<std::vector<v1::Exec>> execs = store->GetExecs("c1");
    ASSERT_TRUE(execs.ok());
    ASSERT_EQ(execs->size(), 2u);
    EXPECT_EQ(execs->front().id(), "a");
  }
  EXPECT_TRUE(Open("boot-2")->GetExecs("c1")->empty());
}

TEST(IsValidId, AcceptsWhatTheApiPromises) {
  for (const char* id : {"a", "A-1", "_x", "+x", "-x", "a.b", "0"}) EXPECT_TRUE(IsValidId(id)) << id;
  EXPECT_TRUE(IsValidId(std::string(128, 'a')));
  for (const char* id : {"", ".", "..", ".a", "a/b", "../x", "a b", "ä", "a\n"}) {
    EXPECT_FALSE(IsValidId(id)) << id;
  }
  EXPECT_FALSE(IsValidId(std::string(129, 'a')));
  EXPECT_FALSE(IsValidId(std::string("a\0b", 3)));
}

}  // namespace
}  // namespace ocid
