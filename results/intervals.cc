#include "results/intervals.h"

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>

namespace assay {

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

double normal_quantile(double probability) {
  return boost::math::quantile(boost::math::normal(), probability);
}

double t_quantile(double probability, double degrees_of_freedom) {
  return boost::math::quantile(boost::math::students_t(degrees_of_freedom), probability);
}

Interval wilson_interval(double value, double se, double draws, double quantile) {
  const double spread = value * (1 - value);
  const double n = se > 0 && spread > 0 ? spread / (se * se) : draws;
  const double z2 = quantile * quantile / n;
  const double centre = (value + z2 / 2) / (1 + z2);
  const double half = std::sqrt(z2 * (spread + z2 / 4)) / (1 + z2);
  return {std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

Interval hall_interval(double mean, double se, double skewness, double count, double quantile) {
  const double a = skewness / std::sqrt(count);
  const auto inverse = [&](double t) { return 3 / a * (std::cbrt(1 + a * (t - a / 6)) - 1); };
  return {mean - se * inverse(quantile), mean - se * inverse(-quantile)};
}

double sign_test_p(long long k, long long n) {
  if (n == 0) return 1;
  const boost::math::binomial flips(static_cast<double>(n), 0.5);
  const double tail = boost::math::cdf(flips, static_cast<double>(std::min(k, n - k)));
  return std::min(1.0, 2 * tail);
}

}  // namespace assay
