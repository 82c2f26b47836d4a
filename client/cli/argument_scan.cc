#include "client/cli/argument_scan.h"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace ocid::cli {
namespace {

bool TakesValue(const CLI::App& app, const std::string& name) {
  const CLI::Option* option = app.get_option_no_throw(name);
  return option != nullptr && option->get_items_expected_max() > 0;
}

// Whether the value of this option is the next argument.
bool NextIsValue(const CLI::App& app, const std::string& argument) {
  if (argument.starts_with("--")) {
    return argument.find('=') == std::string::npos && TakesValue(app, argument);
  }
  // "-it": flags until one that takes a value, which is the rest, or the next argument.
  for (size_t i = 1; i < argument.size(); ++i) {
    if (TakesValue(app, std::string("-") + argument[i])) return i + 1 == argument.size();
  }
  return false;
}

}  // namespace

std::optional<size_t> FindPositional(const CLI::App& app, const std::vector<std::string>& arguments,
                                     size_t which) {
  bool options_end = false;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (!options_end && argument == "--") {
      options_end = true;
    } else if (!options_end && argument.size() > 1 && argument[0] == '-') {
      if (NextIsValue(app, argument)) ++i;
    } else if (which-- == 0) {
      return i;
    }
  }
  return std::nullopt;
}

}  // namespace ocid::cli
