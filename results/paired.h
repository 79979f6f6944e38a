// Two runs of the same questions, sample by sample: what changed, and whether it is noise.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "results/intervals.h"
#include "results/run_outcomes.h"

namespace assay {

// What a comparison is asked to decide.
struct CompareOptions {
  double margin = 0.01;  // of the score, in [0, 1]: a loss that does not matter
  double alpha = 0.05;   // of each verdict, over all of a comparison's suites
  double power = 0.9;    // for the number of samples that would decide
  uint64_t seed = 0;     // of the permutations
};

enum class CompareVerdict {
  kNoLoss,     // the score is not lower by the margin or more
  kLoss,       // it is lower, and may be by the margin or more
  kSmallLoss,  // it is lower, by less than the margin
  kUndecided,
};

// pass@1 of one suite in two runs. Pairs are samples of the same question and index that are scored
// in both; a question's difference d is the mean of its pairs' (new − base).
struct PairedSuite {
  std::string suite;
  int questions = 0;
  int64_t pairs = 0, unpaired = 0;  // samples of either run that have no partner, or are unscored
  double base = 0, other = 0, difference = 0;
  // Of the difference. sampling_se: the same questions, new samples, which are paired again;
  // Σ_q s_q² / n_q / Q², with s_q² the variance of the pairs' differences; none with one pair a
  // question. question_se: new questions, sqrt(Var(d) / Q).
  std::optional<double> sampling_se;
  double question_se = 0;
  // Of these questions (of new ones where there is one pair a question), with room for one more
  // flip than was seen.
  Interval interval_95;
  int64_t right_to_wrong = 0, wrong_to_right = 0;
  double mcnemar_p = 1;      // exact, two-sided; on these questions too large rather than too small
  double permutation_p = 1;  // of swapping the runs question by question, 10,000 times
  double adjusted_p = 1;     // McNemar's after Holm (1979)
  CompareVerdict verdict = CompareVerdict::kUndecided;
  // Samples a question with which a run without any loss would be found to be without one, with
  // the power asked for.
  int64_t samples_to_decide = 0;
};

PairedSuite compare_suites(const SuiteOutcomes& base, const SuiteOutcomes& other,
                           const CompareOptions& options);

// Holm's adjustment over all of them, and the verdicts.
void decide(std::vector<PairedSuite*> suites, const CompareOptions& options);

// p-values adjusted by Holm's step-down procedure, in their order.
std::vector<double> holm(const std::vector<double>& p);

}  // namespace assay
