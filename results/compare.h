// A comparison of runs: the base and its variants, all suites, the verdicts.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "harness/base/json.h"
#include "harness/base/result.h"
#include "results/paired.h"
#include "results/store.h"

namespace assay {

// Where two samples of a pair part.
struct FirstDifference {
  int64_t pairs = 0, identical = 0;
  double median_tokens = 0;  // that are the same before, of the pairs that differ; 0: none does
};

// KL divergences of the tokens of one part of the samples, in nats.
struct DivergenceRow {
  std::string part;  // "all", "thought", "1k–8k", …
  int64_t tokens = 0;
  double mean = 0, p50 = 0, p90 = 0, p99 = 0, max = 0;
  double same_best = 0;                    // share of tokens
  double mean_change = 0, rms_change = 0;  // of the probability of the token that was sampled
};

struct ComparedRun {
  std::string name, folder;
  OrderedJson model, environment;                           // of the manifest
  std::vector<PairedSuite> suites;                          // of a variant, beside the base
  std::map<std::string, FirstDifference> first_difference;  // by suite
  std::vector<std::string> warnings;
  std::vector<DivergenceRow> divergence;
  double perplexity = 0, perplexity_se = 0;  // of a text; 0: not asked for
};

struct Comparison {
  CompareOptions options;
  std::vector<ComparedRun> runs;  // the base first
  std::vector<std::string> suites;
};

// Refuses runs of other questions, prompts' suites or scorers; what else differs is a warning.
Result<Comparison> compare_runs(std::vector<RunStore>& stores, const CompareOptions& options);

bool has_loss(const Comparison& comparison);

// `context`: tokens, for the memory that a sequence takes.
std::string format_comparison(const Comparison& comparison, int context);
OrderedJson comparison_json(const Comparison& comparison);

// "no loss beyond 1.0 points", "loss of 3.1 points", "undecided: …"
std::string verdict_text(const PairedSuite& suite, const CompareOptions& options);

}  // namespace assay
