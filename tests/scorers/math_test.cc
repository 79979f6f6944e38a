// Equivalence of mathematical answers: our cases, the recorded pairs, the golds of MATH, and what
// must hold for any answers.
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <map>
#include <numbers>
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

TEST(MathExtract, ADateIsTakenWhole) {
  for (const auto& [text, answer] : std::vector<std::pair<const char*, const char*>>{
           {"March 5, 2024", "March 5, 2024"},
           {"It was on the 5th of March 2024.", "5th of March 2024"},
           {"The answer is May 6, 2024.", "May 6, 2024"},
           {"From May 6, 2024 it takes 30 days", "30"},
           {"It may take 5 days", "5"},
           {"Only 5 may enter", "5"},
           {"In 2024 there were 12 apples", "12"},
           {"The march of 30 men took 7 hours", "7"}}) {
    EXPECT_EQ(extract_answer(text), answer) << text;
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

// A random expression as LaTeX, and as a function that says what it is worth.
struct Written {
  std::string text;
  std::function<double(double, double)> value;
};

class Writer {
 public:
  explicit Writer(uint32_t seed) : random_(seed) {}

  Written expression(int depth) {
    if (depth == 0) return leaf();
    const Written a = expression(depth - 1);
    const auto of = [&a](const char* before, const char* after, auto function) {
      return Written{before + a.text + after,
                     [f = a.value, function](double x, double y) { return function(f(x, y)); }};
    };
    switch (random_() % 12) {
      case 0:
        return of("\\sin(", ")", [](double v) { return std::sin(v); });
      case 1:
        return of("\\cos\\left(", "\\right)", [](double v) { return std::cos(v); });
      case 2:
        return of("e^{", "}", [](double v) { return std::exp(v); });
      case 3:
        return of("\\sqrt{(", ")^2 + 1}", [](double v) { return std::sqrt(v * v + 1); });
      case 4:
        return of("\\ln((", ")^2 + 2)", [](double v) { return std::log(v * v + 2); });
      case 5:
        return of("(", ")^{3}", [](double v) { return v * v * v; });
      default:
        break;
    }
    const Written b = expression(depth - 1);
    const auto both = [&](const std::string& text, auto function) {
      return Written{text, [f = a.value, g = b.value, function](double x, double y) {
                       return function(f(x, y), g(x, y));
                     }};
    };
    switch (random_() % 4) {
      case 0:
        return both("(" + a.text + " + " + b.text + ")", std::plus<>());
      case 1:
        return both("(" + a.text + " - " + b.text + ")", std::minus<>());
      case 2:
        return both("(" + a.text + ") (" + b.text + ")", std::multiplies<>());
      default:
        return both("\\frac{" + a.text + "}{(" + b.text + ")^2 + 7}",
                    [](double u, double v) { return u / (v * v + 7); });
    }
  }

  // The same by a sound rule, where `e` is not zero everywhere.
  std::string rewritten(const std::string& e) {
    switch (random_() % 9) {
      case 0:
        return "1 \\cdot (" + e + ") + 0";
      case 1:
        return "-(-(" + e + "))";
      case 2:
        return "\\frac{6 (" + e + ")}{6}";
      case 3:
        return "(" + e + " + x) - x";
      case 4:
        return "\\left(" + e + "\\right)^2 / (" + e + ")";
      case 5:
        return "y (" + e + ") \\times y^{-1}";
      case 6:
        return "\\frac{1}{2}(" + e + ") + 0.5 (" + e + ")";
      case 7:
        return "(" + e + ")(\\sin^2 y + \\cos^2 y)";
      default:
        return "\\dfrac{(" + e + ")(x^2 + 1)}{x^2+1}";
    }
  }

 private:
  Written leaf() {
    const auto constant = [](const char* text, double value) {
      return Written{text, [value](double, double) { return value; }};
    };
    switch (random_() % 9) {
      case 0:
      case 1:
        return {"x", [](double x, double) { return x; }};
      case 2:
        return {"y", [](double, double y) { return y; }};
      case 3:
        return constant("2", 2);
      case 4:
        return constant("3", 3);
      case 5:
        return constant("\\sqrt{2}", std::numbers::sqrt2);
      case 6:
        return constant("\\pi", std::numbers::pi);
      case 7:
        return constant("\\frac{1}{2}", 0.5);
      default:
        return constant("5", 5);
    }
  }

  std::mt19937 random_;
};

TEST(MathEqual, IsReflexiveSymmetricAndTransitiveOnRandomExpressions) {
  int undecided = 0;
  for (uint32_t seed = 0; seed < 1000; ++seed) {
    Writer writer(seed);
    const std::string e = writer.expression(3).text;
    EXPECT_EQ(compare(e, e).truth, Truth::kEqual) << e;
    if (compare(e, "0").truth != Truth::kDifferent) continue;
    const std::string once = writer.rewritten(e), twice = writer.rewritten(once),
                      other = "(" + e + ") + \\frac{1}{97}";
    for (const auto& [a, b] : {std::pair(e, once), {once, twice}, {e, twice}, {twice, e}}) {
      const Decision decision = compare(a, b);
      EXPECT_NE(decision.truth, Truth::kDifferent) << a << " | " << b << " by " << decision.rule;
      undecided += decision.truth == Truth::kUnknown ? 1 : 0;
    }
    for (const auto& [a, b] : {std::pair(once, other), {other, twice}}) {
      const Decision decision = compare(a, b);
      EXPECT_NE(decision.truth, Truth::kEqual) << a << " | " << b << " by " << decision.rule;
      undecided += decision.truth == Truth::kUnknown ? 1 : 0;
    }
  }
  EXPECT_LE(undecided, 0);
}

// Small ones are often equal by chance; what they are worth at some points, as computed here, says
// which.
TEST(MathEqual, RandomExpressionsAreEqualWhereTheyAreWorthTheSame) {
  const std::vector<std::pair<double, double>> points = {
      {0.37, 1.21}, {-1.43, 0.58}, {2.11, -0.77}, {-0.69, -1.93}};
  const uint32_t count = testing::kOptimized ? 40'000 : 4'000;
  uint32_t equal = 0, different = 0;
  int undecided = 0;
  for (uint32_t seed = 0; seed < count; ++seed) {
    Writer writer(1'000'000 + seed);
    const int depth = seed % 3 == 0 ? 2 : 1;
    const Written a = writer.expression(depth), b = writer.expression(depth);
    double farthest = 0;
    for (const auto& [x, y] : points) {
      const double u = a.value(x, y), v = b.value(x, y);
      farthest = std::max(farthest, std::abs(u - v) / (1 + std::max(std::abs(u), std::abs(v))));
    }
    if (!(farthest < 1e-13 || farthest > 1e-9)) continue;
    const Decision decision = compare(a.text, b.text);
    undecided += decision.truth == Truth::kUnknown ? 1 : 0;
    (farthest < 1e-13 ? equal : different) += 1;
    EXPECT_NE(decision.truth, farthest < 1e-13 ? Truth::kDifferent : Truth::kEqual)
        << a.text << " | " << b.text << " by " << decision.rule;
  }
  EXPECT_GT(equal, count / 300);
  EXPECT_GT(different, count / 2);
  EXPECT_LE(undecided, 10);  // a sine of \pi against x - x
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
