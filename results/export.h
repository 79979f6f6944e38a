// A run in the forms that other programs read.
#pragma once

#include <ostream>
#include <string>

#include "harness/base/result.h"
#include "results/report.h"
#include "results/store.h"

namespace assay {

// JSON lines in the order of the run: suite, item_id, sample_index, prompt_tokens, token_ids, text,
// finish_reason, logprob, verdict, answer, gold, rule, detail, scorer.
Status export_jsonl(RunStore& store, std::ostream& out);

// A row a sample, without texts (RFC 4180): suite, item_id, sample_index, verdict, answer, gold,
// completion_tokens, thought_tokens, finish_reason, rule, scorer.
Status export_csv(RunStore& store, std::ostream& out);

// The scores as a table for a model card.
std::string export_markdown(const Report& report, const OrderedJson& manifest);

// The scores for monitoring, in OpenMetrics text (openmetrics.io, version 1.0).
std::string export_openmetrics(const Report& report);

}  // namespace assay
