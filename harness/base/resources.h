// Where the program's own data is: suites/*.json, datasets/, engine/builtin.
#pragma once

#include <string>

#include "harness/base/result.h"

namespace assay {

// Path of a file or folder that comes with assay, e.g. "suites" or "engine/builtin". Looked for in
// ASSAY_HOME, in ../share/assay beside the program, and in the source tree it was built from.
Result<std::string> find_resource(const std::string& relative_path);

}  // namespace assay
