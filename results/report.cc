#include "results/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "harness/base/text.h"

namespace assay {
namespace {

std::string percent(double rate) { return fmt::format("{:.1f}", 100 * rate); }

struct Row {
  std::string name;
  std::vector<std::string> cells;
};

// Columns as wide as their widest cell; the first is left-aligned, the others right-aligned.
std::string format_table(const std::vector<Row>& rows) {
  size_t name_width = 0;
  std::vector<size_t> widths(rows.front().cells.size(), 0);
  for (const Row& row : rows) {
    name_width = std::max(name_width, row.name.size());
    for (size_t i = 0; i < row.cells.size(); ++i)
      widths[i] = std::max(widths[i], row.cells[i].size());
  }
  std::string out;
  for (const Row& row : rows) {
    out += fmt::format("  {:<{}}", row.name, name_width);
    for (size_t i = 0; i < row.cells.size(); ++i)
      out += fmt::format("  {:>{}}", row.cells[i], widths[i]);
    out += '\n';
  }
  return out;
}

std::string format_pass_at_k(const SuiteSummary& summary) {
  std::string out;
  for (const auto& [k, value] : summary.pass_at_k) {
    out += fmt::format("{}pass@{} {}", out.empty() ? "" : " · ", k, percent(value));
  }
  return out;
}

}  // namespace

std::vector<PlannedSuite> planned_suites(const OrderedJson& manifest) {
  std::vector<PlannedSuite> planned;
  for (const OrderedJson& task : manifest.at("identity").at("tasks")) {
    planned.push_back({task.at("suite").get<std::string>(), task.at("scorer").get<std::string>(),
                       task.at("num_samples").get<int>(), task.at("first_sample").get<int>()});
  }
  return planned;
}

Result<Report> make_report(RunStore& store, const SameAnswerOf& same_answer_of) {
  ASSAY_TRY(const auto manifest, store.manifest());
  if (!manifest)
    return Error{store.folder() + ": the run was never started; run `assay run` again"};
  Report report;
  std::vector<PlannedSuite> planned;
  try {
    report.model = manifest->at("identity").at("model").at("name").get<std::string>();
    report.sample_data = manifest->at("identity").value("sample_data", false);
    planned = planned_suites(*manifest);
  } catch (const OrderedJson::exception&) {
    return Error{store.folder() + ": its manifest lacks what a report needs; the run is damaged"};
  }
  ASSAY_TRY(const std::vector<StoredItem> items, store.items());
  ASSAY_TRY(report.sessions, store.total_sessions());
  std::map<std::pair<std::string, std::string>, std::vector<SampleOutcome>> outcomes;
  ASSAY_TRY_STATUS(store.for_each_verdict([&](const SampleRecord& record, int tokens) -> Status {
    const Completion& completion = record.completion;
    outcomes[{completion.id.suite, completion.id.item_id}].push_back(
        {record.verdict.correctness, completion.finish_reason == FinishReason::kLength,
         record.verdict.has_answer, record.verdict.answer, tokens});
    return {};
  }));
  for (const PlannedSuite& plan : planned) {
    std::vector<std::vector<SampleOutcome>> questions;
    for (const StoredItem& stored : items) {
      if (stored.item.suite != plan.suite) continue;
      auto& samples = outcomes[{plan.suite, stored.item.id}];
      const int present = static_cast<int>(samples.size());
      if (present < plan.num_samples) {
        report.missing.push_back(
            {plan.suite, stored.item.id, plan.num_samples - present, plan.num_samples});
      }
      questions.push_back(std::move(samples));
    }
    ASSAY_TRY(const SameAnswer same_answer, same_answer_of(plan.scorer));
    report.suites.push_back(summarize(plan.suite, plan.num_samples, questions, same_answer));
  }
  if (items.empty()) return Error{store.folder() + ": holds no questions; run `assay run` again"};
  return report;
}

std::string format_report(const Report& report) {
  const int n = report.suites.front().num_samples;
  const bool same_n = std::all_of(report.suites.begin(), report.suites.end(),
                                  [n](const SuiteSummary& s) { return s.num_samples == n; });
  const std::string cons = same_n ? fmt::format("cons@{}", n) : "cons@n";
  std::vector<Row> rows = {{"suite",
                            {"questions", "n", "pass@1", "± sampling", "± questions", cons,
                             "mean tokens", "truncated", "no answer"}}};
  for (const SuiteSummary& summary : report.suites) {
    rows.push_back(
        {summary.suite,
         {std::to_string(summary.questions), std::to_string(summary.num_samples),
          percent(summary.pass_at_1), fmt::format("{:.2f}", 100 * summary.sampling_se),
          fmt::format("{:.2f}", 100 * summary.question_se), percent(summary.cons_at_n),
          fmt::format("{:.1f}", summary.mean_tokens), percent(summary.truncation_rate) + " %",
          percent(summary.no_answer_rate) + " %"}});
  }
  std::string out = fmt::format("model {}\n\n{}\n", report.model, format_table(rows));
  for (const SuiteSummary& summary : report.suites) {
    out += fmt::format("  {}: {}\n", summary.suite, format_pass_at_k(summary));
  }
  for (const SuiteSummary& summary : report.suites) {
    if (summary.unscored == 0) continue;
    out += fmt::format("  {}: {} of {} samples could not be scored and are in no score\n",
                       summary.suite, summary.unscored, summary.samples);
  }
  if (report.sample_data) out += "  (on assay's sample data, not on the official questions)\n";
  const SessionStats& sessions = report.sessions;
  if (sessions.wall_s > 0) {
    out += fmt::format("\n  {} tokens in {}: {:.0f} tokens/s\n",
                       with_commas(sessions.generated_tokens), format_duration(sessions.wall_s),
                       static_cast<double>(sessions.generated_tokens) / sessions.wall_s);
  }
  out +=
      "\n  pass@k and cons@n in percent. ± sampling: same questions, new samples; "
      "± questions: new questions.\n";
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

OrderedJson report_json(const Report& report, const OrderedJson& manifest) {
  OrderedJson json;
  json["complete"] = report.missing.empty();
  OrderedJson& suites = json["suites"] = OrderedJson::array();
  for (const SuiteSummary& summary : report.suites) {
    OrderedJson entry;
    entry["suite"] = summary.suite;
    entry["questions"] = summary.questions;
    entry["num_samples"] = summary.num_samples;
    entry["samples"] = summary.samples;
    entry["unscored"] = summary.unscored;
    entry["pass@1"] = summary.pass_at_1;
    entry["pass@1_sampling_se"] = summary.sampling_se;
    entry["pass@1_question_se"] = summary.question_se;
    for (const auto& [k, value] : summary.pass_at_k) {
      if (k > 1) entry[fmt::format("pass@{}", k)] = value;
    }
    entry[fmt::format("cons@{}", summary.num_samples)] = summary.cons_at_n;
    entry["mean_tokens"] = summary.mean_tokens;
    entry["truncation_rate"] = summary.truncation_rate;
    entry["no_answer_rate"] = summary.no_answer_rate;
    entry["completion_tokens"] = summary.completion_tokens;
    suites.push_back(std::move(entry));
  }
  const SessionStats& sessions = report.sessions;
  json["generation"] = {{"wall_s", sessions.wall_s},
                        {"generated_tokens", sessions.generated_tokens},
                        {"prefill_tokens", sessions.prefill_tokens}};
  json["manifest"] = manifest;
  return json;
}

}  // namespace assay
