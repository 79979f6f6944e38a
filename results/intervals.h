// Quantiles and confidence intervals.
#pragma once

#include <optional>

namespace assay {

struct Interval {
  double lower = 0, upper = 0;
};

double normal_cdf(double x);
double normal_quantile(double probability);
// Of Student's t distribution.
double t_quantile(double probability, double degrees_of_freedom);

// The score interval of Wilson (1927) for a mean in [0, 1] that is not of n Bernoulli draws but has
// the standard error `se`: n is then what would give this error, value (1 − value) / se² (Korn and
// Graubard 1998, with Wilson's interval in place of Clopper and Pearson's). `draws` stands for n
// where the error is 0: no variation was seen. `quantile`: of the normal or the t distribution,
// 1.96 for 95 %.
Interval wilson_interval(double value, double se, double draws, double quantile);

// Limits for the mean of `count` values with standard error `se` and skewness `skewness`, by the
// inverse of Hall's transformation of Student's t (Hall 1992, J. R. Statist. Soc. B 54).
Interval hall_interval(double mean, double se, double skewness, double count, double quantile);

// Two-sided p-value of k successes in n trials of probability 1/2 (the exact McNemar test, with k
// of n flips in one direction).
double sign_test_p(long long k, long long n);

}  // namespace assay
