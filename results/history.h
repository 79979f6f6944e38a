// Scores by commit: a SQLite file of runs, and where the series changed.
#pragma once

#include <string>
#include <vector>

#include "harness/base/result.h"
#include "results/run_outcomes.h"
#include "results/sqlite.h"

namespace assay {

// One suite of one run.
struct HistoryEntry {
  int64_t id = 0;
  std::string added_at, commit, run, model, suite;
  std::string setup;  // SHA-256 of what must be the same for scores to be of one series
  int questions = 0, num_samples = 0;
  double pass_at_1 = 0, sampling_se = 0, question_se = 0;
};

class History {
 public:
  // Creates the file where it is missing.
  static Result<History> open(const std::string& path);

  // Adds each suite of the run that has right and wrong; a run that is there already (the same
  // identity, commit and suite) is not added twice. Returns how many were added.
  Result<int> add(const RunOutcomes& run, const std::string& folder, const std::string& commit);
  // In the order in which they were added; of one suite unless it is empty.
  Result<std::vector<HistoryEntry>> entries(const std::string& suite);

 private:
  Database database_;
};

// A place where a series of scores changed its level.
struct ChangePoint {
  size_t index = 0;  // of the first entry of the new level
  double before = 0, after = 0, p = 1;
};

// Binary segmentation (Scott and Knott 1974) of scores with known standard errors: the split with
// the largest |difference of the weighted means| / error, kept if its two-sided p-value times the
// splits tried is under alpha; then both parts again.
std::vector<ChangePoint> find_changes(const std::vector<double>& scores,
                                      const std::vector<double>& errors, double alpha);

// A question that tells two runs apart.
struct TellingQuestion {
  std::string item_id;
  double base = 0, other = 0;  // shares of correct samples
};

// The `count` questions that show a difference of two runs with the fewest samples: those with the
// largest |d| / variance of d. `power_samples`: samples a question with which a run on these alone
// would show it with 99 % power at 1 % error.
struct TellingQuestions {
  std::vector<TellingQuestion> questions;
  int power_samples = 0;
};
TellingQuestions telling_questions(const SuiteOutcomes& base, const SuiteOutcomes& other,
                                   size_t count);

}  // namespace assay
