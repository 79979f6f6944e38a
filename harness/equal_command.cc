#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <sstream>

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "harness/commands.h"
#include "scorers/math/equal.h"
#include "scorers/math/extract.h"

namespace assay {
namespace {

constexpr const char* name_of(math::Truth truth) {
  return truth == math::Truth::kEqual       ? "correct"
         : truth == math::Truth::kDifferent ? "incorrect"
                                            : "unscored";
}

int show_pair(const std::string& gold, const std::string& answer) {
  const std::string a = math::extract_answer(gold), b = math::extract_answer(answer);
  const math::Decision decision = math::compare(a, b);
  fmt::print("{}  by {}\n  gold    {}\n  answer  {}\n", name_of(decision.truth), decision.rule,
             math::read_form(a), math::read_form(b));
  return decision.truth == math::Truth::kEqual ? kExitDone : 1;
}

struct Counts {
  int pairs = 0, agree = 0, false_correct = 0, false_incorrect = 0, unscored = 0;
  double seconds = 0, worst_ms = 0;
};

// Pairs {gold, pred, label} of a JSONL file: how often the verdict is the label.
Result<Counts> check_pairs(const std::string& path) {
  ASSAY_TRY(const std::string text, read_file(path));
  Counts counts;
  int line_number = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    ++line_number;
    if (trim(line).empty()) continue;
    const Json row = Json::parse(line, nullptr, false);
    if (!row.is_object() || !row.contains("gold") || !row["gold"].is_string() ||
        !row.contains("pred") || !row["pred"].is_string() || !row.contains("label") ||
        !row["label"].is_number_integer()) {
      return Error{
          fmt::format("{}:{}: a pair is {{\"gold\": text, \"pred\": text, \"label\": 0|1}}", path,
                      line_number)};
    }
    const std::string gold = row["gold"], answer = row["pred"];
    const bool label = row["label"] == 1;
    const auto begin = std::chrono::steady_clock::now();
    const math::Decision decision =
        math::compare(math::extract_answer(gold), math::extract_answer(answer));
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    counts.seconds += time.count();
    counts.worst_ms = std::max(counts.worst_ms, 1e3 * time.count());
    ++counts.pairs;
    const bool unscored = decision.truth == math::Truth::kUnknown;
    const bool agrees = !unscored && (decision.truth == math::Truth::kEqual) == label;
    counts.agree += agrees ? 1 : 0;
    counts.unscored += unscored ? 1 : 0;
    if (agrees) continue;
    if (!unscored) ++(label ? counts.false_incorrect : counts.false_correct);
    fmt::print("{}:{}  {} by {}, label {}\n  gold    {}\n  answer  {}\n", path, line_number,
               name_of(decision.truth), decision.rule, label ? "equal" : "different", gold, answer);
  }
  return counts;
}

int show_agreement(const std::string& path) {
  const auto counts = check_pairs(path);
  if (!counts.ok()) return fail(counts.error());
  if (counts->pairs == 0) return fail(Error{path + ": there are no pairs in it"});
  fmt::print(
      "{} pairs: {} agree ({:.2f} %), {} false correct, {} false incorrect, {} unscored; {:.0f} "
      "pairs/s, worst {:.1f} ms\n",
      counts->pairs, counts->agree, 100.0 * counts->agree / counts->pairs, counts->false_correct,
      counts->false_incorrect, counts->unscored, counts->pairs / std::max(counts->seconds, 1e-9),
      counts->worst_ms);
  return counts->agree == counts->pairs ? kExitDone : 1;
}

}  // namespace

void add_equal_command(CLI::App& app, int* exit_code) {
  struct Options {
    std::string gold, answer, pairs;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("equal", "Decide whether two mathematical answers are the same");
  command->add_option("gold", options->gold, "The right answer, LaTeX or text");
  command->add_option("answer", options->answer, "The other one");
  command->add_option("--pairs", options->pairs,
                      "A JSONL file of {gold, pred, label}: print what differs from the labels");
  command->footer(
      "Examples:\n"
      "  assay equal '\\frac{1}{2}' '0.5'\n"
      "  assay equal --pairs pairs.jsonl\n"
      "Exit code: 0 the same (or all labels), 1 not.");
  command->callback([options, exit_code] {
    if (!options->pairs.empty()) {
      *exit_code = show_agreement(options->pairs);
    } else if (options->gold.empty() || options->answer.empty()) {
      *exit_code = fail(Error{"equal: needs two answers, or --pairs FILE"});
    } else {
      *exit_code = show_pair(options->gold, options->answer);
    }
  });
}

}  // namespace assay
