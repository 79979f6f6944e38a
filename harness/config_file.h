// --config FILE.json: any flag of a command as a JSON key.
#pragma once

#include <CLI/App.hpp>
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace assay {

// `arguments` (without the program's name) with the flags of the file that --config names put
// before them, so that what stands on the command line wins. A key that is no flag of `command` is
// an error that names file and key.
Result<std::vector<std::string>> with_config_file(const CLI::App& command,
                                                  std::vector<std::string> arguments);

}  // namespace assay
