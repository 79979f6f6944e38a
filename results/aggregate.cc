#include "results/aggregate.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace assay {
namespace {

struct Counts {
  int scored = 0, correct = 0;
};

Counts count(const std::vector<SampleOutcome>& samples) {
  Counts counts;
  for (const SampleOutcome& sample : samples) {
    counts.scored += sample.correctness != Correctness::kUnscored;
    counts.correct += sample.correctness == Correctness::kCorrect;
  }
  return counts;
}

// pass@k is shown for powers of two and for n itself.
std::vector<int> shown_k(int n) {
  std::vector<int> ks;
  for (int k = 1; k < n; k *= 2) ks.push_back(k);
  ks.push_back(n);
  return ks;
}

}  // namespace

double pass_at_k(int n, int c, int k) {
  if (n - c < k) return 1;
  double none = 1;  // C(n−c, k)/C(n, k) as a product, which cannot overflow
  for (int i = n - c + 1; i <= n; ++i) none *= 1.0 - static_cast<double>(k) / i;
  return 1 - none;
}

double consensus(const std::vector<SampleOutcome>& samples, const SameAnswer& same_answer) {
  struct Class {
    std::string_view answer;
    int votes;
    bool correct;
  };
  // Equal strings first: few distinct ones are left for the costly comparison.
  std::map<std::string_view, Class> by_text;
  for (const SampleOutcome& sample : samples) {
    if (!sample.has_answer || sample.correctness == Correctness::kUnscored) continue;
    Class& entry = by_text.try_emplace(sample.answer, Class{sample.answer, 0, false}).first->second;
    ++entry.votes;
    entry.correct |= sample.correctness == Correctness::kCorrect;
  }
  std::vector<Class> classes;
  for (const auto& item : by_text) {
    const Class& entry = item.second;
    const auto found = std::find_if(classes.begin(), classes.end(), [&](const Class& existing) {
      return same_answer(existing.answer, entry.answer);
    });
    if (found == classes.end()) {
      classes.push_back(entry);
    } else {
      found->votes += entry.votes;
      found->correct |= entry.correct;
    }
  }
  int most = 0;
  for (const Class& entry : classes) most = std::max(most, entry.votes);
  double winners = 0, correct = 0;
  for (const Class& entry : classes) {
    if (entry.votes < most) continue;
    winners += 1;
    correct += entry.correct ? 1 : 0;
  }
  return winners == 0 ? 0 : correct / winners;
}

SuiteSummary summarize(const std::string& suite, int num_samples,
                       const std::vector<std::vector<SampleOutcome>>& questions,
                       const SameAnswer& same_answer) {
  SuiteSummary summary;
  summary.suite = suite;
  summary.num_samples = num_samples;
  summary.questions = static_cast<int>(questions.size());
  int smallest = num_samples;
  double sum = 0, sum_of_squares = 0, sampling_variance = 0, truncated = 0, unanswered = 0;
  int scored_questions = 0;
  for (const auto& samples : questions) {
    const Counts counts = count(samples);
    for (const SampleOutcome& sample : samples) {
      truncated += sample.truncated ? 1 : 0;
      unanswered += sample.has_answer ? 0 : 1;
      summary.completion_tokens += sample.completion_tokens;
    }
    summary.samples += static_cast<int64_t>(samples.size());
    summary.unscored += static_cast<int64_t>(samples.size()) - counts.scored;
    if (counts.scored == 0) continue;
    ++scored_questions;
    smallest = std::min(smallest, counts.scored);
    const double p = static_cast<double>(counts.correct) / counts.scored;
    sum += p;
    sum_of_squares += p * p;
    if (counts.scored > 1) sampling_variance += p * (1 - p) / (counts.scored - 1);
  }
  const double total = static_cast<double>(std::max<int64_t>(1, summary.samples));
  summary.truncation_rate = truncated / total;
  summary.no_answer_rate = unanswered / total;
  summary.mean_tokens = static_cast<double>(summary.completion_tokens) / total;
  if (scored_questions == 0) return summary;
  const double q = scored_questions;
  summary.pass_at_1 = sum / q;
  summary.sampling_se = std::sqrt(sampling_variance) / q;
  if (scored_questions > 1) {
    const double variance = (sum_of_squares - sum * sum / q) / (q - 1);
    summary.question_se = std::sqrt(std::max(0.0, variance) / q);
  }
  for (const int k : shown_k(smallest)) {
    double mean = 0;
    for (const auto& samples : questions) {
      const Counts counts = count(samples);
      if (counts.scored > 0) mean += assay::pass_at_k(counts.scored, counts.correct, k) / q;
    }
    summary.pass_at_k[k] = mean;
  }
  for (const auto& samples : questions) {
    if (count(samples).scored > 0) summary.cons_at_n += consensus(samples, same_answer) / q;
  }
  return summary;
}

}  // namespace assay
