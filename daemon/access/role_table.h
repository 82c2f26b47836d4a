// RoleTable: what an identity may do.
//
//   viewer    reads everything
//   operator  also makes containers, and changes those that it owns
//   admin     changes everything
//   none      nothing: a way to take away what a later line would give
//
// The configuration's lines are `ROLE=KIND:VALUE`, and the first that fits decides:
//
//   admin=user:alice  operator=group:deploy  viewer=uid:1000  viewer=gid:100     unix socket
//   operator=cn:ci    viewer=ou:monitoring   viewer=san:uri:spiffe://example/m   certificate
//
// A '*' at the end of a cn, ou or san fits any rest. Behind the lines stand the defaults, for unix
// sockets alone: root and the daemon's own user are admins, and so is who is in the group of the socket.
// Who fits nothing may do nothing.
//
// An immutable value: thread-safe. Parse looks up users and groups and so blocks; the rest does not.
#ifndef OCID_DAEMON_ACCESS_ROLE_TABLE_H_
#define OCID_DAEMON_ACCESS_ROLE_TABLE_H_

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/access/identity.h"

namespace ocid {

enum class Role { kNone, kViewer, kOperator, kAdmin };  // each may what the ones before it may

// "none", "viewer", "operator", "admin".
std::string_view RoleName(Role role);

class RoleTable {
 public:
  RoleTable() = default;  // the defaults alone, without a group

  // INVALID_ARGUMENT names the line that is wrong; a user or group that this host does not know is
  // wrong. `socket_groups`: of the sockets that are listened on.
  static absl::StatusOr<RoleTable> Parse(const std::vector<std::string>& lines,
                                         std::vector<gid_t> socket_groups);

  // As far as it goes without looking up names: for --check-config.
  static absl::Status CheckForm(const std::string& line);

  Role RoleOf(const Identity& identity) const;

 private:
  struct Line {
    Role role = Role::kNone;
    enum class Kind { kUid, kGid, kCommonName, kUnit, kAlternativeName } kind = Kind::kUid;
    uid_t id = 0;      // kUid, kGid
    std::string text;  // the rest
  };

  static absl::StatusOr<Line> ParseLine(const std::string& text, bool look_up);
  static bool Fits(const Line& line, const Identity& identity);

  std::vector<Line> lines_;
  std::vector<gid_t> socket_groups_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_ACCESS_ROLE_TABLE_H_
