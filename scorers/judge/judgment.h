// What a judge wrote, read; and the verdict on an answer from one or several judgments.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "scorers/scorer.h"

namespace assay {

// Of answer A over answer B: 2 for [[A>>B]], 1 for [[A>B]] or [[A]], 0 for [[A=B]] or [[C]], −1,
// −2. The last label counts; one in single brackets if there is none in double ones (Arena-Hard's
// two patterns, MT-Bench's pairwise form). Nothing if there is no label.
std::optional<int> parse_preference(std::string_view text);

// "[[7]]", else "[7]": the first such, as FastChat reads MT-Bench's ratings. From 1 to 10.
std::optional<double> parse_rating(std::string_view text);

struct Correctly {
  bool correct = false;
  std::optional<double> confidence;  // 0 to 1
};
// The last "correct: yes|no" and "confidence: 80%", also as members of a JSON object.
std::optional<Correctly> parse_correctness(std::string_view text);

// Judgments of one answer. Several judges give several of each.
// Pairwise: preferences of the model's answer over the baseline's, one a game (two a judge, the
// answers in both orders). A strong preference weighs 3 (Arena-Hard). Values: "won" of "games".
// Correct if more than half is won.
Verdict pairwise_verdict(const std::vector<int>& preferences);
// Value "rating", the mean; correct if it is over 5, the middle of the scale.
Verdict rating_verdict(const std::vector<double>& ratings);
// Correct if most judges say so; an even split is unscored. Value "confidence" where there is one.
Verdict correctness_verdict(const std::vector<Correctly>& judgments);

// The scorer of a judged suite, until judgments are there: unscored by "not_judged". An answer that
// never came is incorrect, with the least that a judge could give: no game won, rating 1.
class JudgedScorer : public Scorer {
 public:
  std::string id() const override { return "judged/1"; }
  std::string rules() const override {
    return "judged (by --judge), truncated, thought_not_closed";
  }
  Verdict score(const Item& item, const Completion& completion) const override;
  bool same_answer(std::string_view a, std::string_view b) const override { return a == b; }
};

// How many headers, list items and bold parts of Markdown an answer has, outside code blocks; the
// measures of style of Arena-Hard's style control.
struct Style {
  double characters = 0, headers = 0, list_items = 0, bold = 0;
};
Style style_of(std::string_view answer);

}  // namespace assay
