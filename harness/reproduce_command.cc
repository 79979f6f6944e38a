#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <set>

#include "harness/base/file.h"
#include "harness/base/text.h"
#include "harness/commands.h"
#include "harness/diagnosis.h"
#include "harness/run_flags.h"
#include "results/reproduce.h"
#include "results/table.h"
#include "suites/published.h"
#include "suites/suite.h"

namespace assay {
namespace {

struct ReproduceArguments {
  std::string model, published_as;
  double margin_points = 2;
  ReproduceOptions options;
  bool json = false;
  RunOptions run;
};

struct ScoreRow {
  PublishedScore score;
  int published_n = 0;
  std::string unfit;  // why there is no verdict
  Reproduction result;
  std::vector<Suspect> suspects;
};

std::string base_name(const std::string& path) {
  std::string name = path;
  while (name.size() > 1 && name.ends_with('/')) name.pop_back();
  return name.substr(name.rfind('/') + 1);
}

// The published scores of the model; of those that name a quantization only the model's own.
std::vector<PublishedScore> scores_of(const Published& published, const std::string& name) {
  std::vector<PublishedScore> scores;
  for (const PublishedScore& score : published.scores) {
    if (!names_model(name, score.model)) continue;
    if (!score.quantization.empty() && !names_model(name, score.quantization)) continue;
    scores.push_back(score);
  }
  return scores;
}

Error no_scores(const std::string& name, const Published& published) {
  std::set<std::string> models;
  for (const PublishedScore& score : published.scores) models.insert(score.model);
  return Error{fmt::format("{}: no published scores are known for it; name one with --as: {}",
                           quote_for_message(name),
                           join(std::vector<std::string>(models.begin(), models.end()), ", "))};
}

// The metric's value and its error under new samples; nothing where the run has none.
struct MetricValue {
  double value, se;
};
std::optional<MetricValue> metric_of(const SuiteSummary& summary, const std::string& metric) {
  // One sample a question says nothing of its error, which is at most that of chance alone.
  const auto of = [&](const Estimate& estimate) {
    const double chance = std::sqrt(estimate.value * (1 - estimate.value) / summary.questions);
    return MetricValue{estimate.value, estimate.sampling_se.value_or(chance)};
  };
  const auto of_measured = [&](const Measured& measured) {
    return MetricValue{measured.value, measured.sampling_se.value_or(measured.question_se)};
  };
  if (metric == "pass@1" || metric == "accuracy") return of(summary.pass_at_1);
  for (const auto& [prefix, by_k] :
       {std::pair("pass@", &summary.pass_at_k), std::pair("cons@", &summary.cons_at_k)}) {
    for (const auto& [k, estimate] : *by_k) {
      if (metric == prefix + std::to_string(k)) return of(estimate);
    }
  }
  if (metric == "macro" && summary.macro) return of_measured(*summary.macro);
  if (metric == "normalised" && summary.normalised) return of_measured(*summary.normalised);
  return std::nullopt;
}

Result<std::vector<ScoreRow>> judge_scores(const ReproduceArguments& arguments, RunStore& store,
                                           const std::vector<PublishedScore>& scores,
                                           const Published& published) {
  ASSAY_TRY(const Report report, make_report(store, same_answer_of));
  if (!report.missing.empty()) return Error{store.folder() + ": " + format_missing(report)};
  ASSAY_TRY(const RunOutcomes run, load_outcomes(store));
  std::vector<ScoreRow> rows;
  for (const PublishedScore& score : scores) {
    const auto summary =
        std::find_if(report.suites.begin(), report.suites.end(),
                     [&](const SuiteSummary& s) { return s.suite == score.suite; });
    if (summary == report.suites.end()) continue;
    const auto outcomes = std::find_if(run.suites.begin(), run.suites.end(),
                                       [&](const auto& s) { return s.plan.suite == score.suite; });
    ScoreRow row;
    row.score = score;
    ASSAY_TRY(const Suite suite, find_suite(score.suite));
    row.published_n = score.n > 0 ? score.n : suite.num_samples;
    const auto value = metric_of(*summary, score.metric);
    if (!value) {
      row.unfit = fmt::format("{} needs more samples than {} a question, or is none of the suite's",
                              score.metric, summary->num_samples);
    } else {
      row.result = reproduce({value->value, value->se, summary->num_samples, summary->questions},
                             score.value / 100, row.published_n, 0.001, arguments.options);
      if (row.result.verdict != ReproduceVerdict::kReproduced) {
        ASSAY_TRY(row.suspects, diagnose(store, run, *outcomes, score, published, value->se));
      }
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string verdict_of(const ScoreRow& row) {
  if (!row.unfit.empty()) return "no verdict: " + row.unfit;
  if (row.result.verdict != ReproduceVerdict::kUndecided) return to_string(row.result.verdict);
  return row.result.samples_to_decide
             ? fmt::format("undecided: n = {} would settle it", *row.result.samples_to_decide)
             : "undecided: the published n is too small to settle it";
}

void print_rows(const ReproduceArguments& arguments, const std::vector<ScoreRow>& rows) {
  std::vector<TableRow> table = {
      {"suite", {"metric", "published", "n", "here", "difference", "90 %", "verdict"}}};
  const int level = static_cast<int>(std::lround(100 * (1 - 2 * arguments.options.alpha)));
  table[0].cells[5] = fmt::format("{} %", level);
  for (const ScoreRow& row : rows) {
    const Reproduction& result = row.result;
    const bool judged = row.unfit.empty();
    const std::string n =
        row.score.n > 0 ? std::to_string(row.score.n) : fmt::format("{}?", row.published_n);
    table.push_back({row.score.suite,
                     {row.score.metric, fmt::format("{:g}", row.score.value), n,
                      judged ? percent(result.value) : "–",
                      judged ? fmt::format("{:+.1f}", 100 * result.difference) : "–",
                      judged ? fmt::format("[{:+.1f}, {:+.1f}]", 100 * result.interval.lower,
                                           100 * result.interval.upper)
                             : "–",
                      verdict_of(row)}});
  }
  fmt::print("{}\n", format_table(table));
  for (const ScoreRow& row : rows) {
    fmt::print("  {} {} {:g}: {}{}{}\n", row.score.suite, row.score.metric, row.score.value,
               row.score.source,
               row.score.quantization.empty() ? "" : ", " + row.score.quantization,
               row.score.note.empty() ? "" : "; " + row.score.note);
  }
  std::set<std::string> diagnosed;
  for (const ScoreRow& row : rows) {
    if (row.suspects.empty() || !diagnosed.insert(row.score.suite).second) continue;
    fmt::print("\n  {} {} {:g}, {:+.1f} points: what could explain it, at most\n", row.score.suite,
               row.score.metric, row.score.value, 100 * row.result.difference);
    for (const Suspect& suspect : row.suspects) {
      fmt::print("    {:>5}  {}: {}\n", suspect.points ? percent(*suspect.points) : "?",
                 suspect.name, suspect.detail);
    }
  }
  fmt::print(
      "\n  Reproduced: the {} % interval of the difference lies within ±{:g} points (two one-sided "
      "tests at {:g}); not reproduced: it lies outside. The questions are fixed; both n count. "
      "\"?\": "
      "n is not stated, the suite's is taken.\n",
      level, arguments.margin_points, arguments.options.alpha);
}

void print_json(const std::vector<ScoreRow>& rows) {
  OrderedJson json = OrderedJson::array();
  for (const ScoreRow& row : rows) {
    OrderedJson entry = {{"suite", row.score.suite},    {"model", row.score.model},
                         {"metric", row.score.metric},  {"published", row.score.value},
                         {"source", row.score.source},  {"published_n", row.published_n},
                         {"n_stated", row.score.n > 0}, {"verdict", verdict_of(row)}};
    if (row.unfit.empty()) {
      entry["value"] = 100 * row.result.value;
      entry["difference"] = 100 * row.result.difference;
      entry["interval"] = {100 * row.result.interval.lower, 100 * row.result.interval.upper};
    }
    for (const Suspect& suspect : row.suspects) {
      entry["suspects"].push_back(
          {{"name", suspect.name},
           {"detail", suspect.detail},
           {"points", suspect.points ? OrderedJson(100 * *suspect.points) : OrderedJson()}});
    }
    json.push_back(std::move(entry));
  }
  fmt::print("{}\n", dump_json(json, 2));
}

Status reproduce_scores(ReproduceArguments& arguments, int* exit_code) {
  arguments.options.margin = arguments.margin_points / 100;
  ASSAY_TRY(const Published published, load_published());
  std::string folder = arguments.model, name = arguments.published_as;
  const bool finished = file_exists(arguments.model + "/run.sqlite");
  if (finished && name.empty()) {
    ASSAY_TRY(RunStore store, RunStore::open(folder, RunStore::Mode::kRead));
    ASSAY_TRY(const RunOutcomes run, load_outcomes(store));
    name = run.model;
  } else if (name.empty()) {
    name = base_name(arguments.model);
  }
  const std::vector<PublishedScore> scores = scores_of(published, name);
  if (scores.empty()) return no_scores(name, published);
  if (!finished) {
    RunOptions run = arguments.run;
    run.model = arguments.model;
    if (run.tasks.empty()) {
      // What can be had at once: suites of questions that have a score and right and wrong.
      std::set<std::string> suites;
      for (const PublishedScore& score : scores) suites.insert(score.suite);
      for (const std::string& suite : suites) {
        ASSAY_TRY(const Suite found, find_suite(suite));
        if (found.components.empty() && found.command.empty() && !found.judge) {
          run.tasks.push_back(suite);
        }
      }
    }
    ASSAY_TRY(const auto complete, complete_run(run));
    if (!complete) {
      *exit_code = kExitIncomplete;
      return {};
    }
    folder = *complete;
  }
  ASSAY_TRY(RunStore store, RunStore::open(folder, RunStore::Mode::kRead));
  ASSAY_TRY(const std::vector<ScoreRow> rows, judge_scores(arguments, store, scores, published));
  if (rows.empty()) {
    return Error{fmt::format("{}: none of its suites has a published score of {}", folder,
                             quote_for_message(name))};
  }
  arguments.json ? print_json(rows) : print_rows(arguments, rows);
  const auto has = [&](ReproduceVerdict verdict) {
    return std::any_of(rows.begin(), rows.end(), [&](const ScoreRow& row) {
      return row.unfit.empty() && row.result.verdict == verdict;
    });
  };
  *exit_code = has(ReproduceVerdict::kNotReproduced) ? kExitFailed
               : has(ReproduceVerdict::kUndecided)   ? kExitIncomplete
                                                     : kExitDone;
  return {};
}

}  // namespace

void add_reproduce_command(CLI::App& app, int* exit_code) {
  auto arguments = std::make_shared<ReproduceArguments>();
  ReproduceArguments& a = *arguments;
  CLI::App* command = app.add_subcommand("reproduce", "Hold a model against its published scores");
  command->add_option("model", a.model, "Model, or the folder of a finished run")->required();
  command->add_option("--as", a.published_as,
                      "The published model, where the file's name does not say it");
  command->add_option("--margin", a.margin_points, "Points within which scores are the same")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 100.0));
  command->add_option("--alpha", a.options.alpha, "Of each of the two one-sided tests")
      ->capture_default_str()
      ->check(CLI::Range(1e-6, 0.4));
  command->add_flag("--json", a.json, "Print JSON");
  add_sampling_flags(*command, a.run);
  command->footer(
      "Examples:\n"
      "  assay reproduce builtin\n"
      "  assay reproduce DeepSeek-R1-Distill-Qwen-7B-Q8_0.gguf --tasks math500:4,aime24:64\n"
      "  assay reproduce runs/my-r1-run --as R1-Distill-Qwen-7B\n"
      "Exit code: 0 all reproduced, 1 one was not, 3 one is undecided.");
  command->callback([arguments, exit_code] {
    const Status status = reproduce_scores(*arguments, exit_code);
    if (!status.ok()) *exit_code = fail(status.error());
  });
}

}  // namespace assay
