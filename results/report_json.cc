#include <fmt/format.h>

#include "results/report.h"

namespace assay {
namespace {

OrderedJson measured_json(const Measured& measured) {
  OrderedJson json = {{"name", measured.measure.name},
                      {"unit", measured.measure.unit},
                      {"samples", measured.samples},
                      {"value", measured.value}};
  if (measured.unbounded) json["unbounded"] = true;
  if (measured.percentile) json["percentile"] = 100 * *measured.percentile;
  if (measured.interval) {
    json["interval_95"] = {measured.interval->lower, measured.interval->upper};
  } else if (measured.measure.method == "mean") {
    json["question_se"] = measured.question_se;
    if (measured.sampling_se) json["sampling_se"] = *measured.sampling_se;
  }
  return json;
}

OrderedJson interval_json(const std::optional<Interval>& interval) {
  return interval ? OrderedJson{interval->lower, interval->upper} : OrderedJson();
}

// "pass@1", "pass@1_sampling_se", …; null for what one sample or one question cannot tell.
void add_estimate(const std::string& name, const Estimate& estimate, OrderedJson& json) {
  json[name] = estimate.value;
  json[name + "_sampling_se"] =
      estimate.sampling_se ? OrderedJson(*estimate.sampling_se) : OrderedJson();
  json[name + "_sampling_95"] = interval_json(estimate.sampling_95);
  json[name + "_question_se"] = estimate.question_se;
  json[name + "_question_95"] = interval_json(estimate.question_95);
}

}  // namespace

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
    if (summary.bare > 0) entry["programs_without_jail"] = summary.bare;
    add_estimate("pass@1", summary.pass_at_1, entry);
    for (const auto& [k, estimate] : summary.pass_at_k) {
      if (k > 1) add_estimate(fmt::format("pass@{}", k), estimate, entry);
    }
    for (const auto& [k, estimate] : summary.cons_at_k) {
      add_estimate(fmt::format("cons@{}", k), estimate, entry);
    }
    for (const auto& [budget, value] : summary.pass_at_1_by_budget) {
      entry["pass@1_by_max_tokens"][std::to_string(budget)] = value;
    }
    if (summary.macro) entry["macro"] = measured_json(*summary.macro);
    if (summary.normalised) entry["normalised"] = measured_json(*summary.normalised);
    for (const Measured& measured : summary.measures) {
      entry["measures"].push_back(measured_json(measured));
    }
    for (const auto& [group, score] : summary.groups) {
      OrderedJson& of_group = entry["groups"][group];
      of_group["questions"] = score.questions;
      add_estimate("pass@1", score.pass_at_1, of_group);
      if (score.measured) of_group["measured"] = measured_json(*score.measured);
    }
    const TokenStats& tokens = summary.tokens;
    entry["tokens"] = {{"mean", tokens.mean},       {"p50", tokens.p50},
                       {"p95", tokens.p95},         {"max", tokens.max},
                       {"thought", tokens.thought}, {"per_correct", tokens.per_correct}};
    entry["truncation_rate"] = summary.truncation_rate;
    entry["no_answer_rate"] = summary.no_answer_rate;
    entry["completion_tokens"] = summary.tokens.total;
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
      if (composite.sampling_se) entry["sampling_se"] = *composite.sampling_se;
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
