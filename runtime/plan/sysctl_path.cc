#include "runtime/plan/sysctl_path.h"

namespace ocid {

std::string SysctlPath(std::string name) {
  const size_t first = name.find_first_of("./");
  if (first == std::string::npos || name[first] == '/') return name;
  for (char& c : name) {
    if (c == '.') {
      c = '/';
    } else if (c == '/') {
      c = '.';
    }
  }
  return name;
}

}  // namespace ocid
