#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <memory>

#include "harness/base/text.h"
#include "harness/commands.h"
#include "results/compare.h"
#include "results/history.h"
#include "results/table.h"

namespace assay {
namespace {

struct HistoryArguments {
  std::string file = "assay-history.sqlite", commit, suite;
  std::vector<std::string> runs;
  double alpha = 0.01;
  size_t questions = 30;
};

Status add(const HistoryArguments& arguments) {
  ASSAY_TRY(History history, History::open(arguments.file));
  for (const std::string& folder : arguments.runs) {
    ASSAY_TRY(RunStore store, RunStore::open(folder, RunStore::Mode::kRead));
    ASSAY_TRY(const Report report, make_report(store, same_answer_of));
    if (!report.missing.empty()) return Error{folder + ": " + format_missing(report)};
    ASSAY_TRY(const RunOutcomes run, load_outcomes(store));
    ASSAY_TRY(const int added, history.add(run, folder, arguments.commit));
    if (added == 0) spdlog::info("{}: is in {} already", folder, arguments.file);
  }
  return {};
}

// A bar of eighths of a block, between the series' least and greatest score.
std::string level(double score, double least, double greatest) {
  constexpr const char* kBlocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  if (!(greatest > least)) return kBlocks[3];
  return kBlocks[static_cast<size_t>(7.999 * (score - least) / (greatest - least))];
}

void print_series(const std::vector<HistoryEntry>& series, double alpha) {
  std::vector<double> scores, errors;
  for (const HistoryEntry& entry : series) {
    scores.push_back(entry.pass_at_1);
    errors.push_back(entry.sampling_se);
  }
  const auto [least, greatest] = std::minmax_element(scores.begin(), scores.end());
  const std::vector<ChangePoint> changes = find_changes(scores, errors, alpha);
  std::vector<TableRow> rows = {
      {series.front().suite, {"commit", "model", "n", "pass@1", "± sampling", "", "change"}}};
  for (size_t i = 0; i < series.size(); ++i) {
    const HistoryEntry& entry = series[i];
    std::string change;
    for (const ChangePoint& point : changes) {
      if (point.index == i) {
        change = fmt::format("{:+.1f} points from here on (p {:.2g})",
                             100 * (point.after - point.before), point.p);
      }
    }
    rows.push_back({entry.added_at,
                    {entry.commit.empty() ? "–" : entry.commit.substr(0, 12), entry.model,
                     fmt::format("{} × {}", entry.questions, entry.num_samples),
                     percent(entry.pass_at_1), fmt::format("{:.2f}", 100 * entry.sampling_se),
                     level(entry.pass_at_1, *least, *greatest), change}});
  }
  fmt::print("{}\n", format_table(rows));
}

Status show(const HistoryArguments& arguments) {
  ASSAY_TRY(History history, History::open(arguments.file));
  ASSAY_TRY(const std::vector<HistoryEntry> entries, history.entries(arguments.suite));
  if (entries.empty()) {
    return Error{arguments.file + ": holds no runs" +
                 (arguments.suite.empty() ? "" : " of " + arguments.suite) +
                 "; `assay history add RUN` adds one"};
  }
  // A series is of one suite, asked and scored in one way.
  std::map<std::pair<std::string, std::string>, std::vector<HistoryEntry>> series;
  for (const HistoryEntry& entry : entries) series[{entry.suite, entry.setup}].push_back(entry);
  for (const auto& item : series) print_series(item.second, arguments.alpha);
  fmt::print("  A change: the levels before and after differ at {:g}, all places tried.\n",
             arguments.alpha);
  return {};
}

Status bisect(const HistoryArguments& arguments) {
  std::vector<RunOutcomes> runs;
  for (const std::string& folder : arguments.runs) {
    ASSAY_TRY(RunStore store, RunStore::open(folder, RunStore::Mode::kRead));
    ASSAY_TRY(RunOutcomes run, load_outcomes(store));
    runs.push_back(std::move(run));
  }
  for (const SuiteOutcomes& base : runs[0].suites) {
    const auto other = std::find_if(runs[1].suites.begin(), runs[1].suites.end(),
                                    [&](const auto& s) { return s.plan.suite == base.plan.suite; });
    if (other == runs[1].suites.end() || !base.plan.accuracy) continue;
    const TellingQuestions telling = telling_questions(base, *other, arguments.questions);
    std::vector<TableRow> rows = {{base.plan.suite, {"before", "after"}}};
    std::vector<std::string> ids;
    for (const TellingQuestion& question : telling.questions) {
      rows.push_back({question.item_id, {percent(question.base), percent(question.other)}});
      ids.push_back(question.item_id);
    }
    fmt::print("{}\n", format_table(rows));
    if (telling.power_samples > 0) {
      fmt::print(
          "  These {} questions with {} samples each tell the two apart (99 % power, 1 % error):\n"
          "  assay run --tasks {}:{} --questions {}\n\n",
          ids.size(), telling.power_samples, base.plan.suite, telling.power_samples,
          join(ids, ","));
    }
  }
  return {};
}

}  // namespace

void add_history_command(CLI::App& app, int* exit_code) {
  auto arguments = std::make_shared<HistoryArguments>();
  HistoryArguments& a = *arguments;
  CLI::App* command =
      app.add_subcommand("history", "Scores by commit: changes, and what shows them");
  command->require_subcommand(1);
  command->add_option("--file", a.file, "The SQLite file of the history")->capture_default_str();
  const auto finish = [exit_code](const Status& status) {
    *exit_code = status.ok() ? kExitDone : fail(status.error());
  };
  CLI::App* adding = command->add_subcommand("add", "Add finished runs");
  adding->add_option("runs", a.runs, "Run folders")->required();
  adding->add_option("--commit", a.commit, "Commit of what is tested (default: GITHUB_SHA)")
      ->envname("GITHUB_SHA");
  adding->callback([arguments, finish] { finish(add(*arguments)); });
  CLI::App* showing = command->add_subcommand("show", "Print the series and where they changed");
  showing->add_option("--suite", a.suite, "Only this suite");
  showing->add_option("--alpha", a.alpha, "Chance that a series without a change shows one")
      ->capture_default_str()
      ->check(CLI::Range(1e-9, 0.5));
  showing->callback([arguments, finish] { finish(show(*arguments)); });
  CLI::App* bisecting = command->add_subcommand(
      "bisect", "The questions that tell two runs apart, for a quick test of each commit between");
  bisecting->add_option("runs", a.runs, "The run before and the run after")
      ->required()
      ->expected(2);
  bisecting->add_option("--questions", a.questions, "How many")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  bisecting->callback([arguments, finish] { finish(bisect(*arguments)); });
  for (CLI::App* each : {adding, showing, bisecting}) each->fallthrough();
  command->footer(
      "Examples:\n"
      "  assay history add runs/nightly --commit $(git rev-parse HEAD)\n"
      "  assay history show --suite math500\n"
      "  assay history bisect runs/good runs/bad --questions 30");
}

}  // namespace assay
