#include "results/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "harness/base/text.h"

namespace assay {
namespace {

std::string percent(double rate) { return fmt::format("{:.1f}", 100 * rate); }

struct Row {
  std::string name;
  std::vector<std::string> cells;
};

size_t columns_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

// Columns as wide as their widest cell; the first is left-aligned, the others right-aligned.
std::string format_table(const std::vector<Row>& rows) {
  size_t name_width = 0;
  std::vector<size_t> widths(rows.front().cells.size(), 0);
  for (const Row& row : rows) {
    name_width = std::max(name_width, row.name.size());
    for (size_t i = 0; i < row.cells.size(); ++i)
      widths[i] = std::max(widths[i], columns_of(row.cells[i]));
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

std::string format_measured(const std::string& suite, const Measured& measured, int64_t all) {
  const double scale = measured.measure.unit == "percent" ? 100 : 1;
  const int digits = measured.measure.unit == "percent" ? 1 : 2;
  std::string error;
  if (measured.interval) {
    error = fmt::format(" [{:.{}f}, {:.{}f}]", scale * measured.interval->first, digits,
                        scale * measured.interval->second, digits);
  } else if (measured.measure.method == "mean") {
    error = fmt::format(" ± {:.2f}", scale * measured.question_se);
  }
  const std::string of =
      measured.samples < all ? fmt::format(" (of {} of {} samples)", measured.samples, all) : "";
  return fmt::format("  {}: {} {:.{}f}{}{}\n", suite, measured.measure.name, scale * measured.value,
                     digits, error, of);
}

std::string format_groups(const SuiteSummary& summary) {
  if (summary.groups.size() < 2) return {};
  const auto& first = summary.groups.begin()->second.measured;
  std::vector<Row> rows = {
      {"  group", {"questions", first ? first->measure.name : "pass@1", "± questions"}}};
  for (const auto& [group, score] : summary.groups) {
    Row row{"  " + group,
            {std::to_string(score.questions), percent(score.pass_at_1),
             fmt::format("{:.2f}", 100 * score.question_se)}};
    if (score.measured) {
      const double scale = score.measured->measure.unit == "percent" ? 100 : 1;
      row.cells[1] = fmt::format("{:.{}f}", scale * score.measured->value, scale == 1 ? 2 : 1);
      row.cells[2] = score.measured->interval
                         ? fmt::format("[{:.1f}, {:.1f}]", scale * score.measured->interval->first,
                                       scale * score.measured->interval->second)
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
  return fmt::format("  {}: {} ± {:.2f} sampling ± {:.2f} questions = {}\n", composite.name,
                     percent(composite.value), 100 * composite.sampling_se,
                     100 * composite.question_se, join(present, " + "));
}

OrderedJson measured_json(const Measured& measured) {
  OrderedJson json = {{"name", measured.measure.name},
                      {"unit", measured.measure.unit},
                      {"samples", measured.samples},
                      {"value", measured.value}};
  if (measured.interval) {
    json["interval_95"] = {measured.interval->first, measured.interval->second};
  } else if (measured.measure.method == "mean") {
    json["question_se"] = measured.question_se;
  }
  return json;
}

}  // namespace

std::vector<PlannedSuite> planned_suites(const OrderedJson& manifest) {
  std::vector<PlannedSuite> planned;
  for (const OrderedJson& task : manifest.at("identity").at("tasks")) {
    PlannedSuite plan;
    plan.suite = task.at("suite").get<std::string>();
    plan.scorer = task.at("scorer").get<std::string>();
    plan.num_samples = task.at("num_samples").get<int>();
    plan.first_sample = task.at("first_sample").get<int>();
    plan.macro = task.value("macro", false);
    plan.accuracy = task.value("accuracy", true);
    plan.consensus = task.value("consensus", true);
    plan.judged = task.value("judged", false);
    if (task.contains("chance")) {
      plan.chance = task["chance"].get<std::map<std::string, double>>();
    }
    for (const OrderedJson& measure : task.value("measures", OrderedJson::array())) {
      plan.measures.push_back({measure.at("name"), measure.at("of"), measure.at("per"),
                               measure.at("unit"), measure.at("method")});
    }
    planned.push_back(std::move(plan));
  }
  return planned;
}

// The composites that the manifest names, from the suites' pass@1 (its macro average where that is
// the suite's score).
std::vector<CompositeScore> composite_scores(const OrderedJson& manifest,
                                             const std::vector<SuiteSummary>& suites) {
  std::vector<CompositeScore> scores;
  for (const OrderedJson& json :
       manifest.at("identity").value("composites", OrderedJson::array())) {
    CompositeScore score;
    score.name = json.at("name").get<std::string>();
    score.complete = true;
    double sampling = 0, question = 0;
    for (const OrderedJson& component : json.at("components")) {
      CompositeScore::Part part;
      part.suite = component.at("suite").get<std::string>();
      part.weight = component.at("weight").get<double>();
      const auto found = std::find_if(suites.begin(), suites.end(), [&](const SuiteSummary& suite) {
        return suite.suite == part.suite;
      });
      part.present = found != suites.end();
      score.complete = score.complete && part.present;
      if (part.present) {
        part.value = found->macro ? found->macro->value : found->pass_at_1;
        const double se = found->macro ? found->macro->question_se : found->question_se;
        score.value += part.weight * part.value;
        sampling += std::pow(part.weight * found->sampling_se, 2);
        question += std::pow(part.weight * se, 2);
      }
      score.parts.push_back(std::move(part));
    }
    score.sampling_se = std::sqrt(sampling);
    score.question_se = std::sqrt(question);
    scores.push_back(std::move(score));
  }
  return scores;
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
         record.verdict.has_answer, record.verdict.answer, tokens, record.verdict.values});
    return {};
  }));
  for (const PlannedSuite& plan : planned) {
    std::vector<std::vector<SampleOutcome>> questions;
    SummaryOptions options{{}, plan.macro, plan.accuracy, plan.chance, plan.measures};
    for (const StoredItem& stored : items) {
      if (stored.item.suite != plan.suite) continue;
      const auto group = stored.item.fields.find("group");
      options.groups.push_back(group == stored.item.fields.end() ? "" : group->second);
      auto& samples = outcomes[{plan.suite, stored.item.id}];
      const int present = static_cast<int>(samples.size());
      if (present < plan.num_samples) {
        report.missing.push_back(
            {plan.suite, stored.item.id, plan.num_samples - present, plan.num_samples});
      }
      questions.push_back(std::move(samples));
    }
    ASSAY_TRY(const SameAnswer same_answer, same_answer_of(plan.scorer));
    report.suites.push_back(
        summarize(plan.suite, plan.num_samples, questions, same_answer, options));
    report.suites.back().consensus = plan.consensus;
  }
  if (items.empty()) return Error{store.folder() + ": holds no questions; run `assay run` again"};
  try {
    report.composites = composite_scores(*manifest, report.suites);
  } catch (const OrderedJson::exception&) {
    return Error{store.folder() + ": its manifest's composites are damaged"};
  }
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
    const auto score = [&](const std::string& text) {
      return summary.accuracy && summary.unscored < summary.samples ? text : std::string("–");
    };
    rows.push_back(
        {summary.suite,
         {std::to_string(summary.questions), std::to_string(summary.num_samples),
          score(percent(summary.pass_at_1)),
          score(fmt::format("{:.2f}", 100 * summary.sampling_se)),
          score(fmt::format("{:.2f}", 100 * summary.question_se)),
          summary.consensus ? score(percent(summary.cons_at_n)) : "–",
          fmt::format("{:.1f}", summary.mean_tokens), percent(summary.truncation_rate) + " %",
          percent(summary.no_answer_rate) + " %"}});
  }
  std::string out = fmt::format("model {}\n\n{}\n", report.model, format_table(rows));
  for (const SuiteSummary& summary : report.suites) {
    if (summary.accuracy) {
      out += fmt::format("  {}: {}\n", summary.suite, format_pass_at_k(summary));
    }
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
  if (report.sample_data) out += "  (on sample data: not all of the official questions)\n";
  const SessionStats& sessions = report.sessions;
  if (sessions.generated_tokens > 0) {
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
    if (summary.macro) entry["macro"] = measured_json(*summary.macro);
    if (summary.normalised) entry["normalised"] = measured_json(*summary.normalised);
    for (const Measured& measured : summary.measures) {
      entry["measures"].push_back(measured_json(measured));
    }
    for (const auto& [group, score] : summary.groups) {
      entry["groups"][group] = {{"questions", score.questions},
                                {"pass@1", score.pass_at_1},
                                {"pass@1_sampling_se", score.sampling_se},
                                {"pass@1_question_se", score.question_se}};
      if (score.measured) entry["groups"][group]["measured"] = measured_json(*score.measured);
    }
    entry["mean_tokens"] = summary.mean_tokens;
    entry["truncation_rate"] = summary.truncation_rate;
    entry["no_answer_rate"] = summary.no_answer_rate;
    entry["completion_tokens"] = summary.completion_tokens;
    suites.push_back(std::move(entry));
  }
  for (const CompositeScore& composite : report.composites) {
    OrderedJson entry = {{"name", composite.name}};
    for (const CompositeScore::Part& part : composite.parts) {
      entry["components"].push_back(
          {{"suite", part.suite},
           {"weight", part.weight},
           {"value", part.present ? OrderedJson(part.value) : OrderedJson()}});
    }
    if (composite.complete) {
      entry["value"] = composite.value;
      entry["sampling_se"] = composite.sampling_se;
      entry["question_se"] = composite.question_se;
    }
    json["composites"].push_back(std::move(entry));
  }
  const SessionStats& sessions = report.sessions;
  json["generation"] = {{"wall_s", sessions.wall_s},
                        {"generated_tokens", sessions.generated_tokens},
                        {"prefill_tokens", sessions.prefill_tokens}};
  json["manifest"] = manifest;
  return json;
}

}  // namespace assay
