// The "data" of a suite file.
#pragma once

#include <string>
#include <vector>

#include "harness/base/data_spec.h"
#include "harness/base/json.h"
#include "harness/base/result.h"

namespace assay {

// One spec, or a list of alternatives. `place` is "file: data".
Result<std::vector<DataSpec>> read_data_specs(const Json& json, const std::string& place,
                                              const std::string& suite);

// A list of texts under `key` of what `reader` reads.
Result<std::vector<std::string>> read_texts(const Json& json, const JsonReader& reader,
                                            const std::string& key);

}  // namespace assay
