#include "results/report_html.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "harness/base/markup.h"
#include "harness/base/text.h"
#include "results/charts.h"
#include "results/page.h"
#include "results/table.h"

namespace assay {
namespace {

std::string se_text(const std::optional<double>& se) {
  return se ? fmt::format("{:.2f}", 100 * *se) : "–";
}

std::string scores_table(const Report& report) {
  std::string out =
      "<h2>Scores</h2><div class=\"scroll\"><table>" +
      html_row({"suite", "questions", "n", "pass@1", "on these questions, 95 %", "± sampling",
                "± questions", "cons@n", "mean tokens", "truncated", "no answer", "unscored"},
               "th");
  for (const SuiteSummary& summary : report.suites) {
    const Estimate& score = summary.pass_at_1;
    const bool scored = summary.accuracy && summary.unscored < summary.samples;
    out += html_row(
        {escape_markup(summary.suite), std::to_string(summary.questions),
         std::to_string(summary.num_samples), scored ? percent(score.value) : "–",
         scored ? interval_chart(score.value,
                                 score.sampling_95 ? score.sampling_95 : score.question_95)
                : "–",
         scored ? se_text(score.sampling_se) : "–", scored ? se_text(score.question_se) : "–",
         summary.cons_at_k.empty() ? "–" : percent(summary.cons_at_k.rbegin()->second.value),
         fmt::format("{:.1f}", summary.tokens.mean), percent(summary.truncation_rate) + " %",
         percent(summary.no_answer_rate) + " %", std::to_string(summary.unscored)});
  }
  return out + "</table></div>\n";
}

// pass@1 of the first i samples of every question: how the estimate settled.
std::vector<ChartPoint> running_estimate(const std::vector<std::vector<SampleOutcome>>& questions,
                                         int n) {
  std::vector<ChartPoint> points;
  std::vector<int> scored(questions.size(), 0), correct(questions.size(), 0);
  for (int i = 0; i < n; ++i) {
    std::vector<double> values, variances;
    for (size_t q = 0; q < questions.size(); ++q) {
      if (static_cast<size_t>(i) < questions[q].size()) {
        const Correctness verdict = questions[q][static_cast<size_t>(i)].correctness;
        scored[q] += verdict != Correctness::kUnscored;
        correct[q] += verdict == Correctness::kCorrect;
      }
      if (scored[q] == 0) continue;
      values.push_back(pass_at_k(scored[q], correct[q], 1));
      if (scored[q] > 1) variances.push_back(pass_at_k_variance(scored[q], correct[q], 1));
    }
    if (values.empty()) continue;
    if (variances.size() != values.size()) variances.clear();
    const Estimate estimate = estimate_mean(values, variances, i + 1);
    points.push_back({i + 1.0, estimate.value, estimate.sampling_95});
  }
  return points;
}

std::vector<ChartPoint> points_by_k(const std::map<int, Estimate>& by_k) {
  std::vector<ChartPoint> points;
  for (const auto& [k, estimate] : by_k) {
    points.push_back({static_cast<double>(k), estimate.value, estimate.sampling_95});
  }
  return points;
}

std::string figure(const std::string& title, const std::string& svg) {
  return svg.empty() ? "" : fmt::format("<div><h3>{}</h3>{}</div>\n", escape_markup(title), svg);
}

std::string suite_section(const SuiteSummary& summary, const SuiteOutcomes& outcomes) {
  std::string out = fmt::format("<h2>{}</h2>\n", escape_markup(summary.suite));
  const TokenStats& tokens = summary.tokens;
  if (tokens.total > 0) {
    out += fmt::format(
        "<p>Tokens of a sample: mean {:.1f}, median {:.0f}, 95 % under {:.0f}, at most {}; {:.1f} "
        "% in "
        "the thought.</p>\n",
        tokens.mean, tokens.p50, tokens.p95, tokens.max,
        100 * static_cast<double>(tokens.thought) / static_cast<double>(tokens.total));
  }
  out += "<div class=\"charts\">\n";
  if (summary.accuracy && summary.num_samples > 1) {
    out += figure("pass@k by k", line_chart(points_by_k(summary.pass_at_k), "k", true));
    if (summary.cons_at_k.size() > 1) {
      out += figure("cons@k by k", line_chart(points_by_k(summary.cons_at_k), "k", true));
    }
    out += figure("pass@1 of the first samples, 95 % on these questions",
                  line_chart(running_estimate(outcomes.questions, summary.num_samples),
                             "samples a question", false));
  }
  if (summary.pass_at_1_by_budget.size() > 1) {
    std::vector<ChartPoint> points;
    for (const auto& [budget, value] : summary.pass_at_1_by_budget) {
      points.push_back({static_cast<double>(budget), value, std::nullopt});
    }
    out += figure("pass@1 by limit of tokens", line_chart(points, "limit of tokens", true));
  }
  out += figure("Lengths", length_histogram(outcomes.questions));
  out += "</div>\n" + kinds_legend();
  return out + fmt::format("<h3>Each question's samples</h3><div class=\"scroll\">{}</div>\n",
                           sample_grid(outcomes.questions));
}

std::string settings_section(const OrderedJson& manifest) {
  std::string out =
      "<h2>Run</h2><details><summary>what identifies it, and where it ran</summary><pre>";
  return out + escape_markup(dump_json(manifest, 2)) + "</pre></details>\n";
}

// So that mail and browsers take the page.
constexpr size_t kMostBytes = size_t{26} << 20;
// What a token takes there, compressed and in base64.
constexpr size_t kBytesOfToken = 3;

// Samples of each question in turn, as many as fit.
std::set<SampleId> chosen_samples(const RunOutcomes& run, int max_samples) {
  std::set<SampleId> chosen;
  size_t bytes = 0;
  for (size_t place = 0; static_cast<int>(chosen.size()) < max_samples; ++place) {
    bool any = false;
    for (const SuiteOutcomes& suite : run.suites) {
      for (size_t q = 0; q < suite.questions.size(); ++q) {
        if (place >= suite.questions[q].size()) continue;
        any = true;
        const SampleOutcome& sample = suite.questions[q][place];
        bytes += static_cast<size_t>(sample.completion_tokens) * kBytesOfToken;
        if (static_cast<int>(chosen.size()) >= max_samples || bytes > kMostBytes) return chosen;
        chosen.insert({suite.plan.suite, suite.item_ids[q], sample.sample_index});
      }
    }
    if (!any) break;
  }
  return chosen;
}

}  // namespace

Result<std::string> report_html(RunStore& store, const Report& report, int max_samples) {
  ASSAY_TRY(const RunOutcomes run, load_outcomes(store));
  ASSAY_TRY(const std::vector<StoredItem> stored, store.items());
  std::string content =
      fmt::format("<h1>{}</h1><p>assay report{}</p>\n", escape_markup(report.model),
                  report.sample_data ? ", on sample data: not all of the official questions" : "");
  content += scores_table(report);
  for (size_t i = 0; i < report.suites.size(); ++i) {
    content += suite_section(report.suites[i], run.suites[i]);
  }
  content += settings_section(run.manifest);
  int64_t total = 0;
  for (const SuiteSummary& summary : report.suites) total += summary.samples;
  PageSamples samples(stored);
  const std::set<SampleId> chosen = chosen_samples(run, max_samples);
  if (!chosen.empty()) {
    ASSAY_TRY_STATUS(store.for_each([&](const SampleRecord& record) -> Status {
      const SampleId& id = record.completion.id;
      if (!chosen.contains(id)) return {};
      if (samples.size_bytes() < kMostBytes) samples.add(record, nullptr, "");
      return {};
    }));
  }
  content += fmt::format("<p>The page holds {} of {} samples.</p>\n", samples.size(), total);
  return render_page(report.model + " · assay", content, samples);
}

}  // namespace assay
