// A run in the forms that other programs read.
#pragma once

#include <map>
#include <ostream>
#include <string>
#include <vector>

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

// The folder's files of lm-evaluation-harness 0.4 (`--output_path`, `--log_samples`):
// MODEL/results_DATE.json and MODEL/samples_SUITE_DATE.jsonl, a row a question. What that form has
// no place for stands in a row's "assay", a list with an object a sample. Returns the folder's
// files.
Result<std::vector<std::string>> export_lm_eval(RunStore& store, const Report& report,
                                                const std::string& folder);

// A log of inspect (version 2, JSON) for each suite; a sample's epoch is its index, from 1.
// Returns the files.
Result<std::vector<std::string>> export_inspect(RunStore& store, const Report& report,
                                                const std::string& folder);

// Where the Hugging Face Hub keeps scores of a suite: a data set that is a benchmark there, and its
// task.
struct HubDataset {
  std::string id, task_id;
};
// A model repository's .eval_results/NAME.yaml (huggingface.co/docs/hub/eval-results): pass@1 in
// percent of the suites that are in `datasets`; the others are named in comments.
std::string export_hub(const Report& report, const OrderedJson& manifest,
                       const std::map<std::string, HubDataset>& datasets);

}  // namespace assay
