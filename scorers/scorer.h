// A scorer judges one completion against one item's gold answer.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "harness/base/nouns.h"
#include "harness/base/result.h"

namespace assay {

// Pure and thread-safe. The texts are hostile: any input gives a verdict in bounded time.
class Scorer {
 public:
  virtual ~Scorer() = default;
  // Name and version, "boxed/1". The version is raised whenever a verdict can change.
  virtual std::string id() const = 0;
  // The rules that a verdict can name, in the order in which they are tried; for people.
  virtual std::string rules() const = 0;
  virtual Verdict score(const Item& item, const Completion& completion) const = 0;
  // Whether two extracted answers are one answer, for the vote of cons@k.
  virtual bool same_answer(std::string_view a, std::string_view b) const = 0;
};

// "boxed", "choice", "choice_number", "bbh", "ifeval", "hle", "judged"; "boxed:strict" takes an
// answer only as it is written, "choice:official" is MMLU-Pro's own extraction, which takes the
// first statement and guesses a letter where it finds none (by a hash of item and sample). Other
// scorers are the same under both. "code_tests:all_tests" runs the tests behind the first that
// fails, too; the verdict is the same.
Result<std::unique_ptr<Scorer>> make_scorer(const std::string& name);

}  // namespace assay
