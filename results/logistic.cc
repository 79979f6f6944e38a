#include "results/logistic.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace assay {
namespace {

// Solves A·x = b for symmetric positive definite A (n × n, row by row; its lower half is used and
// overwritten) by Cholesky; b becomes x.
void solve(std::vector<double>& a, std::vector<double>& b) {
  const size_t n = b.size();
  for (size_t j = 0; j < n; ++j) {
    for (size_t i = j; i < n; ++i) {
      double sum = a[i * n + j];
      for (size_t k = 0; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
      a[i * n + j] = i == j ? std::sqrt(std::max(sum, 1e-300)) : sum / a[j * n + j];
    }
  }
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < i; ++k) b[i] -= a[i * n + k] * b[k];
    b[i] /= a[i * n + i];
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t k = i + 1; k < n; ++k) b[i] -= a[k * n + i] * b[k];
    b[i] /= a[i * n + i];
  }
}

double dot(const LogisticRow& row, const std::vector<double>& beta) {
  double sum = 0;
  for (const auto& [column, value] : row.x) sum += value * beta[static_cast<size_t>(column)];
  return sum;
}

}  // namespace

std::vector<double> fit_logistic(const std::vector<LogisticRow>& rows, int columns,
                                 const std::vector<double>& counts, double ridge) {
  const auto n = static_cast<size_t>(columns);
  std::vector<double> beta(n, 0), gradient(n), hessian(n * n);
  for (int iteration = 0; iteration < 100; ++iteration) {
    std::fill(hessian.begin(), hessian.end(), 0);
    for (size_t i = 0; i < n; ++i) {
      gradient[i] = -ridge * beta[i];
      hessian[i * n + i] = ridge;
    }
    for (size_t r = 0; r < rows.size(); ++r) {
      const LogisticRow& row = rows[r];
      const double weight = row.weight * (counts.empty() ? 1 : counts[r]);
      if (weight == 0) continue;
      const double p = 1 / (1 + std::exp(-dot(row, beta)));
      for (const auto& [i, a] : row.x) {
        gradient[static_cast<size_t>(i)] += weight * (row.y - p) * a;
        for (const auto& [j, b] : row.x) {
          if (j <= i) {
            hessian[static_cast<size_t>(i) * n + static_cast<size_t>(j)] +=
                weight * p * (1 - p) * a * b;
          }
        }
      }
    }
    std::vector<double> step = gradient;
    solve(hessian, step);
    double longest = 0;
    for (const double s : step) longest = std::max(longest, std::abs(s));
    // Long steps are where the data leave a direction (nearly) open; they are shortened, not taken.
    const double scale = longest > 2 ? 2 / longest : 1;
    for (size_t i = 0; i < n; ++i) beta[i] += scale * step[i];
    if (longest < 1e-10) break;
  }
  return beta;
}

}  // namespace assay
