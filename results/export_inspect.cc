#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "harness/base/file.h"
#include "harness/base/hash.h"
#include "harness/base/text.h"
#include "results/export.h"
#include "results/export_files.h"

namespace assay {
namespace {

const char* stop_reason(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "max_tokens";
    case FinishReason::kError:
      return "unknown";
  }
  return "unknown";
}

OrderedJson usage_of(int64_t input, int64_t output) {
  return {{"input_tokens", input}, {"output_tokens", output}, {"total_tokens", input + output}};
}

OrderedJson sample_of(const StoredItem& stored, const SampleRecord& record, const RunFacts& facts,
                      int first_sample) {
  const Completion& completion = record.completion;
  const Verdict& verdict = record.verdict;
  const OrderedJson answer = {{"role", "assistant"},
                              {"content", completion.text},
                              {"source", "generate"},
                              {"model", facts.model}};
  OrderedJson json;
  json["id"] = stored.item.id;
  json["epoch"] = completion.id.sample_index - first_sample + 1;
  json["input"] = stored.prompt.text;
  json["target"] = stored.item.gold;
  json["messages"] = {{{"role", "user"}, {"content", stored.prompt.text}, {"source", "input"}},
                      answer};
  json["output"] = {
      {"model", facts.model},
      {"choices", {{{"message", answer}, {"stop_reason", stop_reason(completion.finish_reason)}}}},
      {"completion", completion.text},
      {"usage", usage_of(completion.prompt_tokens, completion.completion_tokens())}};
  json["scores"] = OrderedJson::object();
  // A sample that nobody judged has no score there either.
  if (verdict.correctness != Correctness::kUnscored) {
    json["scores"]["assay"] = {
        {"value", verdict.correctness == Correctness::kCorrect ? "C" : "I"},
        {"answer", verdict.has_answer ? OrderedJson(verdict.answer) : OrderedJson()},
        {"explanation", verdict.rule + (verdict.detail.empty() ? "" : ": " + verdict.detail)}};
  }
  json["metadata"] = {{"assay", sample_json(record)}};
  for (const auto& [field, value] : stored.item.fields) json["metadata"][field] = value;
  json["store"] = OrderedJson::object();
  json["events"] = OrderedJson::array();
  json["model_usage"][facts.model] =
      usage_of(completion.prompt_tokens, completion.completion_tokens());
  json["attachments"] = OrderedJson::object();
  if (!completion.error.empty()) {
    json["error"] = {{"message", completion.error}, {"traceback", ""}, {"traceback_ansi", ""}};
  }
  return json;
}

// All of the log but its samples, which go between the two texts.
OrderedJson log_of(const RunFacts& facts, const SuiteSummary& summary,
                   const std::vector<std::string>& ids) {
  const OrderedJson& task = facts.tasks.at(summary.suite);
  const std::string created = facts.started_at.substr(0, 19) + "+00:00";
  const std::string id = sha256_hex(facts.fingerprint + summary.suite).substr(0, 22);
  const OrderedJson generate = {{"max_tokens", task.value("max_tokens", 0)},
                                {"temperature", task.value("temperature", 0.0)},
                                {"top_p", task.value("top_p", 1.0)},
                                {"top_k", task.value("top_k", 0)}};
  OrderedJson json;
  json["version"] = 2;
  json["status"] = "success";
  json["eval"] = {
      {"eval_id", id},
      {"run_id", facts.fingerprint.substr(0, 22)},
      {"created", created},
      {"task", summary.suite},
      {"task_id", id},
      {"task_version", task.value("suite_version", 0)},
      {"dataset",
       {{"name", summary.suite},
        {"samples", summary.questions},
        {"sample_ids", ids},
        {"shuffled", false}}},
      {"model", facts.model},
      {"model_generate_config", generate},
      {"config", {{"epochs", summary.num_samples}}},
      {"packages", {{"assay", facts.version}}},
      {"scorers",
       {{{"name", "assay"},
         {"metrics", {{{"name", "inspect_ai/accuracy"}}, {{"name", "inspect_ai/stderr"}}}}}}},
      {"metadata",
       {{"commit", facts.commit}, {"data_sha256", task.value("data_sha256", std::string())}}}};
  json["plan"] = {{"name", "plan"},
                  {"steps", {{{"solver", "generate"}, {"params", OrderedJson::object()}}}},
                  {"config", generate}};
  OrderedJson metrics = OrderedJson::object();
  const auto metric = [&](const std::string& name, double value) {
    metrics[name] = {{"name", name}, {"value", value}};
  };
  if (summary.accuracy) {
    metric("accuracy", summary.pass_at_1.value);
    metric("stderr", summary.pass_at_1.question_se);
    for (const auto& [k, estimate] : summary.pass_at_k) {
      if (k > 1) metric(fmt::format("pass@{}", k), estimate.value);
    }
    for (const auto& [k, estimate] : summary.cons_at_k) {
      if (k > 1) metric(fmt::format("cons@{}", k), estimate.value);
    }
  }
  for (const Measured& measured : summary.measures) {
    metric(measured.measure.name, measured.value);
  }
  json["results"] = {{"total_samples", summary.samples},
                     {"completed_samples", summary.samples},
                     {"scores",
                      {{{"name", "assay"},
                        {"scorer", "assay"},
                        {"scored_samples", summary.samples - summary.unscored},
                        {"unscored_samples", summary.unscored},
                        {"params", {{"scorer", task.value("scorer", std::string())}}},
                        {"metrics", std::move(metrics)}}}}};
  json["stats"] = {{"started_at", created},
                   {"completed_at", created},
                   {"model_usage", {{facts.model, usage_of(0, summary.tokens.total)}}}};
  return json;
}

}  // namespace

Result<std::vector<std::string>> export_inspect(RunStore& store, const Report& report,
                                                const std::string& folder) {
  ASSAY_TRY(const RunFacts facts, run_facts(store));
  ASSAY_TRY_STATUS(create_directories(folder));
  ASSAY_TRY(const std::vector<StoredItem> items, store.items());
  std::vector<std::string> files;
  std::ofstream out;
  std::string suite;
  bool first = true;
  const auto end_log = [&]() -> Status {
    if (!out.is_open()) return {};
    out << "]}\n";
    out.close();
    if (out) return {};
    return Error{files.back() + ": cannot be written; is the disk full?"};
  };
  const auto write = [&](const StoredItem& stored,
                         const std::vector<SampleRecord>& samples) -> Status {
    if (stored.item.suite != suite) {
      ASSAY_TRY_STATUS(end_log());
      suite = stored.item.suite;
      const auto summary =
          std::find_if(report.suites.begin(), report.suites.end(),
                       [&](const SuiteSummary& one) { return one.suite == suite; });
      if (summary == report.suites.end()) return Error{suite + ": is in no report of the run"};
      std::vector<std::string> ids;
      for (const StoredItem& item : items) {
        if (item.item.suite == suite) ids.push_back(item.item.id);
      }
      const std::string log = dump_json(log_of(facts, *summary, ids));
      files.push_back(fmt::format(
          "{}/{}-00-00_{}_{}.json", folder, replace_all(facts.started_at.substr(0, 19), ":", "-"),
          file_name_of(suite), sha256_hex(facts.fingerprint + suite).substr(0, 22)));
      out.open(files.back(), std::ios::trunc);
      // The samples one by one: a run's texts may be larger than memory.
      out << log.substr(0, log.size() - 1) << ",\"samples\":[";
      first = true;
    }
    const int first_sample = facts.tasks.at(suite).value("first_sample", 0);
    for (const SampleRecord& record : samples) {
      out << (first ? "\n" : ",\n") << dump_json(sample_of(stored, record, facts, first_sample));
      first = false;
    }
    if (out) return {};
    return Error{files.back() + ": cannot be written; is the disk full?"};
  };
  ASSAY_TRY_STATUS(for_each_question(store, write));
  ASSAY_TRY_STATUS(end_log());
  return files;
}

}  // namespace assay
