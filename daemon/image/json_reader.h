// Reading members of documents from outside: each has the type it must have, or is not there.
//
// JSON null counts as absent, as Go's encoders write it for what is empty. Anything else of the wrong
// type is IMAGE_INVALID, naming the member. Pure functions; nothing blocks.
#ifndef OCID_DAEMON_IMAGE_JSON_READER_H_
#define OCID_DAEMON_IMAGE_JSON_READER_H_

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ocid {

// Reads members of one object; the first error stays, and everything after it is a no-op.
class JsonReader {
 public:
  // `what` names the object in errors.
  JsonReader(const nlohmann::json& object, std::string_view what);

  const absl::Status& status() const { return status_; }
  bool Has(std::string_view name) const { return Find(name) != nullptr; }

  void Read(std::string_view name, std::string& value);
  void Read(std::string_view name, bool& value);
  void Read(std::string_view name, uint64_t& value);
  void Read(std::string_view name, std::vector<std::string>& value);
  void Read(std::string_view name, std::map<std::string, std::string>& value);
  // Members' names of an object whose values do not matter: {"80/tcp":{}}.
  void ReadNames(std::string_view name, std::vector<std::string>& value);

  // Null where absent; an error where it is of another type.
  const nlohmann::json* Object(std::string_view name);
  const nlohmann::json* Array(std::string_view name);

  void Fail(std::string_view name, std::string_view what);

 private:
  const nlohmann::json* Find(std::string_view name) const;

  const nlohmann::json& object_;
  const std::string what_;
  absl::Status status_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_JSON_READER_H_
