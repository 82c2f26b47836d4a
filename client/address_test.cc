#include "client/address.h"

#include <string>

#include "gtest/gtest.h"

namespace ocid {
namespace {

TEST(ParseAddress, TcpIsTheDaemonsWordForHostAndPort) {
  const absl::StatusOr<Address> address = ParseAddress("tcp://[::1]:7117");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(address->target, "dns:///[::1]:7117");
  EXPECT_EQ(address->text, "tcp://[::1]:7117");
  EXPECT_FALSE(ParseAddress("tcp://host").ok());
}

TEST(ParseAddress, ThreeSlashesAreAUnixSocketWithAnAbsolutePath) {
  const auto address = ParseAddress("unix:///run/ocid/ocid.sock");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(address->target, "unix:/run/ocid/ocid.sock");
  EXPECT_EQ(address->unix_path, "/run/ocid/ocid.sock");
}

TEST(ParseAddress, OneColonTakesThePathAsItIs) {
  const auto address = ParseAddress("unix:ocid.sock");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(address->unix_path, "ocid.sock");
}

TEST(ParseAddress, ABarePathIsAUnixSocket) {
  const auto address = ParseAddress("/tmp/x.sock");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(address->target, "unix:/tmp/x.sock");
}

TEST(ParseAddress, HostAndPortResolveThroughDns) {
  const auto address = ParseAddress("host.example:7000");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(address->target, "dns:///host.example:7000");
  EXPECT_FALSE(address->is_unix());
}

TEST(ParseAddress, WhatIsNoAddressIsRefused) {
  for (const char* text :
       {"", "unix:", "unix://relative", "host", "host:", ":1", "host:http", "dns:"}) {
    EXPECT_FALSE(ParseAddress(text).ok()) << text;
  }
}

TEST(ParseAddress, APathThatNoSocketCanHaveIsRefused) {
  EXPECT_TRUE(ParseAddress("unix:///" + std::string(106, 'x')).ok());
  EXPECT_FALSE(ParseAddress("unix:///" + std::string(107, 'x')).ok());
}

TEST(ProbeUnixSocket, SaysWhyNobodyAnswers) {
  EXPECT_EQ(ProbeUnixSocket("/nonexistent/ocid.sock"), "No such file or directory");
}

}  // namespace
}  // namespace ocid
