// Samples in the files of other programs, as far as they can be scored here again.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "harness/base/nouns.h"
#include "harness/base/result.h"

namespace assay {

// What a file holds of one question.
struct ForeignQuestion {
  std::string place;               // file and row, for messages
  std::vector<std::string> ids;    // under which it may be known
  std::vector<std::string> texts;  // fields that may be the question's text, and the whole prompt
  std::string prompt;              // as the model saw it; empty: not known
  std::vector<Completion> samples;
};

struct ForeignSamples {
  std::string format;  // of the first file
  std::string model;   // as the file names it; may be empty
  std::optional<double> temperature, top_p;
  std::optional<int> max_tokens;
  std::vector<ForeignQuestion> questions;
};

// Reads files of one format, by what is in them:
//   lm-eval      samples_TASK_DATE.jsonl of lm-evaluation-harness
//   inspect      a log, .json (version 2) or .eval (zip)
//   lighteval    details as JSON lines (scripts/convert_parquet.py makes them of parquet)
//   evalplus     samples of EvalPlus and human-eval, task_id with solution or completion
//   livecodebench  outputs of its runner, output_list or code_list
//   nemo-skills  output*.jsonl, generation
// A question that several files or rows have gets their samples one after the other. A file of no
// known format, or none of the first one's, is an error that names what was looked for.
Result<ForeignSamples> read_foreign_samples(const std::vector<std::string>& paths);

}  // namespace assay
