// One line a sample, for other programs.
#pragma once

#include <ostream>

#include "harness/base/result.h"
#include "results/store.h"

namespace assay {

// JSON lines in the order of the run: suite, item_id, sample_index, prompt_tokens, token_ids, text,
// finish_reason, logprob, verdict, answer, gold, rule, detail, scorer.
Status export_jsonl(RunStore& store, std::ostream& out);

}  // namespace assay
