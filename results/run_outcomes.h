// A run's samples as the statistics need them: question by question, without texts.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "harness/base/json.h"
#include "harness/base/measure.h"
#include "results/outcome.h"
#include "results/store.h"

namespace assay {

// One suite's part of a run, as its manifest says.
struct PlannedSuite {
  std::string suite;
  std::string scorer;
  int num_samples = 0;
  int first_sample = 0;
  int max_tokens = 0;
  bool macro = false;
  bool accuracy = true;   // whether pass@1 is a score of the suite
  bool consensus = true;  // whether cons@k is
  bool judged = false;
  std::map<std::string, double> chance;
  std::vector<Measure> measures;
};

struct SuiteOutcomes {
  PlannedSuite plan;
  std::vector<std::string> item_ids;
  std::vector<std::string> groups;                    // of each question
  std::vector<std::vector<SampleOutcome>> questions;  // samples by index
};

struct RunOutcomes {
  OrderedJson manifest;
  std::string model;
  std::vector<SuiteOutcomes> suites;
};

// Throws OrderedJson::exception on a damaged manifest.
std::vector<PlannedSuite> planned_suites(const OrderedJson& manifest);

// What is there, also of a run that lacks samples.
Result<RunOutcomes> load_outcomes(RunStore& store);

}  // namespace assay
