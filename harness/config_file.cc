#include "harness/config_file.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/base/json.h"
#include "harness/base/text.h"

namespace assay {
namespace {

std::string scalar(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string config_path(const std::vector<std::string>& arguments) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].starts_with("--config=")) return arguments[i].substr(9);
    if (arguments[i] == "--config" && i + 1 < arguments.size()) return arguments[i + 1];
  }
  return {};
}

// Whether the option stands on the command line, under any of its names.
bool is_given(const CLI::Option& option, const std::vector<std::string>& arguments) {
  for (const std::string& argument : arguments) {
    for (const std::string& name : option.get_lnames()) {
      if (argument == "--" + name || argument.starts_with("--" + name + "=")) return true;
    }
    for (const std::string& name : option.get_snames()) {
      if (argument.starts_with("-" + name) && !argument.starts_with("--")) return true;
    }
  }
  return false;
}

}  // namespace

Result<std::vector<std::string>> with_config_file(const CLI::App& command,
                                                  std::vector<std::string> arguments) {
  const std::string path = config_path(arguments);
  if (path.empty()) return arguments;
  ASSAY_TRY(const Json json, read_json_file(path));
  if (!json.is_object()) return Error{path + ": must be a JSON object of flags"};
  std::vector<std::string> flags;
  for (const auto& [key, value] : json.items()) {
    std::string name = key;
    std::replace(name.begin(), name.end(), '_', '-');
    const CLI::Option* option = command.get_option_no_throw("--" + name);
    if (option == nullptr) option = command.get_option_no_throw("--" + key);
    if (option == nullptr || name == "config" || name == "help") {
      std::vector<std::string> known;
      for (const CLI::Option* each : command.get_options()) {
        if (!each->get_lnames().empty()) known.push_back(each->get_lnames().front());
      }
      const std::string guess = nearest(name, known);
      return Error{fmt::format("{}: key \"{}\" is no flag of `assay {}`{}", path, key,
                               command.get_name(),
                               guess.empty() ? "" : fmt::format("; did you mean \"{}\"?", guess))};
    }
    if (is_given(*option, arguments)) continue;
    const std::string flag = "--" + option->get_lnames().front();
    if (value.is_boolean() && option->get_items_expected_max() == 0) {
      if (value.get<bool>()) flags.push_back(flag);
    } else if (value.is_array()) {
      std::vector<std::string> parts;
      for (const Json& part : value) parts.push_back(scalar(part));
      if (option->get_delimiter() == ',') {
        flags.push_back(flag + "=" + join(parts, ","));
      } else {
        for (const std::string& part : parts) flags.push_back(flag + "=" + part);
      }
    } else if (value.is_object() || value.is_null()) {
      return Error{
          fmt::format("{}: key \"{}\" must be text, a number, true, false or a list", path, key)};
    } else {
      flags.push_back(flag + "=" + scalar(value));
    }
  }
  arguments.insert(arguments.begin(), flags.begin(), flags.end());
  return arguments;
}

}  // namespace assay
