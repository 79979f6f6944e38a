// The report of a run: which samples are there, the scores, a table for people and JSON for
// programs.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "harness/base/json.h"
#include "results/aggregate.h"
#include "results/store.h"

namespace assay {

// One suite's part of a run, as its manifest says.
struct PlannedSuite {
  std::string suite;
  std::string scorer;
  int num_samples = 0;
  int first_sample = 0;
  bool macro = false;
  bool accuracy = true;   // whether pass@1 is a score of the suite
  bool consensus = true;  // whether cons@k is
  bool judged = false;
  std::map<std::string, double> chance;
  std::vector<Measure> measures;
};

// A composite's index, if all of its components are there.
struct CompositeScore {
  struct Part {
    std::string suite;
    double weight = 0;  // the weights of a composite sum to 1
    bool present = false;
    double value = 0;
  };
  std::string name;
  std::vector<Part> parts;
  bool complete = false;
  double value = 0, sampling_se = 0, question_se = 0;
};

struct MissingSamples {
  std::string suite, item_id;
  int missing = 0, asked = 0;
};

struct Report {
  std::vector<SuiteSummary> suites;
  std::vector<CompositeScore> composites;
  std::vector<MissingSamples> missing;  // when not empty, there are no scores
  SessionStats sessions;
  std::string model;
  bool sample_data = false;  // a suite ran on assay's sample data instead of the official file
};

// The rule for equal answers of a suite's scorer.
using SameAnswerOf = std::function<Result<SameAnswer>(const std::string& scorer)>;

std::vector<PlannedSuite> planned_suites(const OrderedJson& manifest);

Result<Report> make_report(RunStore& store, const SameAnswerOf& same_answer_of);

// The table on standard output.
std::string format_report(const Report& report);
// What is missing, a line each, at most `limit` lines.
std::string format_missing(const Report& report, size_t limit = 20);
// results.json: manifest and scores.
OrderedJson report_json(const Report& report, const OrderedJson& manifest);

}  // namespace assay
