// Answers that a judge decides: another model reads them, and what it writes is kept in the same
// store, as the samples of suites named "SUITE@JUDGE/PROMPT" with items "ITEM/SAMPLE/ORDER".
#pragma once

#include "harness/base/nouns.h"
#include "harness/base/result.h"
#include "harness/options.h"
#include "results/store.h"

namespace assay {

// Whether a stored sample is what a judge wrote.
bool is_judgment(const SampleId& id);

// Has every model of options.judges judge the answers in the store that need it, as far as it has
// not done so, and gives every judged answer the verdict that follows from all judgments. Stops
// early, without an error, once the program is asked to.
Status judge_run(const RunOptions& options, RunStore& store);

}  // namespace assay
