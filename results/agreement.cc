#include "results/agreement.h"

#include <cstddef>

namespace assay {

std::optional<double> krippendorff_alpha(const std::vector<std::vector<double>>& units) {
  // Σ over pairs of (a − b)² is n·Σa² − (Σa)², so no pair is visited.
  double values = 0, sum = 0, squares = 0, observed = 0;
  for (const std::vector<double>& unit : units) {
    if (unit.size() < 2) continue;
    const double n = static_cast<double>(unit.size());
    double unit_sum = 0, unit_squares = 0;
    for (const double value : unit) {
      unit_sum += value;
      unit_squares += value * value;
    }
    observed += (n * unit_squares - unit_sum * unit_sum) / (n - 1);
    values += n;
    sum += unit_sum;
    squares += unit_squares;
  }
  if (values < 2) return std::nullopt;
  const double expected = (values * squares - sum * sum) / (values - 1);
  if (expected <= 0) return std::nullopt;
  return 1 - observed / expected;
}

}  // namespace assay
