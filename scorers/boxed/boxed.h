// Scores the last \boxed{…} after the thought, by math/equal.h.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "scorers/scorer.h"

namespace assay {

// The content of the last balanced, non-empty \boxed{…} or \fbox{…} of `text`; linear time.
std::optional<std::string> last_boxed(std::string_view text);

// The part of a completion that answers: what follows the last </think>. Nothing for a thought that
// never ended. `opens_thought`: the prompt ended inside <think>.
std::optional<std::string_view> answer_part(std::string_view text, bool opens_thought);

// What can be said of a completion before it is read: an engine's error, a cut, a thought that
// never ended. Without a rule if it is to be read.
Verdict unanswered(const Completion& completion);

class BoxedScorer : public Scorer {
 public:
  std::string id() const override { return "boxed/2"; }
  Verdict score(const Item& item, const Completion& completion) const override;
  bool same_answer(std::string_view a, std::string_view b) const override;
};

}  // namespace assay
