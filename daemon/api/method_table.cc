#include "daemon/api/method_table.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "proto/ocid/v1/container.pb.h"
#include "proto/ocid/v1/device.pb.h"
#include "proto/ocid/v1/event.pb.h"
#include "proto/ocid/v1/exec.pb.h"
#include "proto/ocid/v1/image.pb.h"
#include "proto/ocid/v1/log.pb.h"
#include "proto/ocid/v1/plugin.pb.h"
#include "proto/ocid/v1/system.pb.h"

namespace ocid {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::Message;

struct Entry {
  std::string_view method;  // "Service.Method"
  Permission permission;
};

constexpr Entry kPermissions[] = {
    {"ContainerService.Create", Permission::kCreate},
    {"ContainerService.Get", Permission::kRead},
    {"ContainerService.List", Permission::kRead},
    {"ContainerService.Update", Permission::kChange},
    {"ContainerService.Delete", Permission::kChange},
    {"ContainerService.Start", Permission::kChange},
    {"ContainerService.Stop", Permission::kChange},
    {"ContainerService.Kill", Permission::kChange},
    {"ContainerService.Pause", Permission::kChange},
    {"ContainerService.Resume", Permission::kChange},
    {"ContainerService.Wait", Permission::kRead},
    {"ContainerService.ListProcesses", Permission::kRead},
    {"ContainerService.GetStats", Permission::kRead},
    {"ContainerService.InspectOciSpec", Permission::kRead},
    // Reads files that the caller names, with the daemon's eyes.
    {"ContainerService.RenderOciSpec", Permission::kPrepare},
    {"ContainerService.DetectDrift", Permission::kRead},
    {"ExecService.Create", Permission::kChange},
    {"ExecService.Start", Permission::kChange},
    {"ExecService.Get", Permission::kRead},
    {"ExecService.Resize", Permission::kChange},
    {"ExecService.Wait", Permission::kRead},
    {"ExecService.Kill", Permission::kChange},
    {"ExecService.List", Permission::kRead},
    {"ExecService.Delete", Permission::kChange},
    {"ExecService.Attach", Permission::kChange},
    {"LogService.Read", Permission::kRead},
    {"EventService.Watch", Permission::kRead},
    {"DeviceService.Get", Permission::kRead},
    {"DeviceService.List", Permission::kRead},
    {"DeviceService.ListErrors", Permission::kRead},
    {"ImageService.Pull", Permission::kCreate},
    {"ImageService.Load", Permission::kCreate},
    {"ImageService.Get", Permission::kRead},
    {"ImageService.List", Permission::kRead},
    {"ImageService.Inspect", Permission::kRead},
    {"ImageService.GetUsage", Permission::kRead},
    // These read folders that the caller names, with the daemon's eyes.
    {"ImageService.VerifyBundle", Permission::kPrepare},
    {"ImageService.DigestBundle", Permission::kPrepare},
    // Images belong to everybody, and one that is unpacked or saved goes to any place of the host.
    {"ImageService.Unpack", Permission::kAdminister},
    {"ImageService.Save", Permission::kAdminister},
    {"ImageService.Delete", Permission::kAdminister},
    {"ImageService.Prune", Permission::kAdminister},
    {"PluginService.Get", Permission::kRead},
    {"PluginService.List", Permission::kRead},
    {"SystemService.GetVersion", Permission::kRead},
    {"SystemService.GetInfo", Permission::kRead},
    {"SystemService.GetCapabilities", Permission::kRead},
    {"SystemService.DumpDebug", Permission::kAdminister},
};

const FieldDescriptor* StringField(const Descriptor& type, const std::string& name) {
  const FieldDescriptor* const field = type.FindFieldByName(name);
  const bool fits = field != nullptr && !field->is_repeated() &&
                    field->cpp_type() == FieldDescriptor::CPPTYPE_STRING;
  return fits ? field : nullptr;
}

// In the request, or in the message that opens a stream of requests.
ApiMethod::Field FindField(const Descriptor& request, const std::string& name) {
  ApiMethod::Field found;
  found.field = StringField(request, name);
  const FieldDescriptor* const open = request.FindFieldByName("open");
  if (found.field == nullptr && open != nullptr && open->message_type() != nullptr) {
    found.field = StringField(*open->message_type(), name);
    if (found.field != nullptr) found.parent = open;
  }
  return found;
}

}  // namespace

Role RoleFor(Permission permission) {
  switch (permission) {
    case Permission::kRead:
      return Role::kViewer;
    case Permission::kPrepare:
    case Permission::kCreate:
    case Permission::kChange:
      return Role::kOperator;
    case Permission::kAdminister:
      break;
  }
  return Role::kAdmin;
}

std::string ApiMethod::Field::Read(const Message& request) const {
  if (field == nullptr) return "";
  const Message* message = &request;
  if (parent != nullptr) message = &request.GetReflection()->GetMessage(request, parent);
  return message->GetReflection()->GetString(*message, field);
}

std::string ApiMethod::ContainerId(const Message& request) const {
  return container_id.Read(request);
}
std::string ApiMethod::ExecId(const Message& request) const { return exec_id.Read(request); }
std::string ApiMethod::RequestId(const Message& request) const { return request_id.Read(request); }

MethodTable::MethodTable() {
  unknown_.name = "unknown";
  const FileDescriptor* const files[] = {
      v1::Container::descriptor()->file(), v1::Device::descriptor()->file(),
      v1::Event::descriptor()->file(),     v1::Exec::descriptor()->file(),
      v1::Image::descriptor()->file(),     v1::LogEntry::descriptor()->file(),
      v1::Plugin::descriptor()->file(),    v1::Info::descriptor()->file()};
  for (const FileDescriptor* const file : files) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        const google::protobuf::MethodDescriptor& descriptor = *file->service(s)->method(m);
        ApiMethod& method = methods_.emplace_back();
        method.index = methods_.size() - 1;
        method.descriptor = &descriptor;
        method.name = absl::StrCat(descriptor.service()->full_name(), "/", descriptor.name());
        const std::string key = absl::StrCat(descriptor.service()->name(), ".", descriptor.name());
        const Entry* const entry =
            std::find_if(std::begin(kPermissions), std::end(kPermissions),
                         [&key](const Entry& candidate) { return candidate.method == key; });
        method.listed = entry != std::end(kPermissions);
        if (method.listed) method.permission = entry->permission;
        const Descriptor& request = *descriptor.input_type();
        method.container_id = FindField(request, "container_id");
        method.exec_id = FindField(request, "exec_id");
        method.request_id = FindField(request, "request_id");
        by_request_.emplace(&request, method.index);
      }
    }
  }
  unknown_.index = methods_.size();
}

const MethodTable& MethodTable::Get() {
  static const auto* const kTable = new MethodTable();
  return *kTable;
}

const ApiMethod& MethodTable::Find(const Message& request) const {
  const auto found = by_request_.find(request.GetDescriptor());
  return found == by_request_.end() ? unknown_ : methods_[found->second];
}

}  // namespace ocid
