// Charts as inline SVG. Numbers only; whatever text comes in is escaped.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "results/intervals.h"
#include "results/outcome.h"

namespace assay {

// What became of a sample; the names are the page's CSS classes.
enum class SampleKind { kCorrect, kIncorrect, kUnanswered, kTruncated, kUnscored };
constexpr const char* kSampleKinds[] = {"correct", "incorrect", "unanswered", "truncated",
                                        "unscored"};
SampleKind kind_of(const SampleOutcome& outcome);
std::string kinds_legend();

// A value with its interval on a scale from 0 to 100 %.
std::string interval_chart(double value, const std::optional<Interval>& interval);

struct ChartPoint {
  double x = 0, y = 0;
  std::optional<Interval> band;
};
// y from 0 to 1, in percent; x linear, or in powers of two.
std::string line_chart(const std::vector<ChartPoint>& points, const std::string& x_label,
                       bool powers_of_two);

// Samples by length, stacked by kind.
std::string length_histogram(const std::vector<std::vector<SampleOutcome>>& questions);

// A row for each question, a cell for each sample.
std::string sample_grid(const std::vector<std::vector<SampleOutcome>>& questions);

// Bars of labelled values, with the values written beside them.
struct Bar {
  std::string label, text;
  double value = 0;
};
std::string bar_chart(const std::vector<Bar>& bars);

}  // namespace assay
