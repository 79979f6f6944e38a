// How far apart the models of compared runs are, token by token, along the base's own samples.
#pragma once

#include <string>
#include <vector>

#include "harness/base/result.h"
#include "results/compare.h"
#include "results/store.h"

namespace assay {

struct DivergenceOptions {
  int samples = 1;        // of each question
  int max_tokens = 8192;  // of each sample
  std::string text;       // a file whose perplexity is asked for; empty: none
};

// An error if a model, given by file, folder or "builtin", cannot be read so, or the text is too
// short for it; to be asked before it is run, which takes long.
Status check_divergence(const std::string& model, const DivergenceOptions& options);

// Opens the runs' models as their manifests name them, two at a time, and fills in each variant's
// divergence and the perplexities. Composed of tables by part of the sample: all, thought, answer,
// box, and by position.
Status add_divergence(std::vector<RunStore>& stores, const DivergenceOptions& options,
                      Comparison& comparison);

}  // namespace assay
