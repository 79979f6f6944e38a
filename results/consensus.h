// The majority vote over equivalence classes of answers, at n and at every smaller k.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/nouns.h"

namespace assay {

using SameAnswer = std::function<bool(std::string_view, std::string_view)>;

struct VoteClass {
  int votes = 0;
  bool correct = false;
  auto operator<=>(const VoteClass&) const = default;
};

// The votes of one question's scored samples.
struct Votes {
  std::vector<VoteClass> classes;  // in descending order
  int abstained = 0;               // samples without an answer
  int samples() const;
};

// cons@n: the share of the vote's winners that are correct: 1 or 0, between them on a tie; 0
// without a vote.
double majority_is_correct(const Votes& votes);

// cons@k for k = 1 … n, at [k]: the expectation of majority_is_correct over all subsets of k of the
// n samples, exact for n ≤ 256, beyond that the mean of 2,000 subsets (`seed`). [0] is 0.
std::vector<double> consensus_at_k(const Votes& votes, uint64_t seed = 0);

// Squared standard errors of consensus_at_k under new samples of the same question, at [k]: the
// jackknife, for k < n; for k = n the variance of cons@n over 200 samples of size n drawn from the
// observed answers (`seed`). Over n = 256 the bound value (1 − value) / (n / k) of a U-statistic
// (Hoeffding 1948) stands for the jackknife.
std::vector<double> consensus_variance(const Votes& votes, uint64_t seed = 0);

}  // namespace assay
