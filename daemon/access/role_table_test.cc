#include "daemon/access/role_table.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace ocid {
namespace {

constexpr uid_t kSomebody = 54321;

Identity Local(uid_t uid, std::vector<gid_t> gids) {
  return {.source = Identity::Source::kUnixSocket, .name = "uid", .uid = uid, .gids = std::move(gids)};
}

Identity Remote(const std::string& common_name, std::vector<std::string> units = {},
                std::vector<std::string> names = {}) {
  return {.source = Identity::Source::kCertificate,
          .name = "cn:" + common_name,
          .gids = {},
          .common_name = common_name,
          .units = std::move(units),
          .alternative_names = std::move(names)};
}

RoleTable Table(const std::vector<std::string>& lines, std::vector<gid_t> groups = {}) {
  absl::StatusOr<RoleTable> table = RoleTable::Parse(lines, std::move(groups));
  EXPECT_TRUE(table.ok()) << table.status();
  return table.ok() ? *table : RoleTable();
}

TEST(RoleTable, RootAndTheDaemonsUserAreAdminsByDefault) {
  EXPECT_EQ(Table({}).RoleOf(Local(0, {0})), Role::kAdmin);
  EXPECT_EQ(Table({}).RoleOf(Local(geteuid(), {1})), Role::kAdmin);
}

TEST(RoleTable, TheGroupOfTheSocketIsAdminByDefaultAlsoAsASupplementaryOne) {
  const RoleTable table = Table({}, {998});
  EXPECT_EQ(table.RoleOf(Local(kSomebody, {100, 998})), Role::kAdmin);
  EXPECT_EQ(table.RoleOf(Local(kSomebody, {100})), Role::kNone);
}

TEST(RoleTable, ACertificateThatNoLineNamesMayDoNothing) {
  EXPECT_EQ(Table({}).RoleOf(Remote("alice")), Role::kNone);
  EXPECT_EQ(Table({"admin=cn:bob"}).RoleOf(Remote("alice")), Role::kNone);
}

TEST(RoleTable, TheFirstLineThatFitsDecides) {
  const RoleTable table = Table({"none=cn:alice", "admin=cn:*"});
  EXPECT_EQ(table.RoleOf(Remote("alice")), Role::kNone);
  EXPECT_EQ(table.RoleOf(Remote("bob")), Role::kAdmin);
}

TEST(RoleTable, LinesStandBeforeTheDefaults) {
  const RoleTable table = Table({"viewer=uid:54321"}, {998});
  EXPECT_EQ(table.RoleOf(Local(kSomebody, {998})), Role::kViewer);
}

TEST(RoleTable, UnitsAndAlternativeNamesFitWholeOrByTheirBeginning) {
  const RoleTable table =
      Table({"operator=ou:deploy", "viewer=san:uri:spiffe://example/*", "viewer=san:dns:m.example"});
  EXPECT_EQ(table.RoleOf(Remote("x", {"people", "deploy"})), Role::kOperator);
  EXPECT_EQ(table.RoleOf(Remote("x", {"deploy2"})), Role::kNone);
  EXPECT_EQ(table.RoleOf(Remote("x", {}, {"uri:spiffe://example/m"})), Role::kViewer);
  EXPECT_EQ(table.RoleOf(Remote("x", {}, {"dns:m.example"})), Role::kViewer);
}

TEST(RoleTable, ALineOfOneKindOfConnectionDoesNotFitTheOther) {
  EXPECT_EQ(Table({"admin=uid:0"}).RoleOf(Remote("root")), Role::kNone);
  EXPECT_EQ(Table({"admin=cn:*"}).RoleOf(Local(kSomebody, {1})), Role::kNone);
}

TEST(RoleTable, AnEmptyNameFitsNoWildcard) {
  EXPECT_EQ(Table({"admin=cn:*"}).RoleOf(Remote("")), Role::kNone);
}

TEST(RoleTable, WrongLinesAreRefused) {
  for (const char* line : {"", "viewer", "viewer=cn", "viewer=cn:", "root=cn:a", "viewer=uid:x",
                           "viewer=dn:a", "=cn:a", "viewer=user:no-such-user-here",
                           "viewer=group:no-such-group-here"}) {
    EXPECT_FALSE(RoleTable::Parse({line}, {}).ok()) << line;
  }
  EXPECT_TRUE(RoleTable::CheckForm("viewer=user:no-such-user-here").ok());
}

}  // namespace
}  // namespace ocid
