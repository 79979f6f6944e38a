#include <fmt/format.h>

#include <fstream>

#include "harness/base/file.h"
#include "harness/base/hash.h"
#include "harness/base/text.h"
#include "results/export.h"
#include "results/export_files.h"

namespace assay {
namespace {

OrderedJson generation_arguments(const OrderedJson& task) {
  return {{"until", task.value("stop", OrderedJson::array())},
          {"do_sample", task.value("temperature", 0.0) > 0},
          {"temperature", task.value("temperature", 0.0)},
          {"top_p", task.value("top_p", 1.0)},
          {"top_k", task.value("top_k", 0)},
          {"min_p", task.value("min_p", 0.0)},
          {"max_gen_toks", task.value("max_tokens", 0)}};
}

OrderedJson row_of(const StoredItem& stored, const std::vector<SampleRecord>& samples,
                   const OrderedJson& task) {
  OrderedJson doc = {{"id", stored.item.id}};
  for (const auto& [field, value] : stored.item.fields) doc[field] = value;
  OrderedJson texts = OrderedJson::array(), answers = OrderedJson::array(),
              own = OrderedJson::array();
  double correct = 0, scored = 0;
  for (const SampleRecord& record : samples) {
    texts.push_back(record.completion.text);
    answers.push_back(record.verdict.has_answer ? record.verdict.answer : "");
    own.push_back(sample_json(record));
    scored += record.verdict.correctness != Correctness::kUnscored ? 1 : 0;
    correct += record.verdict.correctness == Correctness::kCorrect ? 1 : 0;
  }
  OrderedJson row;
  row["doc_id"] = stored.ordinal;
  row["doc"] = doc;
  row["target"] = stored.item.gold;
  row["arguments"] = {
      {"gen_args_0", {{"arg_0", stored.prompt.text}, {"arg_1", generation_arguments(task)}}}};
  row["resps"] = OrderedJson::array({std::move(texts)});
  row["filtered_resps"] = std::move(answers);
  row["filter"] = "none";
  row["metrics"] = {"pass@1"};
  row["doc_hash"] = sha256_hex(dump_json(doc));
  row["prompt_hash"] = sha256_hex(stored.prompt.text);
  row["target_hash"] = sha256_hex(stored.item.gold);
  row["pass@1"] = scored > 0 ? OrderedJson(correct / scored) : OrderedJson();
  row["assay"] = std::move(own);
  return row;
}

OrderedJson scores_of(const SuiteSummary& summary) {
  OrderedJson scores = {
      {"name", summary.suite}, {"alias", summary.suite}, {"sample_len", summary.questions}};
  const auto add = [&](const std::string& metric, double value, double error) {
    scores[metric + ",none"] = value;
    scores[metric + "_stderr,none"] = error;
  };
  if (summary.accuracy) {
    add("pass@1", summary.pass_at_1.value, summary.pass_at_1.question_se);
    for (const auto& [k, estimate] : summary.pass_at_k) {
      if (k > 1) add(fmt::format("pass@{}", k), estimate.value, estimate.question_se);
    }
    for (const auto& [k, estimate] : summary.cons_at_k) {
      if (k > 1) add(fmt::format("cons@{}", k), estimate.value, estimate.question_se);
    }
  }
  for (const Measured& measured : summary.measures) {
    add(measured.measure.name, measured.value, measured.question_se);
  }
  return scores;
}

OrderedJson results_json(const RunFacts& facts, const Report& report) {
  OrderedJson json;
  for (const char* key :
       {"results", "group_subtasks", "configs", "versions", "n-shot", "higher_is_better"}) {
    json[key] = OrderedJson::object();
  }
  for (const SuiteSummary& summary : report.suites) {
    const std::string& suite = summary.suite;
    const OrderedJson& task = facts.tasks.at(suite);
    json["results"][suite] = scores_of(summary);
    json["configs"][suite] = {{"task", suite},
                              {"output_type", "generate_until"},
                              {"generation_kwargs", generation_arguments(task)},
                              {"repeats", summary.num_samples},
                              {"num_fewshot", 0},
                              {"metadata", {{"version", task.value("suite_version", 0)}}}};
    json["versions"][suite] = task.value("suite_version", 0);
    json["n-shot"][suite] = 0;
    for (const auto& [key, value] : json["results"][suite].items()) {
      const size_t comma = key.find(",none");
      if (comma == std::string::npos || key.find("_stderr") != std::string::npos) continue;
      json["higher_is_better"][suite][key.substr(0, comma)] = true;
    }
    json["n-samples"][suite] = {{"original", summary.questions}, {"effective", summary.questions}};
    json["task_hashes"][suite] = task.value("data_sha256", std::string());
  }
  json["config"] = {{"model", "assay"},
                    {"model_args", {{"model", facts.model}}},
                    {"batch_size", nullptr},
                    {"limit", nullptr},
                    {"gen_kwargs", OrderedJson::object()}};
  json["git_hash"] = facts.commit;
  json["date"] = facts.started_at;
  json["assay_version"] = facts.version;
  json["model_source"] = "assay";
  json["model_name"] = facts.model;
  json["model_name_sanitized"] = file_name_of(facts.model);
  return json;
}

}  // namespace

Result<std::vector<std::string>> export_lm_eval(RunStore& store, const Report& report,
                                                const std::string& folder) {
  ASSAY_TRY(const RunFacts facts, run_facts(store));
  const std::string own = folder + "/" + file_name_of(facts.model);
  ASSAY_TRY_STATUS(create_directories(own));
  // The date's colons as the program itself writes them.
  const std::string date = replace_all(facts.started_at.substr(0, 19), ":", "-") + ".000000";
  std::vector<std::string> files = {own + "/results_" + date + ".json"};
  ASSAY_TRY_STATUS(write_file_atomically(files[0], dump_json(results_json(facts, report), 2)));
  std::ofstream out;
  std::string suite;
  const auto check = [&]() -> Status {
    if (out) return {};
    return Error{files.back() + ": cannot be written; is the disk full?"};
  };
  ASSAY_TRY_STATUS(for_each_question(
      store, [&](const StoredItem& stored, const std::vector<SampleRecord>& samples) -> Status {
        if (stored.item.suite != suite) {
          if (out.is_open()) out.close();
          suite = stored.item.suite;
          files.push_back(own + "/samples_" + file_name_of(suite) + "_" + date + ".jsonl");
          out.open(files.back(), std::ios::trunc);
        }
        out << dump_json(row_of(stored, samples, facts.tasks.at(suite))) << '\n';
        return check();
      }));
  if (out.is_open()) {
    out.close();
    ASSAY_TRY_STATUS(check());
  }
  return files;
}

}  // namespace assay
