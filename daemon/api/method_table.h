// MethodTable: every RPC of the API, and what its caller must be allowed to do.
//
// Made from the services' descriptors, so that there is no RPC that it does not know: one without an entry
// in the list of method_table.cc needs an admin, and a test fails. A call finds its method by the type of
// its request, which is each RPC's own.
//
// Immutable: thread-safe. Nothing blocks.
#ifndef OCID_DAEMON_API_METHOD_TABLE_H_
#define OCID_DAEMON_API_METHOD_TABLE_H_

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "daemon/access/role_table.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace ocid {

enum class Permission {
  kRead,        // a viewer may
  kPrepare,     // an operator may; changes nothing
  kCreate,      // an operator may
  kChange,      // the owner of the container may, who is an operator, or an admin
  kAdminister,  // an admin may
};

// The least role that any of these needs.
Role RoleFor(Permission permission);

struct ApiMethod {
  std::string name;  // "ocid.v1.ContainerService/Kill"
  size_t index = 0;  // in methods(); methods().size() of what is no method
  const google::protobuf::MethodDescriptor* descriptor = nullptr;
  Permission permission = Permission::kAdminister;
  bool listed = false;  // false: nobody said what it needs

  bool changes() const { return permission > Permission::kPrepare; }

  // Of its request; empty where it has none such.
  std::string ContainerId(const google::protobuf::Message& request) const;
  std::string ExecId(const google::protobuf::Message& request) const;
  std::string RequestId(const google::protobuf::Message& request) const;

  struct Field {
    const google::protobuf::FieldDescriptor* parent = nullptr;  // the message it is in; null: the request
    const google::protobuf::FieldDescriptor* field = nullptr;   // null: there is none

    std::string Read(const google::protobuf::Message& request) const;
  };
  Field container_id, exec_id, request_id;
};

class MethodTable {
 public:
  static const MethodTable& Get();

  const std::vector<ApiMethod>& methods() const { return methods_; }

  // Of a call with a request of this type.
  const ApiMethod& Find(const google::protobuf::Message& request) const;

 private:
  MethodTable();

  std::vector<ApiMethod> methods_;
  ApiMethod unknown_;  // needs an admin
  std::unordered_map<const google::protobuf::Descriptor*, size_t> by_request_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_API_METHOD_TABLE_H_
