#include "results/run_outcomes.h"

#include <utility>

namespace assay {

std::vector<PlannedSuite> planned_suites(const OrderedJson& manifest) {
  std::vector<PlannedSuite> planned;
  for (const OrderedJson& task : manifest.at("identity").at("tasks")) {
    PlannedSuite plan;
    plan.suite = task.at("suite").get<std::string>();
    plan.scorer = task.at("scorer").get<std::string>();
    plan.num_samples = task.at("num_samples").get<int>();
    plan.first_sample = task.at("first_sample").get<int>();
    plan.max_tokens = task.value("max_tokens", 0);
    plan.macro = task.value("macro", false);
    plan.accuracy = task.value("accuracy", true);
    plan.consensus = task.value("consensus", true);
    plan.judged = task.value("judged", false);
    if (task.contains("chance")) {
      plan.chance = task["chance"].get<std::map<std::string, double>>();
    }
    for (const OrderedJson& measure : task.value("measures", OrderedJson::array())) {
      plan.measures.push_back({measure.at("name"), measure.at("of"), measure.at("per"),
                               measure.at("unit"), measure.at("method"), "",
                               measure.value("permille", std::vector<double>())});
    }
    planned.push_back(std::move(plan));
  }
  return planned;
}

Result<RunOutcomes> load_outcomes(RunStore& store) {
  ASSAY_TRY(auto manifest, store.manifest());
  if (!manifest)
    return Error{store.folder() + ": the run was never started; run `assay run` again"};
  RunOutcomes run;
  run.manifest = std::move(*manifest);
  try {
    run.model = run.manifest.at("identity").at("model").at("name").get<std::string>();
    for (PlannedSuite& plan : planned_suites(run.manifest)) {
      run.suites.push_back({std::move(plan), {}, {}, {}});
    }
  } catch (const OrderedJson::exception&) {
    return Error{store.folder() + ": its manifest lacks what a report needs; the run is damaged"};
  }
  ASSAY_TRY(const std::vector<StoredItem> items, store.items());
  if (items.empty()) return Error{store.folder() + ": holds no questions; run `assay run` again"};
  std::map<std::pair<std::string, std::string>, std::vector<SampleOutcome>> outcomes;
  ASSAY_TRY_STATUS(store.for_each_verdict([&](const SampleRecord& record, int tokens) -> Status {
    const Completion& completion = record.completion;
    const Verdict& verdict = record.verdict;
    outcomes[{completion.id.suite, completion.id.item_id}].push_back(
        {verdict.correctness, completion.finish_reason == FinishReason::kLength, verdict.has_answer,
         verdict.answer, tokens, verdict.values, completion.thought_tokens,
         completion.id.sample_index, verdict.rule});
    return {};
  }));
  for (SuiteOutcomes& suite : run.suites) {
    for (const StoredItem& stored : items) {
      if (stored.item.suite != suite.plan.suite) continue;
      const auto group = stored.item.fields.find("group");
      suite.item_ids.push_back(stored.item.id);
      suite.groups.push_back(group == stored.item.fields.end() ? "" : group->second);
      suite.questions.push_back(std::move(outcomes[{suite.plan.suite, stored.item.id}]));
    }
  }
  return run;
}

}  // namespace assay
