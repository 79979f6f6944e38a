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

}  // namespace

Measured measured(const Measure& measure,
                  const std::vector<std::vector<SampleOutcome>>& questions) {
  Measured out;
  out.measure = measure;
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
