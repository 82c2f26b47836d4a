// RandomSpec: random documents with the arrays that an OCI spec has, for property tests. The same
// seed gives the same documents. They are JSON, and need not be valid specs.
#ifndef OCID_RUNTIME_OCI_RANDOM_SPEC_H_
#define OCID_RUNTIME_OCI_RANDOM_SPEC_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

namespace ocid {

class RandomSpec {
 public:
  explicit RandomSpec(uint32_t seed) : random_(seed) {}

  nlohmann::json Make() {
    nlohmann::json spec = nlohmann::json::object();
    spec["ociVersion"] = "1.2." + Number(3);
    spec["process"] = {{"args", Strings("arg", 4)},
                       {"env", Env()},
                       {"user", {{"additionalGids", Numbers(6)}}},
                       {"capabilities", {{"bounding", Strings("CAP_", 6)}}},
                       {"rlimits", Objects("type", "RLIMIT_", 4)}};
    spec["mounts"] = Objects("destination", "/m~", 8);
    spec["linux"] = {{"devices", Objects("path", "/dev/", 5)},
                     {"namespaces", Objects("type", "ns", 4)},
                     {"resources", {{"devices", Objects("access", "r", 3)}}}};
    if (Below(2) == 0) spec["hooks"] = {{"prestart", Objects("path", "/hook", 4)}};
    if (Below(3) == 0) spec["x/y~z"] = Any(3);
    return spec;
  }

 private:
  uint32_t Below(uint32_t n) { return random_() % n; }
  std::string Number(uint32_t n) { return std::to_string(Below(n)); }

  nlohmann::json Strings(const std::string& prefix, uint32_t n) {
    nlohmann::json array = nlohmann::json::array();
    for (uint32_t i = Below(n + 1); i > 0; --i) array.push_back(prefix + Number(n + 2));
    return array;
  }
  nlohmann::json Numbers(uint32_t n) {
    nlohmann::json array = nlohmann::json::array();
    for (uint32_t i = Below(n); i > 0; --i) array.push_back(Below(n));
    return array;
  }
  nlohmann::json Env() {
    nlohmann::json array = nlohmann::json::array();
    for (uint32_t i = Below(9); i > 0; --i) array.push_back("V" + Number(10) + "=" + Number(3));
    return array;
  }
  nlohmann::json Objects(const char* key, const std::string& prefix, uint32_t n) {
    nlohmann::json array = nlohmann::json::array();
    for (uint32_t i = Below(n + 1); i > 0; --i) {
      nlohmann::json object = {{key, prefix + Number(n + 1)}};
      if (Below(2) == 0) object["extra"] = Any(2);
      if (Below(3) == 0) object["options"] = Strings("o", 4);
      array.push_back(object);
    }
    if (Below(20) == 0) array.push_back(Any(1));  // an element without identity
    return array;
  }
  nlohmann::json Any(uint32_t depth) {
    switch (Below(depth == 0 ? 5 : 7)) {
      case 0:
        return nullptr;
      case 1:
        return Below(2) == 0;
      case 2:
        return Below(10);
      case 3:
        return static_cast<double>(Below(4)) / 2;
      case 4:
        return "s" + Number(3);
      case 5: {
        nlohmann::json array = nlohmann::json::array();
        for (uint32_t i = Below(4); i > 0; --i) array.push_back(Any(depth - 1));
        return array;
      }
      default: {
        nlohmann::json object = nlohmann::json::object();
        for (uint32_t i = Below(4); i > 0; --i) object["k" + Number(5)] = Any(depth - 1);
        return object;
      }
    }
  }

  std::mt19937 random_;
};

}  // namespace ocid

#endif  // OCID_RUNTIME_OCI_RANDOM_SPEC_H_
