// From verdicts to scores. Definitions and sources stand beside each field.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/base/measure.h"
#include "harness/base/nouns.h"

namespace assay {

using SameAnswer = std::function<bool(std::string_view, std::string_view)>;

// What the scores need of one sample.
struct SampleOutcome {
  Correctness correctness = Correctness::kUnscored;
  bool truncated = false;
  bool has_answer = false;
  std::string answer;
  int completion_tokens = 0;
  std::map<std::string, double> values;
};

struct Measured {
  Measure measure;
  int64_t samples = 0;  // that have the value
  double value = 0;
  double question_se = 0;  // of new questions; for a ratio by linearization (Cochran 1977, 6.4)
  std::optional<std::pair<double, double>> interval;  // 95 %, where the method has one
};

// The questions of one group: a subject, a task, a domain.
struct GroupScore {
  int questions = 0;
  double pass_at_1 = 0, sampling_se = 0, question_se = 0;
  std::optional<Measured> measured;  // the first measure, of a suite without accuracy
};

// What a suite reports beside its scores.
struct SummaryOptions {
  std::vector<std::string> groups;       // of each question; empty: the suite has none
  bool macro = false;                    // the mean of groups is a score of the suite
  bool accuracy = true;                  // pass@1 and what follows from it are scores too
  std::map<std::string, double> chance;  // by group, or "" of the whole suite; see normalised
  std::vector<Measure> measures;
};

// All rates are in [0, 1].
struct SuiteSummary {
  std::string suite;
  int questions = 0;
  int num_samples = 0;   // asked for, each question
  int64_t samples = 0;   // present
  int64_t unscored = 0;  // present, but judged neither right nor wrong; in no score
  double pass_at_1 = 0;  // mean over questions of (correct / scored samples)
  // Standard errors of pass_at_1. sampling_se: the same questions, new samples:
  // sqrt(Σ p(1−p)/(n−1)) / Q. question_se: new questions: sqrt(Var(p) / Q).
  double sampling_se = 0;
  double question_se = 0;
  // 1 − C(n−c, k)/C(n, k), mean over questions (Chen et al. 2021, arXiv:2107.03374).
  std::map<int, double> pass_at_k;
  // Majority vote of all n answers, by equivalence class; ties are shared evenly; samples without
  // an answer do not vote.
  double cons_at_n = 0;
  bool accuracy = true;   // whether pass@1 and what follows from it are scores of the suite
  bool consensus = true;  // whether cons@n is
  std::map<std::string, GroupScore> groups;
  // The mean of the groups' pass@1, each group weighing the same.
  std::optional<Measured> macro;
  // max(0, (p − chance)/(1 − chance)) of the suite, or its mean over the groups whose chance is
  // known: the scale of the Open LLM Leaderboard v2.
  std::optional<Measured> normalised;
  std::vector<Measured> measures;
  double truncation_rate = 0;
  double no_answer_rate = 0;
  double mean_tokens = 0;  // completion tokens a sample
  int64_t completion_tokens = 0;
};

// Unbiased estimate of pass@k from c correct of n samples; k ≤ n.
double pass_at_k(int n, int c, int k);

// Share of the vote's winners that are correct: 1 or 0, between them on a tie; 0 without a vote.
double consensus(const std::vector<SampleOutcome>& samples, const SameAnswer& same_answer);

// `questions`: the outcomes of each question, in the run's order.
SuiteSummary summarize(const std::string& suite, int num_samples,
                       const std::vector<std::vector<SampleOutcome>>& questions,
                       const SameAnswer& same_answer, const SummaryOptions& options = {});

}  // namespace assay
