// Whether a published score was reproduced: an equivalence test (two one-sided tests, Schuirmann
// 1987) on the same questions, that counts both sides' samples.
#pragma once

#include <cstdint>
#include <optional>

#include "results/intervals.h"

namespace assay {

struct ReproduceOptions {
  double margin = 0.02;  // of the score, in [0, 1]: as close as that is the same
  double alpha = 0.05;
  double power = 0.9;
};

enum class ReproduceVerdict { kReproduced, kNotReproduced, kUndecided };

struct Reproduction {
  double value = 0, published = 0, difference = 0;  // value − published
  double se = 0, published_se = 0;                  // of new samples of the same questions
  Interval interval;  // of the difference at 1 − 2·alpha: inside the margin, it is reproduced
  ReproduceVerdict verdict = ReproduceVerdict::kUndecided;
  // Samples a question with which a difference like this one would be decided; nothing if no number
  // would, for the published one has too few.
  std::optional<int64_t> samples_to_decide;
};

// A score of `questions` with `n` samples each, and its error under new samples.
struct OwnScore {
  double value = 0, se = 0;
  int n = 1, questions = 1;
};

// The published value has `published_n` samples a question, so an error of se · sqrt(n /
// published_n), or of chance alone where the own samples never differ (greedy decoding), and was
// rounded to `published_step`.
Reproduction reproduce(const OwnScore& own, double published, int published_n,
                       double published_step, const ReproduceOptions& options);

const char* to_string(ReproduceVerdict verdict);

}  // namespace assay
