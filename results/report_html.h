// The report of a run, and a comparison, as one HTML file.
#pragma once

#include <string>
#include <vector>

#include "harness/base/result.h"
#include "results/compare.h"
#include "results/report.h"

namespace assay {

// `max_samples`: how many samples' texts the page holds, spread over the questions; 0: none.
Result<std::string> report_html(RunStore& store, const Report& report, int max_samples);

// With the pairs that flipped, side by side from where their texts part; `max_samples` of them.
Result<std::string> comparison_html(std::vector<RunStore>& stores, const Comparison& comparison,
                                    int max_samples);

}  // namespace assay
