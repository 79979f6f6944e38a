#include "scorers/scorer.h"

#include <fmt/format.h>

#include "harness/base/text.h"
#include "scorers/boxed/boxed.h"
#include "scorers/choice/choice.h"

namespace assay {

Result<std::unique_ptr<Scorer>> make_scorer(const std::string& name) {
  if (name == "boxed") return std::unique_ptr<Scorer>(std::make_unique<BoxedScorer>());
  if (name == "choice") return std::unique_ptr<Scorer>(std::make_unique<ChoiceScorer>());
  return Error{
      fmt::format("there is no scorer {}; there are boxed and choice", quote_for_message(name))};
}

}  // namespace assay
