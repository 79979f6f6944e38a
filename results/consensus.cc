#include "results/consensus.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "harness/base/philox.h"

namespace assay {
namespace {

constexpr int kLargestExact = 256, kSubsets = 2000, kResamples = 200;

// Rows of Pascal's triangle; in f64 up to 256, the largest about 6e75.
const std::vector<std::vector<double>>& binomials() {
  static const std::vector<std::vector<double>> rows = [] {
    std::vector<std::vector<double>> triangle(kLargestExact + 1);
    for (size_t n = 0; n < triangle.size(); ++n) {
      triangle[n].assign(n + 1, 1.0);
      for (size_t k = 1; k < n; ++k) triangle[n][k] = triangle[n - 1][k - 1] + triangle[n - 1][k];
    }
    return triangle;
  }();
  return rows;
}

double choose(int n, int k) {
  return k < 0 || k > n ? 0 : binomials()[static_cast<size_t>(n)][static_cast<size_t>(k)];
}

// Ways to choose from the classes other than `winner`, each giving at most `most` votes, by number
// of samples chosen and number of classes that give exactly `most`: ways[size][ties].
using Ways = std::vector<std::vector<double>>;

Ways ways_of_others(const Votes& votes, size_t winner, int most) {
  const size_t n = static_cast<size_t>(votes.samples());
  const size_t max_ties = n / static_cast<size_t>(most);
  Ways ways(n + 1, std::vector<double>(max_ties + 1, 0));
  for (int u = 0; u <= votes.abstained; ++u)
    ways[static_cast<size_t>(u)][0] = choose(votes.abstained, u);
  size_t largest = static_cast<size_t>(votes.abstained);
  for (size_t j = 0; j < votes.classes.size(); ++j) {
    if (j == winner) continue;
    const int votes_j = votes.classes[j].votes, most_j = std::min(votes_j, most);
    const size_t next_largest = largest + static_cast<size_t>(most_j);
    // Downwards, so that a class is counted once.
    for (size_t size = std::min(next_largest, n) + 1; size-- > 0;) {
      for (size_t ties = max_ties + 1; ties-- > 0;) {
        double sum = 0;
        for (int u = 0; u <= most_j && static_cast<size_t>(u) <= size; ++u) {
          if (u == most && ties == 0) continue;
          sum += choose(votes_j, u) * ways[size - static_cast<size_t>(u)][ties - (u == most)];
        }
        ways[size][ties] = sum;
      }
    }
    largest = next_largest;
  }
  return ways;
}

std::vector<double> exact(const Votes& votes) {
  const int n = votes.samples();
  std::vector<double> value(static_cast<size_t>(n) + 1, 0);
  for (size_t i = 0; i < votes.classes.size(); ++i) {
    if (!votes.classes[i].correct) continue;
    for (int most = 1; most <= votes.classes[i].votes; ++most) {
      const Ways ways = ways_of_others(votes, i, most);
      const double own = choose(votes.classes[i].votes, most);
      for (int k = most; k <= n; ++k) {
        double won = 0;
        const auto& by_ties = ways[static_cast<size_t>(k - most)];
        for (size_t ties = 0; ties < by_ties.size(); ++ties) {
          won += by_ties[ties] / static_cast<double>(1 + ties);
        }
        value[static_cast<size_t>(k)] += own * won / choose(n, k);
      }
    }
  }
  return value;
}

// One ballot a sample: the index of its class, classes.size() for none.
std::vector<size_t> ballots(const Votes& votes) {
  std::vector<size_t> all(static_cast<size_t>(votes.abstained), votes.classes.size());
  for (size_t i = 0; i < votes.classes.size(); ++i) {
    all.insert(all.end(), static_cast<size_t>(votes.classes[i].votes), i);
  }
  return all;
}

size_t draw_below(size_t limit, uint32_t round, size_t position, uint64_t seed) {
  const PhiloxKey key = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  const double u = philox_uniform({static_cast<uint32_t>(position), round, 0, 0}, key);
  return static_cast<size_t>(u * static_cast<double>(limit));
}

// Whether the running count's leader is correct, ballot after ballot.
class Tally {
 public:
  explicit Tally(const Votes& votes) : votes_(votes), counts_(votes.classes.size(), 0) {}
  void add(size_t ballot) {
    if (ballot >= counts_.size()) return;
    const int count = ++counts_[ballot];
    if (count > most_) {
      most_ = count;
      winners_ = correct_ = 0;
    }
    if (count == most_) {
      winners_ += 1;
      correct_ += votes_.classes[ballot].correct ? 1 : 0;
    }
  }
  double value() const { return winners_ == 0 ? 0 : correct_ / winners_; }

 private:
  const Votes& votes_;
  std::vector<int> counts_;
  int most_ = 0;
  double winners_ = 0, correct_ = 0;
};

std::vector<double> estimated(const Votes& votes, uint64_t seed) {
  std::vector<size_t> order = ballots(votes);
  std::vector<double> value(order.size() + 1, 0);
  for (uint32_t round = 0; round < kSubsets; ++round) {
    Tally tally(votes);
    for (size_t i = 0; i < order.size(); ++i) {
      std::swap(order[i], order[i + draw_below(order.size() - i, round, i, seed)]);
      tally.add(order[i]);
      value[i + 1] += tally.value() / kSubsets;
    }
  }
  return value;
}

double resampled_variance(const Votes& votes, uint64_t seed) {
  const std::vector<size_t> all = ballots(votes);
  double sum = 0, squares = 0;
  for (uint32_t round = 0; round < kResamples; ++round) {
    Tally tally(votes);
    for (size_t i = 0; i < all.size(); ++i) tally.add(all[draw_below(all.size(), round, i, seed)]);
    sum += tally.value();
    squares += tally.value() * tally.value();
  }
  return std::max(0.0, (squares - sum * sum / kResamples) / (kResamples - 1));
}

}  // namespace

int Votes::samples() const {
  return std::accumulate(classes.begin(), classes.end(), abstained,
                         [](int sum, const VoteClass& entry) { return sum + entry.votes; });
}

double majority_is_correct(const Votes& votes) {
  double winners = 0, correct = 0;
  for (const VoteClass& entry : votes.classes) {
    if (entry.votes < votes.classes.front().votes) break;
    winners += 1;
    correct += entry.correct ? 1 : 0;
  }
  return winners == 0 ? 0 : correct / winners;
}

std::vector<double> consensus_at_k(const Votes& votes, uint64_t seed) {
  return votes.samples() <= kLargestExact ? exact(votes) : estimated(votes, seed);
}

std::vector<double> consensus_variance(const Votes& votes, uint64_t seed) {
  const size_t n = static_cast<size_t>(votes.samples());
  std::vector<double> variance(n + 1, 0);
  if (n == 0) return variance;
  variance[n] = resampled_variance(votes, seed);
  if (n > kLargestExact) {
    const std::vector<double> value = estimated(votes, seed);
    for (size_t k = 1; k < n; ++k) {
      variance[k] = value[k] * (1 - value[k]) * static_cast<double>(k) / static_cast<double>(n);
    }
    return variance;
  }
  // Leaving out one of several classes of the same size and correctness gives the same.
  std::map<VoteClass, int> sizes;
  for (const VoteClass& entry : votes.classes) sizes[entry] += entry.votes;
  std::vector<std::pair<std::vector<double>, double>> left_out;  // values, how many samples do so
  for (const auto& [size, samples] : sizes) {
    Votes less = votes;
    --std::find(less.classes.begin(), less.classes.end(), size)->votes;
    std::sort(less.classes.rbegin(), less.classes.rend());
    if (less.classes.back().votes == 0) less.classes.pop_back();
    left_out.emplace_back(consensus_at_k(less, seed), samples);
  }
  if (votes.abstained > 0) {
    Votes less = votes;
    --less.abstained;
    left_out.emplace_back(consensus_at_k(less, seed), votes.abstained);
  }
  const double total = static_cast<double>(n);
  for (size_t k = 1; k < n; ++k) {
    double mean = 0, squares = 0;
    for (const auto& [values, weight] : left_out) mean += weight * values[k] / total;
    for (const auto& [values, weight] : left_out) squares += weight * std::pow(values[k] - mean, 2);
    variance[k] = squares * (total - 1) / total;
  }
  return variance;
}

}  // namespace assay
