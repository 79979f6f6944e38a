// The gate that samples as it goes: both models in rounds, until the evidence decides.
#pragma once

#include <optional>
#include <string>

#include "harness/base/result.h"
#include "harness/options.h"
#include "results/gate.h"

namespace assay {

struct SequentialGateOptions {
  // Models, as RunOptions names them. One of them may be "replay:RUN": its samples are there, the
  // other's are drawn as that run's were.
  std::string base, other;
  RunOptions run;  // how they are sampled; output_dir: where the samples are kept
  GateOptions gate;
  int64_t max_pairs = 100'000;  // of a suite, then undecided
};

// Draws pairs, a question at random and its next sample, and tests after each. Samples are stored
// under output_dir/base and output_dir/new, so the same command goes on where it stopped. Nothing
// if it was asked to stop.
Result<std::optional<GateResult>> run_sequential_gate(SequentialGateOptions options);

}  // namespace assay
