// For tests: an OCI image layout in a folder, made image by image, with whatever a hostile one may hold.
#ifndef OCID_DAEMON_IMAGE_LAYOUT_TESTING_H_
#define OCID_DAEMON_IMAGE_LAYOUT_TESTING_H_

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace ocid {

class TestLayout {
 public:
  // Empties the folder.
  explicit TestLayout(std::string directory);

  void WriteFile(const std::string& name, const std::string& bytes);
  // Adds a blob; returns its descriptor.
  nlohmann::json Blob(std::string_view media_type, const std::string& bytes);
  // Adds an image of gzip layers; returns its manifest's descriptor, which is in the index too.
  nlohmann::json AddImage(const std::vector<std::string>& tars, const std::string& name,
                          nlohmann::json config = nlohmann::json::object());
  void WriteIndex();

  const std::string& path() const { return directory_; }
  nlohmann::json& index() { return index_; }

 private:
  const std::string directory_;
  nlohmann::json index_ = nlohmann::json::array();
};

}  // namespace ocid

#endif  // OCID_DAEMON_IMAGE_LAYOUT_TESTING_H_
