// Typed changes of an OCI spec's document: what transformers and plugins do to it, by intention.
//
// Each function makes the containers that it needs. INVALID_ARGUMENT, naming the pointer, where the
// document holds something else in that place; the document is then unchanged.
//
// Thread-compatible; nothing blocks. Source: opencontainers/runtime-spec config.md.
#ifndef OCID_RUNTIME_OCI_SPEC_EDIT_H_
#define OCID_RUNTIME_OCI_SPEC_EDIT_H_

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ocid {

// The object or array at the end of a path of member names, made where it is missing.
absl::StatusOr<nlohmann::json*> EnsureObject(std::initializer_list<std::string_view> path,
                                             nlohmann::json& document);
absl::StatusOr<nlohmann::json*> EnsureArray(std::initializer_list<std::string_view> path,
                                            nlohmann::json& document);

// Replaces the variable where it stands, or appends it.
absl::Status SetEnv(std::string_view name, std::string_view value, nlohmann::json& document);
// Removes every entry of that name; false if there was none.
bool RemoveEnv(std::string_view name, nlohmann::json& document);

// Replaces the element whose `key` member equals that of `element`, or appends `element`.
absl::Status PutByMember(std::initializer_list<std::string_view> path, std::string_view key,
                         nlohmann::json element, nlohmann::json& document);
// Removes the first such element; false if there was none.
bool RemoveByMember(std::initializer_list<std::string_view> path, std::string_view key,
                    std::string_view value, nlohmann::json& document);

// Puts a mount in the place of the one with the same destination, or at the end. Destinations are
// compared as cleaned absolute paths: "/data/" is "/data".
absl::Status PutMount(nlohmann::json mount, nlohmann::json& document);
bool RemoveMount(std::string_view destination, nlohmann::json& document);
// Puts each mount after those that it lies in: by depth of the destination, else as they stand.
void SortMounts(nlohmann::json& document);

// Puts each mount behind all others after taking away the first one of its destination, then orders
// all of them by the depth of their destinations, equal ones as they were: a mount comes after those
// that it lies in. Returns how many at the front are as before.
absl::StatusOr<size_t> PutMountsByDepth(std::vector<nlohmann::json> mounts,
                                        nlohmann::json& document);

absl::Status AddHook(std::string_view when, nlohmann::json hook, nlohmann::json& document);
// Appends the group unless it is there.
absl::Status AddAdditionalGid(uint32_t gid, nlohmann::json& document);
absl::Status SetAnnotation(std::string_view name, std::string_view value, nlohmann::json& document);

// The path without empty parts, "." and "..", which ends at "/"; absolute whatever it was.
std::string CleanPath(std::string_view path);
// True if CleanPath would give back the same text; much cheaper.
bool IsCleanPath(std::string_view path);

}  // namespace ocid

#endif  // OCID_RUNTIME_OCI_SPEC_EDIT_H_
