#include "results/measured.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "results/ratings.h"

namespace assay {
namespace {

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

double expected_score(double rating, double difficulty) {
  return 1 / (1 + std::pow(10, (difficulty - rating) / 400));
}

// The share of people whose rating is below, by linear interpolation.
double share_below(const std::vector<double>& permille, double rating) {
  const auto above = std::upper_bound(permille.begin(), permille.end(), rating);
  const double steps = static_cast<double>(permille.size() - 1);
  if (above == permille.begin()) return 0;
  if (above == permille.end()) return 1;
  const double step = *above - *(above - 1);
  const double part = step > 0 ? (rating - *(above - 1)) / step : 0;
  return (static_cast<double>(above - permille.begin()) - 1 + part) / steps;
}

// See Measure::method.
Measured rating(const Measure& measure, const std::vector<std::vector<SampleOutcome>>& questions) {
  Measured out;
  out.measure = measure;
  std::vector<double> difficulties;
  double solved = 0;
  for (const auto& samples : questions) {
    std::optional<double> difficulty;
    bool correct = false;
    for (const SampleOutcome& sample : samples) {
      const auto value = sample.values.find(measure.of);
      if (value == sample.values.end() || sample.correctness == Correctness::kUnscored) continue;
      ++out.samples;
      difficulty = value->second;
      correct = correct || sample.correctness == Correctness::kCorrect;
    }
    if (!difficulty) continue;
    difficulties.push_back(*difficulty);
    solved += correct ? 1 : 0;
  }
  if (difficulties.empty()) return out;
  const auto [easiest, hardest] = std::minmax_element(difficulties.begin(), difficulties.end());
  out.unbounded = solved == 0 || solved == static_cast<double>(difficulties.size());
  if (out.unbounded) {
    out.value = solved == 0 ? *easiest : *hardest;
  } else {
    // The likelihood's slope is what was solved less what is expected, which falls as the rating
    // grows: with one solved of Q it is zero within 400·log10(Q) points of the extremes.
    const double margin = 400 * std::log10(static_cast<double>(difficulties.size())) + 1;
    double low = *easiest - margin, high = *hardest + margin;
    double information = 0;
    for (int i = 0; i < 60; ++i) {
      out.value = (low + high) / 2;
      double expected = 0;
      information = 0;
      for (const double difficulty : difficulties) {
        const double p = expected_score(out.value, difficulty);
        expected += p;
        information += p * (1 - p);
      }
      (expected < solved ? low : high) = out.value;
    }
    const double scale = std::log(10) / 400;
    out.question_se = 1 / (scale * std::sqrt(information));
    out.interval =
        Interval{out.value - 1.959964 * out.question_se, out.value + 1.959964 * out.question_se};
  }
  if (measure.permille.size() > 1) out.percentile = share_below(measure.permille, out.value);
  return out;
}

}  // namespace

Measured measured(const Measure& measure,
                  const std::vector<std::vector<SampleOutcome>>& questions) {
  Measured out;
  out.measure = measure;
  if (measure.method == "rating") return rating(measure, questions);
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
    out.interval = Interval{rate.lower, rate.upper};
    return out;
  }
  const double n = static_cast<double>(sums.size());
  double squares = 0;
  for (const auto& [of, per] : sums) squares += (of - out.value * per) * (of - out.value * per);
  if (n > 1) out.question_se = std::sqrt(squares * n / (n - 1)) / per_total;
  return out;
}

}  // namespace assay
