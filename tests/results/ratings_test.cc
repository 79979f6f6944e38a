#include "results/ratings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "harness/base/philox.h"
#include "results/agreement.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

std::vector<Battle> recorded_battles(const Json& json) {
  std::vector<Battle> battles;
  for (const Json& row : json["battles"]) {
    battles.push_back({row["model_a"], row["model_b"], row["score"], 1, row["style"]});
  }
  return battles;
}

TEST(Ratings, AreThoseOfScikitLearn) {
  const Json json = testing::load_json(testing::tests_path("cases/ratings.json"));
  const std::vector<Battle> battles = recorded_battles(json);
  for (const bool style : {false, true}) {
    RatingOptions options;
    options.reference = json["reference"];
    options.style = style;
    options.bootstrap = 0;
    const auto ratings = rate(battles, options);
    ASSERT_OK(ratings);
    const Json& expected = json[style ? "style" : "plain"];
    for (const Rating& rating : ratings->models) {
      EXPECT_NEAR(rating.rating, expected["ratings"][rating.model].get<double>(), 1e-2)
          << rating.model;
    }
    if (!style) continue;
    EXPECT_NEAR(ratings->style_coefficients[0], expected["style"].get<double>(), 1e-2);
  }
}

TEST(Ratings, OfTwoModelsAreTheOddsOfWinning) {
  std::vector<Battle> battles(30, {"a", "b", 1, 1, {}});
  battles.insert(battles.end(), 10, {"a", "b", 0, 1, {}});
  RatingOptions options;
  options.reference = "b";
  const auto ratings = rate(battles, options);
  ASSERT_OK(ratings);
  EXPECT_EQ(ratings->models[0].model, "a");
  EXPECT_NEAR(ratings->models[0].rating, 1000 + 400 * std::log10(3.0), 1e-3);
  EXPECT_NEAR(ratings->models[1].rating, 1000, 1e-9);
  EXPECT_LT(ratings->models[0].lower, ratings->models[0].rating);
  EXPECT_GT(ratings->models[0].upper, ratings->models[0].rating);
}

TEST(Ratings, AModelThatWonEverythingHasNone) {
  const std::vector<Battle> battles = {
      {"a", "b", 1, 1, {}}, {"b", "c", 1, 1, {}}, {"c", "b", 1, 1, {}}, {"b", "c", 0.5, 1, {}}};
  RatingOptions options;
  options.bootstrap = 10;
  const auto ratings = rate(battles, options);
  ASSERT_OK(ratings);
  for (const Rating& rating : ratings->models) {
    EXPECT_EQ(rating.unbounded, rating.model == "a") << rating.model;
    EXPECT_TRUE(std::isfinite(rating.rating));
  }
}

TEST(Ratings, NeedBattlesAndAReferenceThatFights) {
  EXPECT_FALSE(rate({}, {}).ok());
  RatingOptions options;
  options.reference = "gtp-4";
  const auto ratings = rate({{"gpt-4", "b", 1, 1, {}}}, options);
  ASSERT_FALSE(ratings.ok());
  EXPECT_THAT(ratings.error().message, HasSubstr("did you mean gpt-4?"));
}

// The interval holds the truth in about 95 of 100 simulated logs.
TEST(Ratings, IntervalsCoverTheTruth) {
  const int logs = 400;
  int covered = 0;
  for (int log = 0; log < logs; ++log) {
    std::vector<Battle> battles;
    for (uint32_t i = 0; i < 200; ++i) {
      const double u = philox_uniform({i, static_cast<uint32_t>(log), 1, 0}, {5, 6});
      battles.push_back({"a", "b", u < 0.7 ? 1.0 : 0.0, 1, {}});
    }
    RatingOptions options;
    options.reference = "b";
    options.bootstrap = 200;
    options.seed = static_cast<uint64_t>(log);
    const auto ratings = rate(battles, options);
    ASSERT_OK(ratings);
    const Rating& a = ratings->models[ratings->models[0].model == "a" ? 0 : 1];
    const double truth = 1000 + 400 * std::log10(0.7 / 0.3);
    covered += a.lower <= truth && truth <= a.upper ? 1 : 0;
  }
  EXPECT_GT(covered, logs * 0.91);
  EXPECT_LT(covered, logs * 0.99);
}

TEST(WinRate, IsTheShareOfGamesWonAndAtNoDifferenceOfStyleWithControl) {
  std::vector<std::pair<double, double>> won;
  std::vector<std::vector<double>> style;
  // Longer answers win 80 %, as long ones 50 %.
  for (int i = 0; i < 1000; ++i) {
    const bool longer = i % 2 == 0;
    won.emplace_back(longer ? (i % 10 < 8 ? 1 : 0) : (i % 4 == 1 ? 1 : 0), 1);
    style.push_back({longer ? 1.0 : 0.0});
  }
  const WinRate plain = win_rate(won, {}), controlled = win_rate(won, style);
  EXPECT_NEAR(plain.value, 0.65, 1e-9);
  EXPECT_LT(plain.lower, 0.65);
  EXPECT_GT(plain.upper, 0.65);
  EXPECT_NEAR(controlled.value, 0.5, 1e-6);
  const WinRate again = win_rate(won, style);
  EXPECT_EQ(again.lower, controlled.lower) << "resamples are a function of the seed";
}

// The example of Krippendorff (2011): four observers, twelve units; interval alpha 0.849.
TEST(Agreement, IsKrippendorffsAlpha) {
  const std::vector<std::vector<double>> units = {
      {1, 1, 1},    {2, 2, 3, 2}, {3, 3, 3, 3}, {3, 3, 3, 3}, {2, 2, 2, 2}, {1, 2, 3, 4},
      {4, 4, 4, 4}, {1, 1, 2, 1}, {2, 2, 2, 2}, {5, 5, 5},    {1, 1},       {3}};
  EXPECT_NEAR(*krippendorff_alpha(units), 0.849, 0.0005);
  EXPECT_FALSE(krippendorff_alpha({}).has_value());
  EXPECT_FALSE(krippendorff_alpha({{1, 1}, {1, 1}}).has_value());
  EXPECT_LT(*krippendorff_alpha({{1, 2}, {2, 1}}), 0);
}

}  // namespace
}  // namespace assay
