#include "scorers/scorer.h"

#include <fmt/format.h>

#include "harness/base/text.h"
#include "scorers/bbh/bbh.h"
#include "scorers/boxed/boxed.h"
#include "scorers/choice/choice.h"
#include "scorers/code/code.h"
#include "scorers/hle/hle.h"
#include "scorers/ifeval/ifeval.h"
#include "scorers/judge/judgment.h"

namespace assay {

Result<std::unique_ptr<Scorer>> make_scorer(const std::string& name) {
  const size_t colon = name.find(':');
  const std::string kind = name.substr(0, colon);
  const std::string grader = colon == std::string::npos ? "default" : name.substr(colon + 1);
  const bool all_tests = kind == "code_tests" && grader == "all_tests";
  if (grader != "default" && grader != "strict" && grader != "official" && !all_tests) {
    return Error{
        fmt::format("--grader {}: must be default, strict or official", quote_for_message(grader))};
  }
  const bool official = grader == "official";
  std::unique_ptr<Scorer> scorer;
  if (kind == "boxed") scorer = std::make_unique<BoxedScorer>(grader == "strict");
  if (kind == "choice") scorer = std::make_unique<ChoiceScorer>(OptionLabels::kLetters, official);
  if (kind == "choice_number") {
    scorer = std::make_unique<ChoiceScorer>(OptionLabels::kNumbers, official);
  }
  if (kind == "bbh") scorer = std::make_unique<BbhScorer>();
  if (kind == "ifeval") scorer = std::make_unique<IfevalScorer>();
  if (kind == "hle") scorer = std::make_unique<HleScorer>();
  if (kind == "judged") scorer = std::make_unique<JudgedScorer>();
  if (kind == "humaneval") scorer = std::make_unique<CodeScorer>(CodeScorer::Kind::kHumanEval);
  if (kind == "humaneval_plus") {
    scorer = std::make_unique<CodeScorer>(CodeScorer::Kind::kHumanEvalPlus);
  }
  if (kind == "code_tests")
    scorer = std::make_unique<CodeScorer>(CodeScorer::Kind::kTests, all_tests);
  if (scorer) return scorer;
  return Error{
      fmt::format("there is no scorer {}; there are boxed, choice, choice_number, bbh, ifeval, "
                  "hle, judged, humaneval, humaneval_plus and code_tests",
                  quote_for_message(kind))};
}

}  // namespace assay
