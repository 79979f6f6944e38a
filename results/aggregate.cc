#include "results/aggregate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace assay {
namespace {

using Questions = std::vector<std::vector<SampleOutcome>>;

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

// Of the questions that have a scored sample.
std::vector<Counts> counts_of(const Questions& questions) {
  std::vector<Counts> all;
  for (const auto& samples : questions) {
    const Counts counts = count(samples);
    if (counts.scored > 0) all.push_back(counts);
  }
  return all;
}

// pass@k and cons@k are shown for powers of two and for n itself.
std::vector<int> shown_k(int n) {
  std::vector<int> ks;
  for (int k = 1; k < n; k *= 2) ks.push_back(k);
  ks.push_back(n);
  return ks;
}

// C(n−c, k)/C(n, k), the chance that none of k is correct, as a product, which cannot overflow.
double none_correct(int n, int c, int k) {
  if (n - c < k) return 0;
  double none = 1;
  for (int i = n - c + 1; i <= n; ++i) none *= 1.0 - static_cast<double>(k) / i;
  return none;
}

Estimate pass_at_k_of(const std::vector<Counts>& all, int k) {
  std::vector<double> values, variances;
  int smallest = all.front().scored;
  for (const Counts& counts : all) {
    values.push_back(pass_at_k(counts.scored, counts.correct, k));
    variances.push_back(pass_at_k_variance(counts.scored, counts.correct, k));
    smallest = std::min(smallest, counts.scored);
  }
  if (smallest < 2) variances.clear();
  return estimate_mean(values, variances, static_cast<double>(smallest) / k);
}

GroupScore score_of(const Questions& questions) {
  GroupScore score;
  const std::vector<Counts> all = counts_of(questions);
  score.questions = static_cast<int>(all.size());
  if (!all.empty()) score.pass_at_1 = pass_at_k_of(all, 1);
  return score;
}

void add_consensus(const Questions& questions, const SameAnswer& same_answer,
                   const std::vector<int>& ks, SuiteSummary& summary) {
  std::map<int, std::vector<double>> values, variances;
  for (const auto& samples : questions) {
    const Votes votes = votes_of(samples, same_answer);
    if (votes.samples() == 0) continue;
    const std::vector<double> value = consensus_at_k(votes);
    const std::vector<double> variance = consensus_variance(votes);
    for (const int k : ks) {
      // At n the vote itself, free of rounding.
      const bool all = k == votes.samples();
      values[k].push_back(all ? majority_is_correct(votes) : value[static_cast<size_t>(k)]);
      variances[k].push_back(variance[static_cast<size_t>(k)]);
    }
  }
  const int n = ks.back();
  for (const int k : ks) {
    if (n < 2) variances[k].clear();
    summary.cons_at_k[k] = estimate_mean(values[k], variances[k], static_cast<double>(n) / k);
  }
}

// A mean over groups, each weighing the same.
struct GroupMean {
  double sum = 0, question_variance = 0, sampling_variance = 0;
  int groups = 0;
  bool sampled = true;
  // The score's errors are `scale` times those of `score`.
  void add(double value, const Estimate& score, double scale) {
    sum += value;
    question_variance += std::pow(scale * score.question_se, 2);
    sampling_variance += std::pow(scale * score.sampling_se.value_or(0), 2);
    sampled = sampled && score.sampling_se;
    ++groups;
  }
  std::optional<Measured> mean(const char* name) const {
    if (groups == 0) return std::nullopt;
    Measured out;
    out.measure = {name, "", "", "percent"};
    out.samples = groups;
    out.value = sum / groups;
    out.question_se = std::sqrt(question_variance) / groups;
    if (sampled) out.sampling_se = std::sqrt(sampling_variance) / groups;
    return out;
  }
};

void add_groups(const Questions& questions, const SummaryOptions& options, SuiteSummary& summary) {
  std::map<std::string, Questions> by_group;
  for (size_t i = 0; i < questions.size(); ++i) {
    by_group[i < options.groups.size() ? options.groups[i] : ""].push_back(questions[i]);
  }
  GroupMean macro, normalised;
  const auto add_normalised = [&](const Estimate& score, double chance) {
    const double room = 1 - chance, above = score.value - chance;
    normalised.add(std::max(0.0, above) / room, score, above > 0 ? 1 / room : 0);
  };
  for (const auto& [group, members] : by_group) {
    GroupScore score = score_of(members);
    if (score.questions > 0) macro.add(score.pass_at_1.value, score.pass_at_1, 1);
    const auto chance = options.chance.find(group);
    if (score.questions > 0 && !group.empty() && chance != options.chance.end()) {
      add_normalised(score.pass_at_1, chance->second);
    }
    if (!options.accuracy && !options.measures.empty()) {
      score.measured = measured(options.measures.front(), members);
    }
    if (!group.empty()) summary.groups[group] = std::move(score);
  }
  if (const auto chance = options.chance.find(""); chance != options.chance.end()) {
    add_normalised(summary.pass_at_1, chance->second);
  }
  if (options.macro) summary.macro = macro.mean("macro");
  if (!options.chance.empty()) summary.normalised = normalised.mean("normalised");
}

// pass@1 of shorter limits, from a 32nd of the longest completion to the first that cuts none: a
// sample is a function of its seed alone, so a lower limit would have changed nothing else.
void add_budgets(const Questions& questions, int max_tokens, SuiteSummary& summary) {
  if (max_tokens < 1 || summary.tokens.max == 0) return;
  std::vector<int> budgets;
  for (int budget = 1; budgets.empty() || budgets.back() < summary.tokens.max; budget *= 2) {
    if (budget * 32 >= summary.tokens.max) budgets.push_back(std::min(budget, max_tokens));
    if (budget >= max_tokens) break;
  }
  const double q = static_cast<double>(counts_of(questions).size());
  for (const int budget : budgets) {
    double& mean = summary.pass_at_1_by_budget[budget];
    for (const auto& samples : questions) {
      const Counts counts = count(samples);
      double correct = 0;
      for (const SampleOutcome& sample : samples) {
        correct += sample.correctness == Correctness::kCorrect && sample.completion_tokens <= budget
                       ? 1
                       : 0;
      }
      if (counts.scored > 0) mean += correct / counts.scored / q;
    }
  }
}

TokenStats token_stats(const Questions& questions) {
  TokenStats stats;
  std::vector<int> lengths;
  int64_t correct = 0;
  for (const auto& samples : questions) {
    for (const SampleOutcome& sample : samples) {
      lengths.push_back(sample.completion_tokens);
      stats.total += sample.completion_tokens;
      stats.thought += sample.thought_tokens;
      correct += sample.correctness == Correctness::kCorrect ? 1 : 0;
    }
  }
  if (lengths.empty()) return stats;
  std::sort(lengths.begin(), lengths.end());
  // The smallest length that at least this share of the samples does not exceed.
  const auto percentile = [&](double share) {
    const double rank = std::ceil(share * static_cast<double>(lengths.size()));
    return static_cast<double>(lengths[static_cast<size_t>(std::max(1.0, rank)) - 1]);
  };
  stats.mean = static_cast<double>(stats.total) / static_cast<double>(lengths.size());
  stats.p50 = percentile(0.5);
  stats.p95 = percentile(0.95);
  stats.max = lengths.back();
  if (correct > 0)
    stats.per_correct = static_cast<double>(stats.total) / static_cast<double>(correct);
  return stats;
}

}  // namespace

Estimate estimate_mean(const std::vector<double>& values, const std::vector<double>& variances,
                       double draws) {
  Estimate estimate;
  const double q = static_cast<double>(values.size());
  if (values.empty()) return estimate;
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  estimate.value = sum / q;
  if (!variances.empty()) {
    const double se = std::sqrt(std::accumulate(variances.begin(), variances.end(), 0.0)) / q;
    estimate.sampling_se = se;
    estimate.sampling_95 =
        wilson_interval(estimate.value, se, std::max(1.0, q * draws), normal_quantile(0.975));
  }
  if (values.size() < 2) return estimate;
  double squares = 0, cubes = 0;
  for (const double value : values) {
    const double difference = value - estimate.value;
    squares += difference * difference;
    cubes += difference * difference * difference;
  }
  estimate.question_se = std::sqrt(squares / (q - 1) / q);
  const double quantile = t_quantile(0.975, q - 1);
  Interval interval = wilson_interval(estimate.value, estimate.question_se, q, quantile);
  // The skewness of a handful says nothing.
  constexpr double kSkewed = 1;
  constexpr size_t kFewest = 10;
  if (values.size() >= kFewest && squares > 0 && !variances.empty()) {
    const double skewness =
        std::sqrt(q * (q - 1)) / (q - 2) * (cubes / q) / std::pow(squares / q, 1.5);
    if (std::fabs(skewness) > kSkewed) {
      const Interval hall =
          hall_interval(estimate.value, estimate.question_se, skewness, q, quantile);
      if (estimate.value < 0.5) {
        interval.upper = std::clamp(hall.upper, interval.upper, 1.0);
      } else {
        interval.lower = std::clamp(hall.lower, 0.0, interval.lower);
      }
    }
  }
  estimate.question_95 = interval;
  return estimate;
}

double pass_at_k(int n, int c, int k) { return 1 - none_correct(n, c, k); }

double pass_at_k_variance(int n, int c, int k) {
  const double none = none_correct(n, c, k);
  // For k = 1 this is p (1 − p) / (n − 1).
  if (2 * k <= n) return std::max(0.0, none * none - none_correct(n, c, 2 * k));
  if (c == 0 || c == n) return 0;
  const double p = static_cast<double>(c) / n;
  double mean = 0, squares = 0;
  for (int i = 0; i <= n; ++i) {
    const double log_weight = std::lgamma(n + 1.0) - std::lgamma(i + 1.0) -
                              std::lgamma(n - i + 1.0) + i * std::log(p) + (n - i) * std::log1p(-p);
    const double value = pass_at_k(n, i, k), weight = std::exp(log_weight);
    mean += weight * value;
    squares += weight * value * value;
  }
  return std::max(0.0, squares - mean * mean);
}

Votes votes_of(const std::vector<SampleOutcome>& samples, const SameAnswer& same_answer) {
  Votes votes;
  // Equal strings first: few distinct ones are left for the costly comparison.
  std::map<std::string_view, VoteClass> by_text;
  for (const SampleOutcome& sample : samples) {
    if (sample.correctness == Correctness::kUnscored) continue;
    if (!sample.has_answer) {
      ++votes.abstained;
      continue;
    }
    VoteClass& entry = by_text[sample.answer];
    ++entry.votes;
    entry.correct |= sample.correctness == Correctness::kCorrect;
  }
  std::vector<std::string_view> answers;
  for (const auto& [answer, entry] : by_text) {
    size_t i = 0;
    while (i < answers.size() && !same_answer(answers[i], answer)) ++i;
    if (i == answers.size()) {
      answers.push_back(answer);
      votes.classes.push_back(entry);
    } else {
      votes.classes[i].votes += entry.votes;
      votes.classes[i].correct |= entry.correct;
    }
  }
  std::sort(votes.classes.rbegin(), votes.classes.rend());
  return votes;
}

SuiteSummary summarize(const std::string& suite, int num_samples, const Questions& questions,
                       const SameAnswer& same_answer, const SummaryOptions& options) {
  SuiteSummary summary;
  summary.suite = suite;
  summary.num_samples = num_samples;
  summary.questions = static_cast<int>(questions.size());
  summary.accuracy = options.accuracy;
  summary.consensus = options.consensus;
  int smallest = num_samples;
  double truncated = 0, unanswered = 0;
  for (const auto& samples : questions) {
    const Counts counts = count(samples);
    for (const SampleOutcome& sample : samples) {
      truncated += sample.truncated ? 1 : 0;
      unanswered += sample.has_answer ? 0 : 1;
    }
    summary.samples += static_cast<int64_t>(samples.size());
    summary.unscored += static_cast<int64_t>(samples.size()) - counts.scored;
    summary.bare += std::count_if(samples.begin(), samples.end(), [](const SampleOutcome& sample) {
      return sample.values.contains("bare");
    });
    if (counts.scored > 0) smallest = std::min(smallest, counts.scored);
  }
  const double total = static_cast<double>(std::max<int64_t>(1, summary.samples));
  summary.truncation_rate = truncated / total;
  summary.no_answer_rate = unanswered / total;
  summary.tokens = token_stats(questions);
  const std::vector<Counts> all = counts_of(questions);
  if (all.empty()) return summary;
  summary.pass_at_1 = pass_at_k_of(all, 1);
  add_groups(questions, options, summary);
  for (const Measure& measure : options.measures) {
    summary.measures.push_back(measured(measure, questions));
  }
  const std::vector<int> ks = shown_k(smallest);
  for (const int k : ks) summary.pass_at_k[k] = pass_at_k_of(all, k);
  if (options.consensus) add_consensus(questions, same_answer, ks, summary);
  if (options.accuracy) add_budgets(questions, options.max_tokens, summary);
  return summary;
}

}  // namespace assay
