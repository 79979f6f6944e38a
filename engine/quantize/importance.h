// An importance matrix: how large the inputs of each column of each matrix are, while the model
// reads given tokens. The error of a product is the error of the weights times them.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/quantize/quantize.h"
#include "engine/runtime/local_engine.h"
#include "harness/base/result.h"

namespace assay {

// The mean of the squared inputs over all tokens of `sequences`. Longer ones than the context are
// cut.
Result<Importance> measure_importance(LocalEngine& engine,
                                      const std::vector<std::vector<int32_t>>& sequences);

}  // namespace assay
