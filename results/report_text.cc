#include <fmt/format.h>

#include <algorithm>

#include "harness/base/text.h"
#include "results/report.h"
#include "results/table.h"

namespace assay {
namespace {

std::string error_text(double se) { return fmt::format("{:.2f}", 100 * se); }

std::string error_text(const std::optional<double>& se) { return se ? error_text(*se) : "–"; }

// "n" and a score by k with its two errors below it.
std::vector<TableRow> rows_by_k(const std::string& name, const std::map<int, Estimate>& by_k) {
  std::vector<TableRow> rows = {{"  " + name, {}}, {"    ± sampling", {}}, {"    ± questions", {}}};
  for (const auto& [k, estimate] : by_k) {
    rows[0].cells.push_back(percent(estimate.value));
    rows[1].cells.push_back(error_text(estimate.sampling_se));
    rows[2].cells.push_back(error_text(estimate.question_se));
  }
  return rows;
}

std::string format_by_k(const SuiteSummary& summary) {
  if (summary.pass_at_k.size() < 2) return {};
  std::vector<TableRow> rows = {{"  k", {}}};
  for (const auto& entry : summary.pass_at_k) rows[0].cells.push_back(std::to_string(entry.first));
  for (TableRow& row : rows_by_k("pass@k", summary.pass_at_k)) rows.push_back(std::move(row));
  if (summary.consensus) {
    for (TableRow& row : rows_by_k("cons@k", summary.cons_at_k)) rows.push_back(std::move(row));
  }
  return format_table(rows);
}

std::string format_intervals(const SuiteSummary& summary) {
  const Estimate& score = summary.pass_at_1;
  std::vector<std::string> parts;
  if (score.sampling_95) {
    parts.push_back(percent_interval(score.sampling_95->lower, score.sampling_95->upper) +
                    " on these questions");
  }
  if (score.question_95) {
    parts.push_back(percent_interval(score.question_95->lower, score.question_95->upper) +
                    " on new ones");
  }
  if (parts.empty()) return {};
  return fmt::format("  {}: 95 % interval of pass@1: {}\n", summary.suite, join(parts, ", "));
}

std::string format_tokens(const SuiteSummary& summary) {
  const TokenStats& tokens = summary.tokens;
  if (tokens.total == 0) return {};
  std::string out =
      fmt::format("  {}: tokens of a sample: mean {:.1f} · p50 {:.0f} · p95 {:.0f} · max {}",
                  summary.suite, tokens.mean, tokens.p50, tokens.p95, tokens.max);
  if (tokens.thought > 0) {
    out += fmt::format(" · {:.1f} % in the thought", 100 * static_cast<double>(tokens.thought) /
                                                         static_cast<double>(tokens.total));
  }
  if (summary.accuracy && tokens.per_correct > 0) {
    out += fmt::format(" · {:.1f} a correct answer", tokens.per_correct);
  }
  out += '\n';
  if (summary.pass_at_1_by_budget.empty()) return out;
  std::vector<TableRow> rows = {{"  limit in tokens", {}}, {"  pass@1", {}}};
  for (const auto& [budget, value] : summary.pass_at_1_by_budget) {
    rows[0].cells.push_back(std::to_string(budget));
    rows[1].cells.push_back(percent(value));
  }
  return out + format_table(rows);
}

std::string format_measured(const std::string& suite, const Measured& measured, int64_t all) {
  const double scale = measured.measure.unit == "percent" ? 100 : 1;
  const int digits = measured.measure.unit == "percent" ? 1 : 2;
  std::string error;
  if (measured.measure.method == "rating" && measured.samples == 0) {
    return fmt::format("  {}: no {}, as the questions' {} is not known\n", suite,
                       measured.measure.name, measured.measure.of);
  }
  if (measured.interval) {
    error = fmt::format(" [{:.{}f}, {:.{}f}]", scale * measured.interval->lower, digits,
                        scale * measured.interval->upper, digits);
  } else if (measured.measure.method == "mean") {
    error = fmt::format(" ± {:.2f}", scale * measured.question_se);
    if (measured.sampling_se) {
      error = fmt::format(" ± {:.2f} sampling{} questions", scale * *measured.sampling_se, error);
    }
  }
  if (measured.unbounded) error = ", the bound of what these questions can tell";
  if (measured.percentile) {
    error += fmt::format(", above {:.1f} % of the people", 100 * *measured.percentile);
  }
  const std::string of =
      measured.samples < all ? fmt::format(" (of {} of {} samples)", measured.samples, all) : "";
  return fmt::format("  {}: {} {:.{}f}{}{}\n", suite, measured.measure.name, scale * measured.value,
                     digits, error, of);
}

std::string format_groups(const SuiteSummary& summary) {
  if (summary.groups.size() < 2) return {};
  const auto& first = summary.groups.begin()->second.measured;
  std::vector<TableRow> rows = {
      {"  group", {"questions", first ? first->measure.name : "pass@1", "± questions"}}};
  for (const auto& [group, score] : summary.groups) {
    TableRow row{"  " + group,
                 {std::to_string(score.questions), percent(score.pass_at_1.value),
                  fmt::format("{:.2f}", 100 * score.pass_at_1.question_se)}};
    if (score.measured) {
      const double scale = score.measured->measure.unit == "percent" ? 100 : 1;
      row.cells[1] = fmt::format("{:.{}f}", scale * score.measured->value, scale == 1 ? 2 : 1);
      row.cells[2] = score.measured->interval
                         ? fmt::format("[{:.1f}, {:.1f}]", scale * score.measured->interval->lower,
                                       scale * score.measured->interval->upper)
                         : fmt::format("{:.2f}", scale * score.measured->question_se);
    }
    rows.push_back(std::move(row));
  }
  return format_table(rows);
}

std::string format_composite(const CompositeScore& composite) {
  std::vector<std::string> present, missing;
  for (const CompositeScore::Part& part : composite.parts) {
    if (part.present) {
      present.push_back(
          fmt::format("{} {} × {:.3f}", part.suite, percent(part.value), part.weight));
    } else {
      missing.push_back(part.suite);
    }
  }
  if (!composite.complete) {
    return fmt::format("  {}: no index, for want of {}; there are {}\n", composite.name,
                       join(missing, ", "), present.empty() ? "none" : join(present, " + "));
  }
  const std::string sampling =
      composite.sampling_se ? fmt::format(" ± {:.2f} sampling", 100 * *composite.sampling_se) : "";
  return fmt::format("  {}: {}{} ± {:.2f} questions = {}\n", composite.name,
                     percent(composite.value), sampling, 100 * composite.question_se,
                     join(present, " + "));
}

std::string format_cost(const Report& report, const CostOptions& cost) {
  const SessionStats& sessions = report.sessions;
  double correct = 0;
  for (const SuiteSummary& summary : report.suites) {
    if (summary.tokens.per_correct > 0) {
      correct += static_cast<double>(summary.tokens.total) / summary.tokens.per_correct;
    }
  }
  const auto line = [&](double amount, const char* unit, const std::string& by) {
    const std::string each =
        correct > 0 ? fmt::format(", {:.4g}{} a correct answer", amount / correct, unit) : "";
    return fmt::format("  {:.4g}{} {}{}\n", amount, unit, by, each);
  };
  std::string out;
  const double hours = sessions.wall_s / 3600;
  const double million_tokens = static_cast<double>(sessions.generated_tokens) / 1e6;
  if (cost.price_per_hour > 0) {
    out += line(hours * cost.price_per_hour, "",
                fmt::format("spent at {:.4g} an hour", cost.price_per_hour));
  }
  if (cost.price_per_million_tokens > 0) {
    out += line(million_tokens * cost.price_per_million_tokens, "",
                fmt::format("spent at {:.4g} a million tokens", cost.price_per_million_tokens));
  }
  if (cost.watts > 0) {
    out += line(hours * cost.watts / 1000, " kWh", fmt::format("used at {:.4g} W", cost.watts));
  }
  return out;
}

}  // namespace

std::string format_report(const Report& report, const CostOptions& cost) {
  const int n = report.suites.front().num_samples;
  const bool same_n = std::all_of(report.suites.begin(), report.suites.end(),
                                  [n](const SuiteSummary& s) { return s.num_samples == n; });
  const std::string cons = same_n ? fmt::format("cons@{}", n) : "cons@n";
  std::vector<TableRow> rows = {{"suite",
                                 {"questions", "n", "pass@1", "± sampling", "± questions", cons,
                                  "mean tokens", "truncated", "no answer"}}};
  for (const SuiteSummary& summary : report.suites) {
    const auto score = [&](const std::string& text) {
      return summary.accuracy && summary.unscored < summary.samples ? text : std::string("–");
    };
    const Estimate& pass_at_1 = summary.pass_at_1;
    rows.push_back(
        {summary.suite,
         {std::to_string(summary.questions), std::to_string(summary.num_samples),
          score(percent(pass_at_1.value)), score(error_text(pass_at_1.sampling_se)),
          score(error_text(pass_at_1.question_se)),
          summary.cons_at_k.empty() ? "–"
                                    : score(percent(summary.cons_at_k.rbegin()->second.value)),
          fmt::format("{:.1f}", summary.tokens.mean), percent(summary.truncation_rate) + " %",
          percent(summary.no_answer_rate) + " %"}});
  }
  std::string out =
      fmt::format("model {}{}\n\n{}\n", report.model,
                  report.served.empty() ? "" : ", " + report.served, format_table(rows));
  for (const SuiteSummary& summary : report.suites) {
    if (summary.accuracy && summary.unscored < summary.samples) {
      out += format_intervals(summary) + format_by_k(summary);
    }
    out += format_tokens(summary);
    if (summary.macro) out += format_measured(summary.suite, *summary.macro, 0);
    if (summary.normalised) out += format_measured(summary.suite, *summary.normalised, 0);
    for (const Measured& measured : summary.measures) {
      out += format_measured(summary.suite, measured, summary.samples);
    }
    out += format_groups(summary);
  }
  for (const CompositeScore& composite : report.composites) out += format_composite(composite);
  for (const SuiteSummary& summary : report.suites) {
    if (summary.unscored == 0) continue;
    out += fmt::format("  {}: {} of {} samples could not be scored and are in no score\n",
                       summary.suite, summary.unscored, summary.samples);
  }
  for (const SuiteSummary& summary : report.suites) {
    if (summary.bare == 0) continue;
    out += fmt::format("  {}: {} of {} programs ran without a jail (--sandbox none)\n",
                       summary.suite, summary.bare, summary.samples);
  }
  if (report.sample_data) out += "  (on sample data: not all of the official questions)\n";
  const SessionStats& sessions = report.sessions;
  if (sessions.generated_tokens > 0) {
    out += fmt::format("\n  {} tokens in {}: {:.0f} tokens/s\n",
                       with_commas(sessions.generated_tokens), format_duration(sessions.wall_s),
                       static_cast<double>(sessions.generated_tokens) / sessions.wall_s);
  }
  out += format_cost(report, cost);
  out +=
      "\n  Scores in percent. ± sampling: same questions, new samples; ± questions: new "
      "questions.\n";
  return out;
}

std::string format_missing(const Report& report, size_t limit) {
  std::string out;
  int64_t total = 0;
  for (size_t i = 0; i < report.missing.size(); ++i) {
    const MissingSamples& entry = report.missing[i];
    total += entry.missing;
    if (i < limit) {
      out += fmt::format("  {} {}: {} of {} samples missing\n", entry.suite, entry.item_id,
                         entry.missing, entry.asked);
    }
  }
  if (report.missing.size() > limit) {
    out += fmt::format("  … and {} more questions\n", report.missing.size() - limit);
  }
  return fmt::format(
      "the run is incomplete: {} samples of {} questions are missing, so there is no "
      "score\n{}",
      total, report.missing.size(), out);
}

}  // namespace assay
