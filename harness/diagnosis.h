// Why a score may have missed the published one, from the run's own records.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "results/run_outcomes.h"
#include "results/store.h"
#include "suites/published.h"

namespace assay {

struct Suspect {
  std::string name, detail;
  // The most that it could explain, in [0, 1] of the score; nothing where that cannot be said.
  std::optional<double> points;
};

// The suspects of one suite of a run beside a published score, those that explain most first.
// Reads the run's texts.
Result<std::vector<Suspect>> diagnose(RunStore& store, const RunOutcomes& run,
                                      const SuiteOutcomes& suite, const PublishedScore& score,
                                      const Published& published, double sampling_se);

}  // namespace assay
