// From verdicts to scores. Definitions and sources stand beside each field.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "harness/base/measure.h"
#include "results/consensus.h"
#include "results/intervals.h"
#include "results/measured.h"
#include "results/outcome.h"

namespace assay {

// A mean over questions with its two errors. All rates are in [0, 1].
struct Estimate {
  double value = 0;
  // The same questions, new samples. Nothing is known of it from one sample a question.
  std::optional<double> sampling_se;
  std::optional<Interval> sampling_95;
  // New questions of the same kind, sampled as often: sqrt(Var / Q) of the questions' values, and
  // Wilson's interval with the t quantile of Q − 1. Where ten or more are skewed (skewness over 1),
  // as when few of many questions are ever solved, its limit on the long side is Hall's if that is
  // farther. From one question nothing is known of it.
  double question_se = 0;
  std::optional<Interval> question_95;
};

// The mean of the questions' `values`. `variances`: the squared standard error of each under new
// samples; empty where that is not known. `draws`: samples a question that a value stands for.
Estimate estimate_mean(const std::vector<double>& values, const std::vector<double>& variances,
                       double draws);

// The questions of one group: a subject, a task, a domain.
struct GroupScore {
  int questions = 0;
  Estimate pass_at_1;
  std::optional<Measured> measured;  // the first measure, of a suite without accuracy
};

// What a suite reports beside its scores.
struct SummaryOptions {
  std::vector<std::string> groups;       // of each question; empty: the suite has none
  bool macro = false;                    // the mean of groups is a score of the suite
  bool accuracy = true;                  // pass@1 and what follows from it are scores too
  bool consensus = true;                 // cons@k is one too
  std::map<std::string, double> chance;  // by group, or "" of the whole suite; see normalised
  std::vector<Measure> measures;
  int max_tokens = 0;  // the run's limit; 0: not known, so that there is no budget curve
};

// Completion tokens of the samples.
struct TokenStats {
  int64_t total = 0, thought = 0;
  double mean = 0, p50 = 0, p95 = 0;
  int max = 0;
  double per_correct = 0;  // all tokens over correct samples; 0 when there are none
};

struct SuiteSummary {
  std::string suite;
  int questions = 0;
  int num_samples = 0;   // asked for, each question
  int64_t samples = 0;   // present
  int64_t unscored = 0;  // present, but judged neither right nor wrong; in no score
  int64_t bare = 0;      // programs that ran without a jail, which could reach their own result
  // Mean over questions of (correct / scored samples).
  Estimate pass_at_1;
  // 1 − C(n−c, k)/C(n, k), mean over questions (Chen et al. 2021, arXiv:2107.03374).
  std::map<int, Estimate> pass_at_k;
  // Majority vote of k answers by equivalence class, in expectation over the subsets of the n
  // samples; ties are shared evenly; samples without an answer do not vote.
  std::map<int, Estimate> cons_at_k;
  // pass@1 if completions had been cut after so many tokens.
  std::map<int, double> pass_at_1_by_budget;
  bool accuracy = true;   // whether pass@1 and what follows from it are scores of the suite
  bool consensus = true;  // whether cons@k is
  std::map<std::string, GroupScore> groups;
  // The mean of the groups' pass@1, each group weighing the same.
  std::optional<Measured> macro;
  // max(0, (p − chance)/(1 − chance)) of the suite, or its mean over the groups whose chance is
  // known: the scale of the Open LLM Leaderboard v2.
  std::optional<Measured> normalised;
  std::vector<Measured> measures;
  double truncation_rate = 0;
  double no_answer_rate = 0;
  TokenStats tokens;
};

// Unbiased estimate of pass@k from c correct of n samples; k ≤ n.
double pass_at_k(int n, int c, int k);

// Its squared standard error under new samples of the question. For 2k ≤ n the unbiased estimate
// A(k)² − A(2k) with A(k) = C(n−c, k)/C(n, k); else the variance of the estimate for c from a
// binomial distribution with probability c/n.
double pass_at_k_variance(int n, int c, int k);

// The votes of the scored samples among `samples`.
Votes votes_of(const std::vector<SampleOutcome>& samples, const SameAnswer& same_answer);

// `questions`: the outcomes of each question, in the run's order.
SuiteSummary summarize(const std::string& suite, int num_samples,
                       const std::vector<std::vector<SampleOutcome>>& questions,
                       const SameAnswer& same_answer, const SummaryOptions& options = {});

}  // namespace assay
