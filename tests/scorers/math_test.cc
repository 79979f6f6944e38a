// Equivalence of mathematical answers: our cases, the recorded pairs, the golds of MATH, and what
// must hold for any answers.
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <random>
#include <set>

#include "harness/base/boxed.h"
#include "scorers/math/equal.h"
#include "scorers/math/extract.h"
#include "tests/support.h"

namespace assay::math {
namespace {

std::string verdict_of(const Decision& decision) {
  return decision.truth == Truth::kEqual       ? "correct"
         : decision.truth == Truth::kDifferent ? "incorrect"
                                               : "unscored";
}

TEST(MathEqual, DecidesEveryCaseInBothDirections) {
  const auto rows = testing::load_jsonl(testing::tests_path("cases/math_equal.jsonl"));
  ASSERT_GT(rows.size(), 90u);
  for (const Json& row : rows) {
    const std::string gold = row["gold"], answer = row["answer"];
    const Decision decision = compare(gold, answer), turned = compare(answer, gold);
    EXPECT_EQ(verdict_of(decision), row["verdict"].get<std::string>())
        << gold << " | " << answer << " by " << decision.rule << ": " << read_form(gold) << " | "
        << read_form(answer);
    EXPECT_EQ(verdict_of(turned), verdict_of(decision)) << gold << " | " << answer;
  }
}

TEST(MathEqual, AgreesWithTheRecordedPairsButForTheDifferencesThatAreListed) {
  ASSAY_NEED_DATA("math_equivalence/pairs.jsonl");
  std::map<int, std::string> reasons;
  for (const Json& row :
       testing::load_jsonl(testing::tests_path("cases/math_pairs_differences.jsonl"))) {
    reasons[row["line"]] = row["reason"];
  }
  int line = 0, agree = 0;
  for (const Json& row : testing::load_jsonl(data_path)) {
    ++line;
    const Decision decision = compare(extract_answer(row["gold"].get<std::string>()),
                                      extract_answer(row["pred"].get<std::string>()));
    const bool agrees = decision.truth != Truth::kUnknown &&
                        (decision.truth == Truth::kEqual) == (row["label"] == 1);
    agree += agrees ? 1 : 0;
    EXPECT_EQ(agrees, !reasons.contains(line)) << "line " << line << " by " << decision.rule;
    EXPECT_FALSE(decision.truth == Truth::kEqual && row["label"] == 0) << "line " << line;
  }
  std::printf("%d of %d pairs agree\n", agree, line);
  EXPECT_GE(agree, 0.995 * line);
}

// The golds of MATH: what the last box of each solution holds.
std::vector<std::string> math_golds(const std::string& path) {
  std::vector<std::string> golds;
  for (const Json& row : testing::load_jsonl_gz(path)) {
    golds.push_back(last_boxed(row["solution"].get<std::string>()).value_or(""));
  }
  return golds;
}

TEST(MathEqual, EveryGoldOfMathEqualsItselfHoweverItIsSpaced) {
  ASSAY_NEED_DATA("math/test.jsonl.gz");
  const auto golds = math_golds(data_path);
  ASSERT_EQ(golds.size(), 5000u);
  int read = 0;
  for (const std::string& gold : golds) {
    ASSERT_FALSE(gold.empty());
    const Decision decision = compare(gold, " " + gold + "\\,");
    EXPECT_EQ(decision.truth, Truth::kEqual) << gold;
    read += read_form(gold) != gold ? 1 : 0;
  }
  std::printf("%d golds have a form that is not their text\n", read);
}

// Pairs of golds with different texts that are equal all the same, such as 1/2 and .5, are listed.
TEST(MathEqual, RandomDifferentGoldsAreDifferentUnlessTheyAreListed) {
  ASSAY_NEED_DATA("math/test.jsonl.gz");
  const auto golds = math_golds(data_path);
  std::set<std::pair<std::string, std::string>> listed;
  for (const Json& row : testing::load_jsonl(testing::tests_path("cases/math_equal_golds.jsonl"))) {
    listed.emplace(row["a"].get<std::string>(), row["b"].get<std::string>());
  }
  std::mt19937 random(5);
  for (int pairs = 0; pairs < 2000;) {
    const std::string &a = golds[random() % golds.size()], &b = golds[random() % golds.size()];
    if (a == b) continue;
    ++pairs;
    const Truth truth = compare(a, b).truth;
    EXPECT_EQ(truth == Truth::kEqual, listed.contains({a, b}) || listed.contains({b, a}))
        << Json{{"a", a}, {"b", b}}.dump();
    EXPECT_EQ(compare(b, a).truth, truth) << a << " | " << b;
  }
}

TEST(MathEqual, ClassesOfAnswersAreSymmetricAndTransitive) {
  ASSAY_NEED_DATA("math/test.jsonl.gz");
  const auto golds = math_golds(data_path);
  std::mt19937 random(6);
  for (int i = 0; i < 2000; ++i) {
    const std::string &a = golds[random() % golds.size()], &b = golds[random() % golds.size()];
    const Truth truth = compare(a, b, Reading::kStrict).truth;
    EXPECT_EQ(compare(b, a, Reading::kStrict).truth, truth) << a << " | " << b;
    if (truth != Truth::kEqual) continue;
    for (int j = 0; j < 20; ++j) {  // what equals one of them equals the other
      const std::string& c = golds[random() % golds.size()];
      EXPECT_EQ(compare(a, c, Reading::kStrict).truth, compare(b, c, Reading::kStrict).truth)
          << a << " | " << b << " | " << c;
    }
  }
}

// Random expressions, written in two ways that are the same by a sound rule.
class Writer {
 public:
  explicit Writer(uint32_t seed) : random_(seed) {}

  std::string expression(int depth) {
    if (depth == 0) return pick({"x", "y", "2", "3", "\\sqrt{2}", "\\pi", "\\frac{1}{2}", "5"});
    const std::string a = expression(depth - 1), b = expression(depth - 1);
    switch (random_() % 4) {
      case 0:
        return "(" + a + " + " + b + ")";
      case 1:
        return "(" + a + " - " + b + ")";
      case 2:
        return "(" + a + ") (" + b + ")";
      default:
        return "\\frac{" + a + "}{" + b + " + 7}";
    }
  }
  std::string rewritten(const std::string& e) {
    switch (random_() % 5) {
      case 0:
        return "1 \\cdot (" + e + ") + 0";
      case 1:
        return "-(-(" + e + "))";
      case 2:
        return "\\frac{6 (" + e + ")}{6}";
      case 3:
        return "(" + e + " + x) - x";
      default:
        return "\\left(" + e + "\\right)^2 / (" + e + ")";
    }
  }
  std::string pick(const std::vector<std::string>& from) { return from[random_() % from.size()]; }

 private:
  std::mt19937 random_;
};

TEST(MathEqual, SoundRewritingKeepsARandomExpressionEqualAndAddingDoesNot) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    Writer writer(seed);
    const std::string e = writer.expression(3);
    if (compare(e, "0").truth != Truth::kDifferent) continue;
    const std::string same = writer.rewritten(e), other = "(" + e + ") + \\frac{1}{97}";
    const Decision equal = compare(e, same);
    EXPECT_EQ(equal.truth, Truth::kEqual) << e << " | " << same << " by " << equal.rule;
    EXPECT_EQ(compare(same, other).truth, Truth::kDifferent) << same << " | " << other;
  }
}

// A polynomial, its terms in another order and factored as sums of halves, and with one coefficient
// changed.
TEST(MathEqual, ChangingOneCoefficientOfARandomPolynomialIsADifference) {
  std::mt19937 random(11);
  const std::vector<std::string> monomials = {"x^{3}", "x^{2} y", "x y", "y^{2}", "x", ""};
  for (int i = 0; i < 300; ++i) {
    std::vector<int> coefficients;
    for (size_t k = 0; k < monomials.size(); ++k) {
      coefficients.push_back(static_cast<int>(random() % 19) - 9);
    }
    const auto written = [&](const std::vector<int>& of, bool backwards, bool halves) {
      std::string text = "0";
      for (size_t k = 0; k < of.size(); ++k) {
        const size_t at = backwards ? of.size() - 1 - k : k;
        const std::string number = "(" + std::to_string(of[at]) + ")";
        const std::string term = number + " " + monomials[at];
        text += halves ? " + \\frac{" + term + "}{2} + \\frac12 \\cdot " + term : " + " + term;
      }
      return text;
    };
    const std::string p = written(coefficients, false, false);
    EXPECT_EQ(compare(p, p).truth, Truth::kEqual) << p;
    EXPECT_EQ(compare(p, written(coefficients, true, false)).truth, Truth::kEqual) << p;
    EXPECT_EQ(compare(written(coefficients, true, true), p).truth, Truth::kEqual) << p;
    std::vector<int> changed = coefficients;
    changed[random() % changed.size()] += 1;
    EXPECT_EQ(compare(p, written(changed, true, true)).truth, Truth::kDifferent) << p;
  }
}

TEST(MathEqual, HostileAnswersAreNeverCorrectAndTakeTenMillisecondsAtMost) {
  std::string fractions, brackets, roots;
  for (int i = 0; i < 2000; ++i) fractions += "\\frac{1}{";
  for (int i = 0; i < 4000; ++i) brackets += "(";
  for (int i = 0; i < 1500; ++i) roots += "\\sqrt{";
  std::string terms = "x";
  for (int i = 0; i < 60; ++i) terms = "(" + terms + "+y_{" + std::to_string(i) + "})^9";
  const std::vector<std::string> hostile = {std::string(100'000, '{'),
                                            fractions,
                                            brackets,
                                            roots,
                                            terms,
                                            "9^{9^{9^9}}",
                                            "10^{10^{10}}!",
                                            "((((((2^{99})^{99})^{99})^{99})^{99})^{99})^{99}",
                                            "(x+y+z+u+v+w)^{60}",
                                            "\\sqrt{2}^{\\sqrt{3}^{\\sqrt{5}^{\\sqrt{7}}}}",
                                            "\\sin(\\sin(\\sin(10^{5000})))",
                                            "\\binom{999999}{500000}",
                                            std::string(9000, '9') + "!"};
  for (const std::string& answer : hostile) {
    double best_ms = 1e9;
    Truth truth = Truth::kEqual;
    for (int i = 0; i < 3; ++i) {  // the machine may be busy
      const auto begin = std::chrono::steady_clock::now();
      truth = compare("5", answer).truth;
      const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
      best_ms = std::min(best_ms, 1e3 * time.count());
    }
    EXPECT_NE(truth, Truth::kEqual) << answer.substr(0, 60);
    EXPECT_LT(best_ms, testing::kOptimized ? 10 : 300) << answer.substr(0, 60);
  }
  EXPECT_EQ(compare("5", std::string(100'000, '{')).truth, Truth::kUnknown);
  EXPECT_EQ(compare("5", fractions).truth, Truth::kUnknown);
  EXPECT_EQ(compare("5", "9^{9^{9^9}}").truth, Truth::kUnknown);
}

}  // namespace
}  // namespace assay::math
