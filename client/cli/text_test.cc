#include "client/cli/text.h"

#include <cstdint>
#include <limits>
#include <string>

#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace ocid::cli {
namespace {

TEST(ParseSize, UnitsArePowersOf1024) {
  EXPECT_EQ(ParseSize("512").value(), 512);
  EXPECT_EQ(ParseSize("64m").value(), 64 << 20);
  EXPECT_EQ(ParseSize("64MiB").value(), 64 << 20);
  EXPECT_EQ(ParseSize("1.5k").value(), 1536);
  EXPECT_EQ(ParseSize("2gb").value(), int64_t{2} << 30);
  EXPECT_EQ(ParseSize("-1").value(), -1);
}

TEST(ParseSize, WhatIsNoSizeIsRefused) {
  for (const char* text : {"", "m", "-2", "1x", "1mm", "1.2.3", "9e99", "99999999999g", "1 m"}) {
    EXPECT_FALSE(ParseSize(text).ok()) << text;
  }
}

TEST(ParseDuration, ANumberIsSeconds) {
  EXPECT_EQ(ParseDuration("10").value(), absl::Seconds(10));
  EXPECT_EQ(ParseDuration("0").value(), absl::ZeroDuration());
  EXPECT_EQ(ParseDuration("1m30s").value(), absl::Seconds(90));
  EXPECT_FALSE(ParseDuration("-1").ok());
  EXPECT_FALSE(ParseDuration("soon").ok());
}

TEST(ParseTime, KnowsPointsInTimeAndHowLongAgo) {
  const absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  EXPECT_EQ(ParseTime("10m", now).value(), now - absl::Minutes(10));
  EXPECT_EQ(ParseTime("1700000000", now).value(), now);
  EXPECT_EQ(ParseTime("1700000000.25", now).value(), now + absl::Milliseconds(250));
  EXPECT_EQ(ParseTime("2023-11-14T22:13:20Z", now).value(), now);
  EXPECT_EQ(ParseTime("2023-11-14T23:13:20+01:00", now).value(), now);
  EXPECT_FALSE(ParseTime("yesterday", now).ok());
}

TEST(ParseUser, IsNumbersOnly) {
  EXPECT_EQ(ParseUser("1000:100").value().gid(), 100u);
  EXPECT_EQ(ParseUser("1000").value().uid(), 1000u);
  for (const char* text : {"", "root", "1000:", ":1", "-1", "4294967296", "+1"}) {
    EXPECT_FALSE(ParseUser(text).ok()) << text;
  }
}

TEST(ParseMount, ABindMountGetsItsOptionAndAnAbsoluteSource) {
  const auto mount = ParseMount("type=bind,src=data,dst=/data,ro", "/srv");
  ASSERT_TRUE(mount.ok()) << mount.status();
  EXPECT_EQ(mount->source(), "/srv/data");
  EXPECT_EQ(mount->destination(), "/data");
  ASSERT_EQ(mount->options_size(), 2);
  EXPECT_EQ(mount->options(0), "ro");
  EXPECT_EQ(mount->options(1), "rbind");
}

TEST(ParseMount, TheShortFormIsABindMount) {
  const auto mount = ParseMount("/srv:/data:ro,nosuid", "/");
  ASSERT_TRUE(mount.ok()) << mount.status();
  EXPECT_EQ(mount->type(), "bind");
  EXPECT_EQ(mount->options_size(), 3);
}

TEST(ParseMount, UnknownKeysAreOptionsOfTheFileSystem) {
  const auto mount = ParseMount("type=tmpfs,dst=/tmp,size=64m", "/");
  ASSERT_TRUE(mount.ok()) << mount.status();
  EXPECT_EQ(mount->source(), "tmpfs");
  ASSERT_EQ(mount->options_size(), 1);
  EXPECT_EQ(mount->options(0), "size=64m");
}

TEST(ParseMount, WithoutADestinationOrASourceItIsRefused) {
  for (const char* text :
       {"", "/srv", "type=bind,src=/a", "type=bind,dst=/a", "/a:b", "/a:/b:c:d"}) {
    EXPECT_FALSE(ParseMount(text, "/").ok()) << text;
  }
}

TEST(ParseRestartPolicy, TakesANumberOfRetries) {
  const auto policy = ParseRestartPolicy("on-failure:5");
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_EQ(policy->mode(), v1::RestartPolicy::ON_FAILURE);
  EXPECT_EQ(policy->max_retries(), 5u);
  EXPECT_FALSE(ParseRestartPolicy("on-failure5").ok());
  EXPECT_FALSE(ParseRestartPolicy("sometimes").ok());
}

TEST(ParseRlimit, NamesAreCompletedAndHardDefaultsToSoft) {
  const auto rlimit = ParseRlimit("nofile=1024");
  ASSERT_TRUE(rlimit.ok()) << rlimit.status();
  EXPECT_EQ(rlimit->type(), "RLIMIT_NOFILE");
  EXPECT_EQ(rlimit->hard(), 1024u);
  EXPECT_EQ(ParseRlimit("core=0:unlimited").value().hard(), std::numeric_limits<uint64_t>::max());
  EXPECT_FALSE(ParseRlimit("nofile").ok());
  EXPECT_FALSE(ParseRlimit("nofile=x").ok());
}

TEST(FormatSize, KeepsTwoDigitsOrMore) {
  EXPECT_EQ(FormatSize(0), "0 B");
  EXPECT_EQ(FormatSize(1023), "1023 B");
  EXPECT_EQ(FormatSize(1536), "1.5 KiB");
  EXPECT_EQ(FormatSize(uint64_t{64} << 20), "64 MiB");
}

TEST(FormatShort, KeepsWhatMatters) {
  EXPECT_EQ(FormatShort(absl::Milliseconds(850)), "850ms");
  EXPECT_EQ(FormatShort(absl::Seconds(150)), "2m30s");
  EXPECT_EQ(FormatShort(absl::Hours(3) + absl::Minutes(5)), "3h5m");
  EXPECT_EQ(FormatShort(absl::Hours(49)), "2d1h");
}

}  // namespace
}  // namespace ocid::cli
