#include "results/charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "harness/base/markup.h"

namespace assay {
namespace {

constexpr double kWidth = 520, kHeight = 220, kLeft = 42, kBottom = 30, kTop = 10, kRight = 12;

std::string open_svg(double width, double height, const std::string& label) {
  return fmt::format(
      "<svg viewBox=\"0 0 {:.0f} {:.0f}\" width=\"{:.0f}\" role=\"img\" aria-label=\"{}\">", width,
      height, width, escape_markup(label));
}

std::string text_at(double x, double y, const std::string& text, const char* anchor) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>", x, y, anchor,
                     escape_markup(text));
}

double y_of(double share) { return kTop + (1 - share) * (kHeight - kTop - kBottom); }

// Percent on the left, a line at the bottom.
std::string percent_axes(const std::string& x_label) {
  std::string out;
  for (const double share : {0.0, 0.25, 0.5, 0.75, 1.0}) {
    out += fmt::format("<path class=\"axis\" d=\"M{} {:.1f}H{}\"/>", kLeft, y_of(share),
                       kWidth - kRight);
    out += text_at(kLeft - 6, y_of(share) + 4, fmt::format("{:.0f}", 100 * share), "end");
  }
  return out + text_at((kLeft + kWidth - kRight) / 2, kHeight - 2, x_label, "middle");
}

std::string short_number(double value) {
  return value >= 1024 && std::fmod(value, 1024) == 0 ? fmt::format("{:.0f}k", value / 1024)
                                                      : fmt::format("{:.0f}", value);
}

}  // namespace

SampleKind kind_of(const SampleOutcome& outcome) {
  if (outcome.correctness == Correctness::kUnscored) return SampleKind::kUnscored;
  if (outcome.correctness == Correctness::kCorrect) return SampleKind::kCorrect;
  if (outcome.truncated) return SampleKind::kTruncated;
  return outcome.has_answer ? SampleKind::kIncorrect : SampleKind::kUnanswered;
}

std::string kinds_legend() {
  std::string out = "<div class=\"legend\">";
  for (const char* kind : kSampleKinds) {
    out += fmt::format("<span><i style=\"background:var(--{})\"></i>{}</span>", kind, kind);
  }
  return out + "</div>";
}

std::string interval_chart(double value, const std::optional<Interval>& interval) {
  constexpr double kBar = 160;
  std::string out = open_svg(kBar + 8, 18, fmt::format("{:.1f} %", 100 * value));
  out += fmt::format("<path class=\"axis\" d=\"M4 9H{}\"/>", kBar + 4);
  if (interval) {
    out += fmt::format("<path class=\"thin\" d=\"M{:.1f} 9H{:.1f}\"/>", 4 + kBar * interval->lower,
                       4 + kBar * interval->upper);
  }
  return out + fmt::format("<circle class=\"dot\" cx=\"{:.1f}\" cy=\"9\" r=\"4\"/></svg>",
                           4 + kBar * value);
}

std::string line_chart(const std::vector<ChartPoint>& points, const std::string& x_label,
                       bool powers_of_two) {
  if (points.empty()) return {};
  const auto place = [&](double x) { return powers_of_two ? std::log2(x) : x; };
  const double first = place(points.front().x), last = place(points.back().x);
  const auto x_of = [&](double x) {
    const double share = last > first ? (place(x) - first) / (last - first) : 0.5;
    return kLeft + share * (kWidth - kLeft - kRight);
  };
  std::string out = open_svg(kWidth, kHeight, x_label) + percent_axes(x_label);
  std::string upper, lower, line;
  for (const ChartPoint& point : points) {
    const double x = x_of(point.x);
    line += fmt::format("{}{:.1f} {:.1f}", line.empty() ? "M" : "L", x, y_of(point.y));
    if (!point.band) continue;
    upper += fmt::format("{}{:.1f} {:.1f}", upper.empty() ? "M" : "L", x, y_of(point.band->upper));
    lower = fmt::format("L{:.1f} {:.1f}", x, y_of(point.band->lower)) + lower;
  }
  if (!upper.empty()) out += fmt::format("<path class=\"band\" d=\"{}{}Z\"/>", upper, lower);
  out += fmt::format("<path class=\"curve\" d=\"{}\"/>", line);
  // At most eight labels below, the last among them.
  const size_t step = (points.size() + 7) / 8;
  for (size_t i = points.size(); i-- > 0;) {
    const ChartPoint& point = points[i];
    if (points.size() <= 16) {
      out += fmt::format("<circle class=\"dot\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"/>",
                         x_of(point.x), y_of(point.y));
    }
    if ((points.size() - 1 - i) % step == 0) {
      out += text_at(x_of(point.x), kHeight - kBottom + 14, short_number(point.x), "middle");
    }
  }
  return out + "</svg>";
}

std::string length_histogram(const std::vector<std::vector<SampleOutcome>>& questions) {
  constexpr size_t kBins = 40;
  int longest = 0;
  for (const auto& samples : questions) {
    for (const SampleOutcome& sample : samples)
      longest = std::max(longest, sample.completion_tokens);
  }
  if (longest == 0) return {};
  std::vector<std::array<int, std::size(kSampleKinds)>> bins(kBins);
  for (auto& bin : bins) bin.fill(0);
  for (const auto& samples : questions) {
    for (const SampleOutcome& sample : samples) {
      const size_t bin = std::min(kBins - 1, static_cast<size_t>(sample.completion_tokens) * kBins /
                                                 static_cast<size_t>(longest + 1));
      ++bins[bin][static_cast<size_t>(kind_of(sample))];
    }
  }
  int most = 1;
  for (const auto& bin : bins) {
    int sum = 0;
    for (const int count : bin) sum += count;
    most = std::max(most, sum);
  }
  std::string out = open_svg(kWidth, kHeight, "samples by tokens");
  const double width = (kWidth - kLeft - kRight) / kBins, full = kHeight - kTop - kBottom;
  for (size_t i = 0; i < kBins; ++i) {
    double base = kHeight - kBottom;
    for (size_t kind = 0; kind < std::size(kSampleKinds); ++kind) {
      const double height = full * bins[i][kind] / most;
      if (height == 0) continue;
      base -= height;
      out += fmt::format(
          "<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.2f}\"/>",
          kSampleKinds[kind], kLeft + width * static_cast<double>(i), base, width - 1, height);
    }
  }
  out += fmt::format("<path class=\"axis\" d=\"M{} {}H{}\"/>", kLeft, kHeight - kBottom,
                     kWidth - kRight);
  for (int i = 0; i <= 4; ++i) {
    out += text_at(kLeft + (kWidth - kLeft - kRight) * i / 4, kHeight - kBottom + 14,
                   short_number(std::round(longest * i / 4.0)), "middle");
  }
  out += text_at(kLeft - 6, kTop + 8, std::to_string(most), "end");
  return out +
         text_at((kLeft + kWidth - kRight) / 2, kHeight - 2, "tokens of a completion", "middle") +
         "</svg>";
}

std::string sample_grid(const std::vector<std::vector<SampleOutcome>>& questions) {
  size_t columns = 0;
  for (const auto& samples : questions) columns = std::max(columns, samples.size());
  if (columns == 0) return {};
  const double cell = columns > 32 ? 8 : columns > 8 ? 12 : 16;
  const double height = questions.size() > 120 ? 4 : 10;
  // One path for each kind, so that 32,000 cells stay one small drawing.
  std::array<std::string, std::size(kSampleKinds)> paths;
  for (size_t row = 0; row < questions.size(); ++row) {
    const auto& samples = questions[row];
    for (size_t begin = 0; begin < samples.size();) {
      const SampleKind kind = kind_of(samples[begin]);
      size_t end = begin + 1;
      while (end < samples.size() && kind_of(samples[end]) == kind) ++end;
      paths[static_cast<size_t>(kind)] += fmt::format(
          "M{:g} {:g}h{:g}v{:g}h-{:g}z", cell * static_cast<double>(begin),
          height * static_cast<double>(row), cell * static_cast<double>(end - begin) - 1,
          height - 1, cell * static_cast<double>(end - begin) - 1);
      begin = end;
    }
  }
  std::string out = open_svg(cell * static_cast<double>(columns),
                             height * static_cast<double>(questions.size()), "samples by question");
  for (size_t kind = 0; kind < paths.size(); ++kind) {
    if (paths[kind].empty()) continue;
    out += fmt::format("<path class=\"{}\" d=\"{}\"/>", kSampleKinds[kind], paths[kind]);
  }
  return out + "</svg>";
}

std::string bar_chart(const std::vector<Bar>& bars) {
  double most = 0;
  for (const Bar& bar : bars) most = std::max(most, bar.value);
  if (bars.empty() || most <= 0) return {};
  constexpr double kRow = 22, kLabel = 120, kValue = 90;
  const double room = kWidth - kLabel - kValue;
  std::string out = open_svg(kWidth, kRow * static_cast<double>(bars.size()), "bars");
  for (size_t i = 0; i < bars.size(); ++i) {
    const double y = kRow * static_cast<double>(i), width = room * bars[i].value / most;
    out += text_at(kLabel - 8, y + 15, bars[i].label, "end");
    out += fmt::format("<rect class=\"dot\" x=\"{}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"14\"/>",
                       kLabel, y + 4, std::max(1.0, width));
    out += text_at(kLabel + width + 6, y + 15, bars[i].text, "start");
  }
  return out + "</svg>";
}

}  // namespace assay
