// Logistic regression by Newton's method, on sparse rows.
#pragma once

#include <utility>
#include <vector>

namespace assay {

struct LogisticRow {
  std::vector<std::pair<int, double>> x;  // column and value
  double y = 0;                           // in [0, 1]; 0.5 is a tie
  double weight = 1;
};

// The coefficients that maximize Σ w·(y·log p + (1−y)·log(1−p)) − ridge/2·|β|², p = 1/(1+e^(−x·β)).
// `counts`: how often each row stands, for resampling; empty: once each. The ridge makes directions
// definite that the data leave open.
std::vector<double> fit_logistic(const std::vector<LogisticRow>& rows, int columns,
                                 const std::vector<double>& counts = {}, double ridge = 1e-6);

}  // namespace assay
