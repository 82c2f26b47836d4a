// The features document of the specification: what this program knows, whatever the host can do.
//
// Pure, thread-safe. Source: runtime-spec features.md, features-linux.md.
#ifndef OCID_RUNTIME_PLAN_RUNTIME_FEATURES_H_
#define OCID_RUNTIME_PLAN_RUNTIME_FEATURES_H_

#include <nlohmann/json.hpp>
#include <string_view>

namespace ocid {

// The oldest version of a document that is read without being upgraded first.
inline constexpr std::string_view kOldestOciVersion = "1.0.0";

nlohmann::ordered_json RuntimeFeatures();

}  // namespace ocid

#endif  // OCID_RUNTIME_PLAN_RUNTIME_FEATURES_H_
