// Any text as a completion: every scorer reads it, in every format that it knows.
#include <map>
#include <memory>
#include <string>

#include "harness/base/check.h"
#include "harness/base/text.h"
#include "scorers/ifeval/instructions.h"
#include "scorers/judge/judgment.h"
#include "scorers/scorer.h"

namespace {

using namespace assay;

const std::vector<std::unique_ptr<Scorer>>& scorers() {
  static const std::vector<std::unique_ptr<Scorer>> kScorers = [] {
    std::vector<std::unique_ptr<Scorer>> all;
    for (const char* name :
         {"choice", "choice:official", "choice_number", "bbh", "hle", "judged", "ifeval"}) {
      auto scorer = make_scorer(name);
      CHECK(scorer.ok());
      all.push_back(std::move(*scorer));
    }
    return all;
  }();
  return kScorers;
}

Item item() {
  Item item;
  item.gold = "A";
  item.fields["options"] = R"(["one", "two", "three"])";
  item.fields["option_order"] = "by item and sample";
  item.fields["answer_type"] = "exactMatch";
  item.fields["instruction_id_list"] =
      R"(["length_constraints:number_sentences", "change_case:capital_word_frequency",
          "detectable_format:number_highlighted_sections", "detectable_format:json_format",
          "language:response_language", "length_constraints:nth_paragraph_first_word",
          "detectable_format:title", "keywords:forbidden_words"])";
  item.fields["kwargs"] =
      R"([{"relation": "at least", "num_sentences": 2},
          {"capital_relation": "less than", "capital_frequency": 2}, {"num_highlights": 2}, {},
          {"language": "de"}, {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "a"}, {},
          {"forbidden_words": ["a"]}])";
  return item;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Item kItem = item();
  Completion completion;
  completion.finish_reason = FinishReason::kStop;
  completion.text = to_valid_utf8({reinterpret_cast<const char*>(data), size});
  for (const auto& scorer : scorers()) {
    const Verdict verdict = scorer->score(kItem, completion);
    if (verdict.has_answer) CHECK(scorer->same_answer(verdict.answer, verdict.answer));
  }
  (void)parse_preference(completion.text);
  (void)parse_rating(completion.text);
  (void)parse_correctness(completion.text);
  (void)style_of(completion.text);
  return 0;
}
