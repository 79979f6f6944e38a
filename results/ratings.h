// Ratings from pairwise battles (Bradley and Terry 1952), on the scale of Elo: 400 points are odds
// of 10 to 1.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "harness/base/result.h"

namespace assay {

struct Battle {
  std::string model_a, model_b;
  double score = 0.5;  // of model_a: 1 won, 0.5 a tie, 0 lost
  double weight = 1;
  // Differences of style (length, headers, …), a minus b; the same number in every battle.
  std::vector<double> style;
};

struct Rating {
  std::string model;
  double rating = 0;
  double lower = 0, upper = 0;  // 95 % bootstrap interval, over battles
  int64_t battles = 0;
  // The model won or lost all that joins it to the others, so that its rating has no bound.
  bool unbounded = false;
};

struct RatingOptions {
  std::string reference;  // whose rating is fixed; empty: the mean is
  double reference_rating = 1000;
  int bootstrap = 1000;  // resamples
  uint64_t seed = 0;
  bool style = false;  // with the battles' style as covariates (style control)
};

struct Ratings {
  std::vector<Rating> models;              // best first
  std::vector<double> style_coefficients;  // in points for a difference of one standard deviation
};

// Maximum likelihood; ties are half a win. Resamples run in parallel and are a function of the seed
// alone. No battles, or a reference that has none, is an error.
Result<Ratings> rate(const std::vector<Battle>& battles, const RatingOptions& options);

struct WinRate {
  double value = 0, lower = 0, upper = 0;
};

// The share of games won against one baseline: Σ won / Σ games over questions, with a 95 %
// bootstrap interval over questions. With `style` (one entry a question and feature) it is the
// share at no difference of style, by logistic regression.
WinRate win_rate(const std::vector<std::pair<double, double>>& won_of_games,
                 const std::vector<std::vector<double>>& style, int bootstrap = 1000,
                 uint64_t seed = 0);

}  // namespace assay
