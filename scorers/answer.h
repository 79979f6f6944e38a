// The part of a completion that a scorer reads.
#pragma once

#include <re2/re2.h>

#include <optional>
#include <string>
#include <string_view>

#include "harness/base/nouns.h"

namespace assay {

// What follows the last </think>. Nothing for a thought that never ended. `opens_thought`: the
// prompt ended inside <think>.
std::optional<std::string_view> answer_part(std::string_view text, bool opens_thought);

// What can be said of a completion before it is read: an engine's error, a cut, a thought that
// never ended. Without a rule if it is to be read.
Verdict unanswered(const Completion& completion);

// What the pattern's first group captures last, or nothing; each match begins behind the one
// before.
std::string last_match(std::string_view text, const re2::RE2& pattern);

}  // namespace assay
