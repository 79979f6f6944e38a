// The database of published results: suites/published/published.json. It is apart from the suites,
// so that a new publication changes no suite.
//
// {
//   "sources": [{
//     "source": "…",                 who says so, and where
//     "date": "2025-01", "n": 64,    of the publication; samples a question. Optional: not stated
//     "prompt": "…",                 how the model was asked
//     "scores": [{"suite", "model", "quantization", "metric", "value", "from", "to", "note"}]
//   }],
//   "quantizations": [{"model", "quantization", "bits_per_weight", "memory_gb", "claimed_quality",
//                      "source"}],
//   "templates": [{"model", "sha256"}]    chat templates as published; a model's name begins so
// }
#pragma once

#include <string>
#include <vector>

#include "harness/base/result.h"

namespace assay {

struct PublishedScore {
  std::string suite, model, quantization, metric, source, date, prompt, note;
  std::string from, to;  // the questions' dates, of suites that have any
  double value = 0;      // percent, or what the metric is in (a rating)
  int n = 0;             // samples a question; 0: not stated
};

struct PublishedQuantization {
  std::string model, quantization, source;
  double bits_per_weight = 0, memory_gb = 0;
  double claimed_quality = 0;  // percent of the unquantized model's, whatever that means there
};

struct PublishedTemplate {
  std::string model, sha256;
};

struct Published {
  std::vector<PublishedScore> scores;
  std::vector<PublishedQuantization> quantizations;
  std::vector<PublishedTemplate> templates;
};

// The database that comes with assay. An error names the place in the file.
Result<Published> load_published();
Result<Published> parse_published(std::string_view text, const std::string& path);

// Whether a model's file or folder name says that it is the published one: "R1-Distill-Qwen-7B" is
// in "DeepSeek-R1-Distill-Qwen-7B-Q4_K_M.gguf". Case does not matter.
bool names_model(const std::string& name, const std::string& published);

}  // namespace assay
