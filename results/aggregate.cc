#include "results/aggregate.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>

#include "results/ratings.h"

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

namespace {

// Mean and standard errors of the questions' pass@1.
GroupScore score_of(const std::vector<std::vector<SampleOutcome>>& questions) {
  GroupScore score;
  double sum = 0, sum_of_squares = 0, sampling_variance = 0;
  for (const auto& samples : questions) {
    const Counts counts = count(samples);
    if (counts.scored == 0) continue;
    ++score.questions;
    const double p = static_cast<double>(counts.correct) / counts.scored;
    sum += p;
    sum_of_squares += p * p;
    if (counts.scored > 1) sampling_variance += p * (1 - p) / (counts.scored - 1);
  }
  if (score.questions == 0) return score;
  const double q = score.questions;
  score.pass_at_1 = sum / q;
  score.sampling_se = std::sqrt(sampling_variance) / q;
  if (score.questions > 1) {
    const double variance = (sum_of_squares - sum * sum / q) / (q - 1);
    score.question_se = std::sqrt(std::max(0.0, variance) / q);
  }
  return score;
}

// A mean over groups, each weighing the same.
struct GroupMean {
  double sum = 0, variance = 0;
  int groups = 0;
  void add(double value, double se) {
    sum += value;
    variance += se * se;
    ++groups;
  }
  std::optional<Measured> mean(const char* name) const {
    if (groups == 0) return std::nullopt;
    return Measured{{name, "", "", "percent"},
                    groups,
                    sum / groups,
                    std::sqrt(variance) / groups,
                    std::nullopt};
  }
};

// See Measure::method.
double calibration_error(const std::string& confidence_key,
                         const std::vector<std::vector<SampleOutcome>>& questions, int64_t& count) {
  constexpr size_t kBin = 100;
  std::vector<std::pair<double, double>> samples;  // confidence, correct
  for (const auto& question : questions) {
    for (const SampleOutcome& sample : question) {
      const auto value = sample.values.find(confidence_key);
      if (value == sample.values.end() || sample.correctness == Correctness::kUnscored) continue;
      samples.emplace_back(value->second, sample.correctness == Correctness::kCorrect ? 1 : 0);
    }
  }
  count = static_cast<int64_t>(samples.size());
  if (samples.empty()) return 0;
  std::stable_sort(samples.begin(), samples.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  const size_t bins = std::max<size_t>(1, samples.size() / kBin);
  double squares = 0;
  for (size_t bin = 0; bin < bins; ++bin) {
    const size_t begin = bin * kBin, end = bin + 1 == bins ? samples.size() : begin + kBin;
    double difference = 0;
    for (size_t i = begin; i < end; ++i) difference += samples[i].first - samples[i].second;
    squares += difference * difference / static_cast<double>(end - begin);
  }
  return std::sqrt(squares / static_cast<double>(samples.size()));
}

// The mean of each question's "style_…" values; of questions that have none, no difference.
std::vector<std::vector<double>> style_of(
    const std::vector<std::vector<SampleOutcome>>& questions) {
  static const char* const kKeys[] = {"style_length", "style_headers", "style_lists", "style_bold"};
  std::vector<std::vector<double>> style;
  for (const auto& samples : questions) {
    std::vector<double> row(std::size(kKeys), 0);
    double games = 0;
    for (const SampleOutcome& sample : samples) {
      games += sample.values.contains("games") ? 1 : 0;
      for (size_t k = 0; k < row.size(); ++k) {
        const auto value = sample.values.find(kKeys[k]);
        if (value != sample.values.end()) row[k] += value->second;
      }
    }
    if (games == 0) continue;
    for (double& value : row) value /= games;
    style.push_back(std::move(row));
  }
  return style;
}

Measured measured(const Measure& measure,
                  const std::vector<std::vector<SampleOutcome>>& questions) {
  Measured out{measure, 0, 0, 0, std::nullopt};
  if (measure.method == "calibration") {
    out.value = calibration_error(measure.of, questions, out.samples);
    return out;
  }
  std::vector<std::pair<double, double>> sums;  // of each question: of and per
  double of_total = 0, per_total = 0;
  for (const auto& samples : questions) {
    double of = 0, per = 0;
    for (const SampleOutcome& sample : samples) {
      const auto value = sample.values.find(measure.of);
      const auto base = measure.per.empty() ? sample.values.end() : sample.values.find(measure.per);
      if (value == sample.values.end()) continue;
      if (!measure.per.empty() && base == sample.values.end()) continue;
      ++out.samples;
      of += value->second;
      per += measure.per.empty() ? 1 : base->second;
    }
    if (per == 0) continue;
    sums.emplace_back(of, per);
    of_total += of;
    per_total += per;
  }
  if (per_total == 0) return out;
  out.value = of_total / per_total;
  if (measure.method != "mean") {
    const bool style = measure.method == "style_controlled";
    const WinRate rate =
        win_rate(sums, style ? style_of(questions) : std::vector<std::vector<double>>());
    out.value = rate.value;
    out.interval = {rate.lower, rate.upper};
    return out;
  }
  const double n = static_cast<double>(sums.size());
  double squares = 0;
  for (const auto& [of, per] : sums) squares += (of - out.value * per) * (of - out.value * per);
  if (n > 1) out.question_se = std::sqrt(squares * n / (n - 1)) / per_total;
  return out;
}

void add_groups(const std::vector<std::vector<SampleOutcome>>& questions,
                const SummaryOptions& options, SuiteSummary& summary) {
  std::map<std::string, std::vector<std::vector<SampleOutcome>>> by_group;
  for (size_t i = 0; i < questions.size(); ++i) {
    by_group[i < options.groups.size() ? options.groups[i] : ""].push_back(questions[i]);
  }
  GroupMean macro, normalised;
  const auto add_normalised = [&](const GroupScore& score, double chance) {
    const double room = 1 - chance, above = score.pass_at_1 - chance;
    normalised.add(std::max(0.0, above) / room, above > 0 ? score.question_se / room : 0);
  };
  for (const auto& [group, members] : by_group) {
    GroupScore score = score_of(members);
    if (score.questions > 0) macro.add(score.pass_at_1, score.question_se);
    const auto chance = options.chance.find(group);
    if (score.questions > 0 && !group.empty() && chance != options.chance.end()) {
      add_normalised(score, chance->second);
    }
    if (!options.accuracy && !options.measures.empty()) {
      score.measured = measured(options.measures.front(), members);
    }
    if (!group.empty()) summary.groups[group] = std::move(score);
  }
  if (const auto chance = options.chance.find(""); chance != options.chance.end()) {
    add_normalised(score_of(questions), chance->second);
  }
  if (options.macro) summary.macro = macro.mean("macro");
  if (!options.chance.empty()) summary.normalised = normalised.mean("normalised");
}

}  // namespace

SuiteSummary summarize(const std::string& suite, int num_samples,
                       const std::vector<std::vector<SampleOutcome>>& questions,
                       const SameAnswer& same_answer, const SummaryOptions& options) {
  SuiteSummary summary;
  summary.suite = suite;
  summary.num_samples = num_samples;
  summary.questions = static_cast<int>(questions.size());
  summary.accuracy = options.accuracy;
  int smallest = num_samples;
  double truncated = 0, unanswered = 0;
  for (const auto& samples : questions) {
    const Counts counts = count(samples);
    for (const SampleOutcome& sample : samples) {
      truncated += sample.truncated ? 1 : 0;
      unanswered += sample.has_answer ? 0 : 1;
      summary.completion_tokens += sample.completion_tokens;
    }
    summary.samples += static_cast<int64_t>(samples.size());
    summary.unscored += static_cast<int64_t>(samples.size()) - counts.scored;
    if (counts.scored > 0) smallest = std::min(smallest, counts.scored);
  }
  const double total = static_cast<double>(std::max<int64_t>(1, summary.samples));
  summary.truncation_rate = truncated / total;
  summary.no_answer_rate = unanswered / total;
  summary.mean_tokens = static_cast<double>(summary.completion_tokens) / total;
  const GroupScore score = score_of(questions);
  if (score.questions == 0) return summary;
  add_groups(questions, options, summary);
  for (const Measure& measure : options.measures) {
    summary.measures.push_back(measured(measure, questions));
  }
  const double q = score.questions;
  summary.pass_at_1 = score.pass_at_1;
  summary.sampling_se = score.sampling_se;
  summary.question_se = score.question_se;
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
