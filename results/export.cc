#include "results/export.h"

#include <fmt/format.h>

#include <map>

#include "harness/base/text.h"
#include "results/table.h"

namespace assay {
namespace {

using Golds = std::map<std::pair<std::string, std::string>, std::string>;

Result<Golds> golds_of(RunStore& store) {
  ASSAY_TRY(const std::vector<StoredItem> items, store.items());
  Golds golds;
  for (const StoredItem& stored : items) {
    golds[{stored.item.suite, stored.item.id}] = stored.item.gold;
  }
  return golds;
}

Status check_written(std::ostream& out) {
  if (out) return {};
  return Error{"standard output: cannot write; is the disk full or the pipe closed?"};
}

// Quoted where it must be. A spreadsheet takes what begins with = + - @ as a formula; a model's
// answer must not be one.
std::string csv_cell(const std::string& text) {
  std::string cell = text;
  if (!cell.empty() && std::string_view("=+-@\t\r").find(cell[0]) != std::string_view::npos) {
    cell.insert(0, "'");
  }
  if (cell.find_first_of(",\"\r\n") == std::string::npos) return cell;
  return "\"" + replace_all(cell, "\"", "\"\"") + "\"";
}

// A label's value: backslash, quote and line feed are escaped.
std::string label(const std::string& text) {
  return replace_all(replace_all(replace_all(text, "\\", "\\\\"), "\"", "\\\""), "\n", "\\n");
}

std::string markdown_cell(const std::string& text) {
  return replace_all(replace_all(text, "|", "\\|"), "\n", " ");
}

}  // namespace

Status export_jsonl(RunStore& store, std::ostream& out) {
  ASSAY_TRY(Golds golds, golds_of(store));
  ASSAY_TRY_STATUS(store.for_each([&](const SampleRecord& record) -> Status {
    const Completion& completion = record.completion;
    const Verdict& verdict = record.verdict;
    OrderedJson line;
    line["suite"] = completion.id.suite;
    line["item_id"] = completion.id.item_id;
    line["sample_index"] = completion.id.sample_index;
    line["prompt_tokens"] = completion.prompt_tokens;
    line["token_ids"] = completion.token_ids;
    line["text"] = completion.text;
    line["finish_reason"] = to_string(completion.finish_reason);
    if (!completion.error.empty()) line["error"] = completion.error;
    line["logprob"] = completion.logprob;
    line["verdict"] = to_string(verdict.correctness);
    line["answer"] = verdict.has_answer ? OrderedJson(verdict.answer) : OrderedJson();
    line["gold"] = golds[{completion.id.suite, completion.id.item_id}];
    line["rule"] = verdict.rule;
    line["detail"] = verdict.detail;
    if (!verdict.values.empty()) line["values"] = verdict.values;
    line["scorer"] = record.scorer;
    out << dump_json(line) << '\n';
    return check_written(out);
  }));
  out.flush();
  return check_written(out);
}

Status export_csv(RunStore& store, std::ostream& out) {
  ASSAY_TRY(Golds golds, golds_of(store));
  out << "suite,item_id,sample_index,verdict,answer,gold,completion_tokens,thought_tokens,"
         "finish_reason,rule,scorer\r\n";
  ASSAY_TRY_STATUS(store.for_each_verdict([&](const SampleRecord& record, int tokens) -> Status {
    const Completion& completion = record.completion;
    const Verdict& verdict = record.verdict;
    const SampleId& id = completion.id;
    out << fmt::format("{},{},{},{},{},{},{},{},{},{},{}\r\n", csv_cell(id.suite),
                       csv_cell(id.item_id), id.sample_index, to_string(verdict.correctness),
                       csv_cell(verdict.answer), csv_cell(golds[{id.suite, id.item_id}]), tokens,
                       completion.thought_tokens, to_string(completion.finish_reason),
                       csv_cell(verdict.rule), csv_cell(record.scorer));
    return check_written(out);
  }));
  out.flush();
  return check_written(out);
}

std::string export_markdown(const Report& report, const OrderedJson& manifest) {
  std::string out =
      "| suite | metric | questions | n | score | ± sampling | ± questions | temperature | top-p | "
      "max tokens |\n| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
  const OrderedJson& tasks = manifest.at("identity").at("tasks");
  for (size_t i = 0; i < report.suites.size(); ++i) {
    const SuiteSummary& summary = report.suites[i];
    const OrderedJson& task = tasks.at(i);
    const auto row = [&](const std::string& metric, const std::string& score,
                         const std::string& sampling, const std::string& questions) {
      out += fmt::format(
          "| {} | {} | {} | {} | {} | {} | {} | {:g} | {:g} | {} |\n", markdown_cell(summary.suite),
          markdown_cell(metric), summary.questions, summary.num_samples, score, sampling, questions,
          task.value("temperature", 0.0), task.value("top_p", 1.0), task.value("max_tokens", 0));
    };
    const auto estimate_row = [&](const std::string& metric, const Estimate& estimate) {
      row(metric, percent(estimate.value),
          estimate.sampling_se ? fmt::format("{:.2f}", 100 * *estimate.sampling_se) : "–",
          fmt::format("{:.2f}", 100 * estimate.question_se));
    };
    if (summary.accuracy) {
      estimate_row("pass@1", summary.pass_at_1);
      if (summary.num_samples > 1 && !summary.pass_at_k.empty()) {
        const auto& [k, last] = *summary.pass_at_k.rbegin();
        estimate_row(fmt::format("pass@{}", k), last);
      }
      if (summary.num_samples > 1 && !summary.cons_at_k.empty()) {
        const auto& [k, last] = *summary.cons_at_k.rbegin();
        estimate_row(fmt::format("cons@{}", k), last);
      }
    }
    for (const Measured& measured : summary.measures) {
      const bool percents = measured.measure.unit == "percent";
      row(measured.measure.name,
          fmt::format("{:.{}f}", (percents ? 100 : 1) * measured.value, percents ? 1 : 2), "–",
          fmt::format("{:.2f}", (percents ? 100 : 1) * measured.question_se));
    }
  }
  return out + fmt::format(
                   "\nMeasured with assay {} of {}{}.\n",
                   manifest.value("environment", OrderedJson::object()).value("assay", "?"),
                   markdown_cell(report.model),
                   report.sample_data ? ", on sample data, not all of the official questions" : "");
}

std::string export_openmetrics(const Report& report) {
  std::string out;
  const auto family = [&](const char* name, const char* help, const auto& value_of) {
    out += fmt::format("# TYPE {} gauge\n# HELP {} {}\n", name, name, help);
    for (const SuiteSummary& summary : report.suites) {
      const std::optional<double> value = value_of(summary);
      if (!value) continue;
      out += fmt::format("{}{{model=\"{}\",suite=\"{}\"}} {:.9g}\n", name, label(report.model),
                         label(summary.suite), *value);
    }
  };
  const auto scored = [](const SuiteSummary& summary, double value) {
    return summary.accuracy ? std::optional<double>(value) : std::nullopt;
  };
  family("assay_pass_at_1_ratio", "Share of correct samples, mean over questions.",
         [&](const SuiteSummary& s) { return scored(s, s.pass_at_1.value); });
  family(
      "assay_pass_at_1_sampling_se_ratio", "Its standard error under new samples.",
      [&](const SuiteSummary& s) { return s.accuracy ? s.pass_at_1.sampling_se : std::nullopt; });
  family("assay_pass_at_1_question_se_ratio", "Its standard error under new questions.",
         [&](const SuiteSummary& s) { return scored(s, s.pass_at_1.question_se); });
  family("assay_truncated_ratio", "Share of samples cut by the limit of tokens.",
         [&](const SuiteSummary& s) { return std::optional<double>(s.truncation_rate); });
  family("assay_unscored_samples", "Samples judged neither right nor wrong.",
         [&](const SuiteSummary& s) {
           return std::optional<double>(static_cast<double>(s.unscored));
         });
  family("assay_completion_tokens_mean", "Mean tokens of a completion.",
         [&](const SuiteSummary& s) { return std::optional<double>(s.tokens.mean); });
  return out + "# EOF\n";
}

std::string export_hub(const Report& report, const OrderedJson& manifest,
                       const std::map<std::string, HubDataset>& datasets) {
  // JSON's texts are YAML's.
  const auto quoted = [](const std::string& text) { return dump_json(Json(text)); };
  const OrderedJson environment = manifest.value("environment", OrderedJson::object());
  std::string out;
  for (const SuiteSummary& summary : report.suites) {
    const auto found = datasets.find(summary.suite);
    if (found == datasets.end() || !summary.accuracy) {
      out += fmt::format("# {}: no data set of the Hub is known for it; name one with --hub\n",
                         markdown_cell(summary.suite));
      continue;
    }
    std::string notes = fmt::format(
        "assay {}, pass@1 over {} samples a question, standard error "
        "{:.2f} (questions)",
        environment.value("assay", "?"), summary.num_samples, 100 * summary.pass_at_1.question_se);
    if (report.sample_data) notes += ", sample data, not all of the official questions";
    out += fmt::format(
        "- dataset:\n    id: {}\n    task_id: {}\n  value: {:.2f}\n  date: {}\n  notes: {}\n",
        quoted(found->second.id), quoted(found->second.task_id), 100 * summary.pass_at_1.value,
        quoted(environment.value("started_at", std::string("1970-01-01")).substr(0, 10)),
        quoted(notes));
  }
  return out;
}

}  // namespace assay
