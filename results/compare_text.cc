#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "harness/base/text.h"
#include "results/compare.h"
#include "results/table.h"

namespace assay {
namespace {

std::string points(double difference) { return fmt::format("{:+.1f}", 100 * difference); }

std::string p_value(double p) { return p < 0.001 ? "< 0.001" : fmt::format("{:.3f}", p); }

std::string number_of(const OrderedJson& json, const char* key, double scale, const char* unit,
                      int digits) {
  if (!json.contains(key) || !json[key].is_number()) return "–";
  return fmt::format("{:.{}f}{}", json[key].get<double>() / scale, digits, unit);
}

std::string format_models(const Comparison& comparison, int context) {
  std::vector<TableRow> rows = {{"model",
                                 {"bits a weight", "file", "weights in memory",
                                  fmt::format("KV of {} tokens", context), "arithmetic"}}};
  for (const ComparedRun& run : comparison.runs) {
    const OrderedJson size = run.environment.value("model_size", OrderedJson::object());
    std::string kv = "–";
    if (size.contains("kv_bytes_per_token")) {
      kv = fmt::format("{:.1f} MB", size["kv_bytes_per_token"].get<double>() * context / 1e6);
    }
    const std::string arithmetic = run.model.value("device", std::string("cpu")) + " " +
                                   run.model.value("activations", std::string("?")) + "/" +
                                   run.model.value("kv_cache", std::string("?"));
    rows.push_back({run.name,
                    {number_of(size, "bits_per_weight", 1, "", 2),
                     number_of(size, "file_bytes", 1e6, " MB", 1),
                     number_of(size, "weights_bytes", 1e6, " MB", 1), kv,
                     run.model.contains("activations") ? arithmetic : "–"}});
  }
  return format_table(rows);
}

std::string format_suite(const Comparison& comparison, const std::string& suite) {
  std::vector<TableRow> rows = {
      {suite,
       {"pass@1", "difference", "95 %", "McNemar p", "permutation p", "right→wrong", "wrong→right",
        "identical", "parts at", "verdict"}}};
  bool base_shown = false;
  for (size_t i = 1; i < comparison.runs.size(); ++i) {
    const ComparedRun& run = comparison.runs[i];
    const auto found = std::find_if(run.suites.begin(), run.suites.end(),
                                    [&](const PairedSuite& s) { return s.suite == suite; });
    if (found == run.suites.end()) continue;
    if (!base_shown) rows.push_back({comparison.runs[0].name, {percent(found->base)}});
    base_shown = true;
    std::string identical = "–", parts_at = "–";
    const auto first = run.first_difference.find(suite);
    if (first != run.first_difference.end() && first->second.pairs > 0) {
      const FirstDifference& tokens = first->second;
      identical =
          percent(static_cast<double>(tokens.identical) / static_cast<double>(tokens.pairs)) + " %";
      if (tokens.identical < tokens.pairs) parts_at = fmt::format("{:.0f}", tokens.median_tokens);
    }
    rows.push_back({run.name,
                    {percent(found->other), points(found->difference),
                     fmt::format("[{}, {}]", points(found->interval_95.lower),
                                 points(found->interval_95.upper)),
                     p_value(found->mcnemar_p), p_value(found->permutation_p),
                     std::to_string(found->right_to_wrong), std::to_string(found->wrong_to_right),
                     identical, parts_at, verdict_text(*found, comparison.options)}});
  }
  return base_shown ? format_table(rows) + "\n" : "";
}

std::string format_divergence(const ComparedRun& run, const std::string& base) {
  if (run.divergence.empty()) return {};
  std::vector<TableRow> rows = {
      {"tokens of",
       {"count", "mean KLD", "p50", "p90", "p99", "max", "same best", "Δp mean", "Δp rms"}}};
  for (const DivergenceRow& row : run.divergence) {
    rows.push_back(
        {row.part,
         {with_commas(static_cast<uint64_t>(row.tokens)), fmt::format("{:.5f}", row.mean),
          fmt::format("{:.5f}", row.p50), fmt::format("{:.5f}", row.p90),
          fmt::format("{:.4f}", row.p99), fmt::format("{:.3f}", row.max),
          percent(row.same_best) + " %", fmt::format("{:+.2f} %", 100 * row.mean_change),
          fmt::format("{:.2f} %", 100 * row.rms_change)}});
  }
  return fmt::format("{} beside {}, along the base's samples; KLD in nats\n{}\n", run.name, base,
                     format_table(rows));
}

std::string format_perplexities(const Comparison& comparison) {
  if (comparison.runs[0].perplexity == 0) return {};
  std::vector<TableRow> rows = {{"perplexity of the text", {"", "±"}}};
  for (const ComparedRun& run : comparison.runs) {
    rows.push_back(
        {run.name,
         {fmt::format("{:.4f}", run.perplexity), fmt::format("{:.4f}", run.perplexity_se)}});
  }
  return format_table(rows) + "\n";
}

}  // namespace

std::string verdict_text(const PairedSuite& suite, const CompareOptions& options) {
  switch (suite.verdict) {
    case CompareVerdict::kNoLoss:
      return fmt::format("no loss beyond {:g} points", 100 * options.margin);
    case CompareVerdict::kSmallLoss:
      return fmt::format("loss of {:.1f} points, less than {:g}", -100 * suite.difference,
                         100 * options.margin);
    case CompareVerdict::kLoss:
      return fmt::format("loss of {:.1f} points", -100 * suite.difference);
    case CompareVerdict::kUndecided:
      break;
  }
  const int64_t now = suite.pairs / std::max(1, suite.questions);
  const int64_t more = std::max<int64_t>(1, suite.samples_to_decide - now);
  return fmt::format("undecided: {} samples a question more",
                     with_commas(static_cast<uint64_t>(more)));
}

std::string format_comparison(const Comparison& comparison, int context) {
  std::string out = format_models(comparison, context) + "\n";
  for (const std::string& suite : comparison.suites) out += format_suite(comparison, suite);
  for (size_t i = 1; i < comparison.runs.size(); ++i) {
    out += format_divergence(comparison.runs[i], comparison.runs[0].name);
  }
  out += format_perplexities(comparison);
  for (size_t i = 1; i < comparison.runs.size(); ++i) {
    for (const std::string& warning : comparison.runs[i].warnings) {
      out += fmt::format("  {}: {}\n", comparison.runs[i].name, warning);
    }
  }
  return out +
         fmt::format(
             "  Differences in points, on these questions. A loss is found at {:g} over all "
             "rows (McNemar, Holm); no loss beyond {:g} points has the one-sided bound at {:g}.\n"
             "  Identical: pairs with the same tokens; parts at: median token of the others' first "
             "difference.\n",
             comparison.options.alpha, 100 * comparison.options.margin, comparison.options.alpha);
}

OrderedJson comparison_json(const Comparison& comparison) {
  OrderedJson json;
  json["margin"] = comparison.options.margin;
  json["alpha"] = comparison.options.alpha;
  for (const ComparedRun& run : comparison.runs) {
    OrderedJson entry = {{"model", run.name}, {"run", run.folder}};
    entry["identity"] = run.model;
    entry["model_size"] = run.environment.value("model_size", OrderedJson::object());
    for (const PairedSuite& suite : run.suites) {
      OrderedJson row = {
          {"suite", suite.suite},
          {"questions", suite.questions},
          {"pairs", suite.pairs},
          {"unpaired", suite.unpaired},
          {"base", suite.base},
          {"pass@1", suite.other},
          {"difference", suite.difference},
          {"interval_95", {suite.interval_95.lower, suite.interval_95.upper}},
          {"sampling_se", suite.sampling_se ? OrderedJson(*suite.sampling_se) : OrderedJson()},
          {"question_se", suite.question_se},
          {"right_to_wrong", suite.right_to_wrong},
          {"wrong_to_right", suite.wrong_to_right},
          {"mcnemar_p", suite.mcnemar_p},
          {"permutation_p", suite.permutation_p},
          {"adjusted_p", suite.adjusted_p},
          {"samples_to_decide", suite.samples_to_decide},
          {"verdict", verdict_text(suite, comparison.options)}};
      if (const auto first = run.first_difference.find(suite.suite);
          first != run.first_difference.end()) {
        row["identical_samples"] = first->second.identical;
        row["median_same_tokens"] = first->second.median_tokens;
      }
      entry["suites"].push_back(std::move(row));
    }
    for (const DivergenceRow& row : run.divergence) {
      entry["kl_divergence"].push_back({{"part", row.part},
                                        {"tokens", row.tokens},
                                        {"mean", row.mean},
                                        {"p50", row.p50},
                                        {"p90", row.p90},
                                        {"p99", row.p99},
                                        {"max", row.max},
                                        {"same_best", row.same_best},
                                        {"mean_probability_change", row.mean_change},
                                        {"rms_probability_change", row.rms_change}});
    }
    if (run.perplexity > 0) {
      entry["perplexity"] = {{"value", run.perplexity}, {"se", run.perplexity_se}};
    }
    if (!run.warnings.empty()) entry["warnings"] = run.warnings;
    json["runs"].push_back(std::move(entry));
  }
  return json;
}

}  // namespace assay
