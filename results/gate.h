// Whether a change may pass: verdicts on two runs, and their forms for people and for CI systems.
#pragma once

#include <string>
#include <vector>

#include "results/paired.h"
#include "results/sequential.h"

namespace assay {

struct GateRow {
  std::string suite;
  GateVerdict verdict = GateVerdict::kUndecided;
  double base = 0, other = 0, difference = 0, se = 0;
  int64_t pairs = 0, right_to_wrong = 0, wrong_to_right = 0;
  std::string why;
};

struct GateResult {
  GateOptions options;
  std::string base, other;  // names
  bool sequential = false;
  std::vector<GateRow> rows;

  // A regression if a suite has one, a pass if all pass.
  GateVerdict verdict() const;
};

// The test of a fixed size, on all pairs of finished runs. Regression: the score is lower (exact
// one-sided McNemar test at alpha). Pass: it is not lower by max_drop or more (one-sided bound at 1
// − power), or lower but less than that.
GateRow gate_fixed(const PairedSuite& suite, const GateOptions& options);

const char* to_string(GateVerdict verdict);
std::string format_gate(const GateResult& result);
// A test case a suite; undecided is an error.
std::string gate_junit(const GateResult& result);
// For a job's summary.
std::string gate_markdown(const GateResult& result);

}  // namespace assay
