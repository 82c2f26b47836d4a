#include "daemon/unix_listener.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
#include <string>

namespace ocid {
namespace {

class UnixListenerTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = "/tmp/ocid-listener-XXXXXX";  // sockets want short paths
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  static UniqueFd Connect(const std::string& path) {
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      fd.reset();
    }
    return fd;
  }

  std::string directory_;
};

TEST_F(UnixListenerTest, TellsWhoConnected) {
  auto listener = UnixListener::Open({Path("deep/er/s")}, "");
  ASSERT_TRUE(listener.ok()) << listener.status();
  PeerTable peers;
  std::promise<std::string> accepted;
  ConnectionTable connections({});
  (*listener)->Start(
      peers, connections, [&accepted](UniqueFd fd) { accepted.set_value("fd:" + std::to_string(fd.get())); });
  const UniqueFd client = Connect(Path("deep/er/s"));
  ASSERT_TRUE(client.valid());
  const std::string name = accepted.get_future().get();
  const std::optional<Peer> peer = peers.Find(name);
  ASSERT_TRUE(peer.has_value());
  EXPECT_EQ(peer->pid, getpid());
  EXPECT_EQ(peer->uid, getuid());
  ASSERT_FALSE(peer->groups.empty());
  EXPECT_EQ(peer->groups[0], getgid());
  EXPECT_EQ(peers.Find("fd:7"), std::nullopt);
  EXPECT_EQ(peers.Find("unix:"), std::nullopt);
  EXPECT_EQ(peers.Find(name + "x"), std::nullopt);
}

TEST_F(UnixListenerTest, ADescriptorIsNotUsedAgainByTheNextConnection) {
  auto listener = UnixListener::Open({Path("s")}, "");
  ASSERT_TRUE(listener.ok()) << listener.status();
  PeerTable peers;
  std::promise<int> first;
  std::promise<int> second;
  int count = 0;
  ConnectionTable connections({});
  (*listener)->Start(peers, connections,
                     [&](UniqueFd fd) { (count++ == 0 ? first : second).set_value(fd.get()); });
  const UniqueFd one = Connect(Path("s"));
  const int first_number = first.get_future().get();  // closed again by now
  const UniqueFd two = Connect(Path("s"));
  EXPECT_NE(second.get_future().get(), first_number);
}

TEST_F(UnixListenerTest, TheSocketIsForOwnerAndGroupAndGoesWithTheListener) {
  auto listener = UnixListener::Open({Path("s")}, "");
  ASSERT_TRUE(listener.ok()) << listener.status();
  struct stat status;
  ASSERT_EQ(lstat(Path("s").c_str(), &status), 0);
  EXPECT_TRUE(S_ISSOCK(status.st_mode));
  EXPECT_EQ(status.st_mode & 07777, 0660u);
  listener->reset();
  EXPECT_NE(lstat(Path("s").c_str(), &status), 0);
}

TEST_F(UnixListenerTest, AStaleSocketIsReplaced) {
  {
    const UniqueFd stale(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, Path("s").c_str(), sizeof(address.sun_path) - 1);
    ASSERT_EQ(bind(stale.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  }
  EXPECT_TRUE(UnixListener::Open({Path("s")}, "").ok());
}

TEST_F(UnixListenerTest, ASocketInUseIsLeftAlone) {
  auto first = UnixListener::Open({Path("s")}, "");
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(UnixListener::Open({Path("t"), Path("s")}, "").status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(Connect(Path("s")).valid());
  EXPECT_FALSE(std::filesystem::exists(Path("t"))) << "left behind by the failed Open";
}

TEST_F(UnixListenerTest, WhatIsNotASocketIsLeftAlone) {
  std::ofstream(Path("s")) << "precious";
  EXPECT_EQ(UnixListener::Open({Path("s")}, "").status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(std::filesystem::is_regular_file(Path("s")));
}

TEST_F(UnixListenerTest, SomebodyElsesNewSocketSurvivesOurEnd) {
  auto listener = UnixListener::Open({Path("s")}, "");
  ASSERT_TRUE(listener.ok());
  std::filesystem::rename(Path("s"), Path("old"));
  auto other = UnixListener::Open({Path("s")}, "");
  ASSERT_TRUE(other.ok()) << other.status();
  listener->reset();
  EXPECT_TRUE(Connect(Path("s")).valid());
}

TEST_F(UnixListenerTest, APassedSocketIsUsedAndLeftToWhoeverMadeIt) {
  UniqueFd passed(socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, Path("s").c_str(), sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(passed.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(passed.get(), 16), 0);
  std::vector<UniqueFd> all;
  all.push_back(std::move(passed));
  auto listener = UnixListener::Open({Path("s"), Path("t")}, "", std::move(all));
  ASSERT_TRUE(listener.ok()) << listener.status();
  PeerTable peers;
  std::promise<void> accepted;
  ConnectionTable connections({});
  (*listener)->Start(peers, connections, [&](UniqueFd) { accepted.set_value(); });
  const UniqueFd client = Connect(Path("s"));
  accepted.get_future().get();
  listener->reset();
  EXPECT_TRUE(std::filesystem::exists(Path("s")));
  EXPECT_FALSE(std::filesystem::exists(Path("t")));
}

TEST_F(UnixListenerTest, APassedDescriptorThatNobodyListensOnIsAnError) {
  std::vector<UniqueFd> all;
  all.emplace_back(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(UnixListener::Open({Path("s")}, "", std::move(all)).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(Path("s")));
}

TEST_F(UnixListenerTest, AnUnknownGroupIsAnError) {
  EXPECT_EQ(UnixListener::Open({Path("s")}, "no-such-group").status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace ocid
