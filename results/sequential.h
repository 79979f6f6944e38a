// A test of a score's drop that may look at the data after every pair and stop when it likes.
//
// Pairs are drawn one after the other: a question at random, the next sample of it in both runs.
// new − base is −1, 0 or 1; over (questions · the question's chance to be drawn) it is d, whose
// mean is the change of the score on these questions whatever was drawn before. Two bets against
// two hypotheses, each a product of factors whose mean is at most 1 while the hypothesis holds, so
// that it exceeds 1/α at any time with a probability of at most α (Ville 1939; betting on bounded
// means: Waudby-Smith and Ramdas 2023, arXiv:2010.09686):
//   alarm, against "no drop", mean(d) ≥ 0:        Π (1 − λ d)
//   pass, against "the drop", mean(d) ≤ −drop:    Π (1 + λ (d + drop))
// λ is set before each pair from the variance seen so far, for drops of 1, 2 and 5 times the one
// asked for, so that no d can lose it all; their weighted mean is a bet as well.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace assay {

struct GateOptions {
  double max_drop = 0.01;  // of the score, in [0, 1]
  double alpha = 0.01;     // of an alarm when nothing has dropped
  double power = 0.9;      // of no pass when the score has dropped by max_drop
};

enum class GateVerdict { kPass, kRegression, kUndecided };

// Which question is drawn next: each with a chance in proportion to the samples that it has left,
// so that none runs out long before the others, and the larger, the more its samples were seen to
// change: by the root of their share, which gives the least variance (Neyman 1934). A part of the
// chance is the same for all, so that a change where there was none is seen too, and because bets
// are held down by the weight of the rarest question: as large a part as lets them grow fastest.
class QuestionDraws {
 public:
  // `base`: the share of right answers of each question, where it is known beforehand: those in
  // between are the ones that are expected to change. Empty: all alike. Where it is the share of
  // the very samples that are drawn, a chance is no longer set by what came before alone: that the
  // error rates hold then is simulated, not proved.
  QuestionDraws(size_t questions, int samples, double max_drop,
                const std::vector<double>& base = {});

  struct Draw {
    size_t question;
    int left;                // of its samples, before this one
    double weight, largest;  // 1 / (questions · chance), of this question and of the rarest
  };
  // Nothing once a question has no sample left: the others do not stand for it. `uniform`: in
  // [0, 1).
  std::optional<Draw> next(double uniform);
  // A pair of this question was looked at. Draws that were made before stay as they were.
  void saw(size_t question, bool changed);

 private:
  void set_favour();

  int samples_;
  double max_drop_;
  std::vector<int> left_, drawn_, changed_;
  std::vector<double> expected_;  // beside the share that changes of all
  bool knows_base_;
  std::vector<double> favour_;  // chance beside the samples left; empty: to be found anew
};

class SequentialTest {
 public:
  explicit SequentialTest(const GateOptions& options) : options_(options) {}

  // d, and the largest that any question's could have been. Does nothing once decided.
  void add(double difference, double largest = 1);

  GateVerdict verdict() const { return verdict_; }
  int64_t pairs() const { return pairs_; }
  double mean() const;
  // The product of each side, over its threshold: 1 decides.
  double alarm_evidence() const;
  double pass_evidence() const;

 private:
  double variance() const;

  GateOptions options_;
  GateVerdict verdict_ = GateVerdict::kUndecided;
  int64_t pairs_ = 0;
  double sum_ = 0, squares_ = 0;
  std::array<double, 3> alarm_logs_{}, pass_logs_{};
};

// Mean pairs until a decision, over 200 simulated runs in which a share `flips` of the samples
// changes and the score drops by `drop`; runs are cut at `limit`.
double expected_pairs(const GateOptions& options, double flips, double drop, int64_t limit,
                      uint64_t seed = 0);

// Pairs that a test of a fixed size needs for the same two error rates: `variance` of a pair's
// difference, (z_α + z_power)² · variance / max_drop².
double fixed_pairs(const GateOptions& options, double variance);

}  // namespace assay
