#include "results/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace assay {
namespace {

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
    bool sampled = true;
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
        const Estimate& score_of_part = found->pass_at_1;
        const std::optional<Measured>& macro = found->macro;
        part.value = macro ? macro->value : score_of_part.value;
        const double se = macro ? macro->question_se : score_of_part.question_se;
        const auto sampling_se = macro ? macro->sampling_se : score_of_part.sampling_se;
        score.value += part.weight * part.value;
        sampled = sampled && sampling_se;
        sampling += std::pow(part.weight * sampling_se.value_or(0), 2);
        question += std::pow(part.weight * se, 2);
      }
      score.parts.push_back(std::move(part));
    }
    if (sampled) score.sampling_se = std::sqrt(sampling);
    score.question_se = std::sqrt(question);
    scores.push_back(std::move(score));
  }
  return scores;
}

}  // namespace

Result<Report> make_report(RunStore& store, const SameAnswerOf& same_answer_of) {
  ASSAY_TRY(const RunOutcomes run, load_outcomes(store));
  Report report;
  report.model = run.model;
  const OrderedJson& model = run.manifest["identity"]["model"];
  if (model.contains("server_profile")) {
    const std::string think = model.value("think", std::string());
    report.served = fmt::format(
        "through a server ({}), {}; thoughts {}", model.value("server_profile", std::string()),
        model.value("api", std::string()) == "chat" ? "messages in its own template"
                                                    : "prompts rendered here",
        think == "prefill"  ? "begun here, where suites ask for one"
        : think == "server" ? "as its template has them"
                            : "begun here: " + think);
  }
  report.sample_data = run.manifest["identity"].value("sample_data", false);
  ASSAY_TRY(report.sessions, store.total_sessions());
  for (const SuiteOutcomes& suite : run.suites) {
    const PlannedSuite& plan = suite.plan;
    for (size_t i = 0; i < suite.questions.size(); ++i) {
      const int present = static_cast<int>(suite.questions[i].size());
      if (present < plan.num_samples) {
        report.missing.push_back(
            {plan.suite, suite.item_ids[i], plan.num_samples - present, plan.num_samples});
      }
    }
    ASSAY_TRY(const SameAnswer same_answer, same_answer_of(plan.scorer));
    const SummaryOptions options{suite.groups, plan.macro,    plan.accuracy,  plan.consensus,
                                 plan.chance,  plan.measures, plan.max_tokens};
    report.suites.push_back(
        summarize(plan.suite, plan.num_samples, suite.questions, same_answer, options));
  }
  try {
    report.composites = composite_scores(run.manifest, report.suites);
  } catch (const OrderedJson::exception&) {
    return Error{store.folder() + ": its manifest's composites are damaged"};
  }
  return report;
}

}  // namespace assay
