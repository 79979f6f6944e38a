// The report of a run: which samples are there, the scores, a table for people and JSON for
// programs.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "harness/base/json.h"
#include "results/aggregate.h"
#include "results/run_outcomes.h"
#include "results/store.h"

namespace assay {

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
  double value = 0, question_se = 0;
  std::optional<double> sampling_se;  // where all of its components have one
};

struct MissingSamples {
  std::string suite, item_id;
  int missing = 0, asked = 0;
};

// What a run cost, where a price or a power was given.
struct CostOptions {
  double price_per_hour = 0, price_per_million_tokens = 0;  // of any currency; 0: not given
  double watts = 0;
};

struct Report {
  std::vector<SuiteSummary> suites;
  std::vector<CompositeScore> composites;
  std::vector<MissingSamples> missing;  // when not empty, there are no scores
  SessionStats sessions;
  std::string model;
  std::string served;        // how a server was asked, of a model behind a URL; else empty
  bool sample_data = false;  // a suite ran on assay's sample data instead of the official file
};

// The rule for equal answers of a suite's scorer.
using SameAnswerOf = std::function<Result<SameAnswer>(const std::string& scorer)>;

Result<Report> make_report(RunStore& store, const SameAnswerOf& same_answer_of);

// The table on standard output.
std::string format_report(const Report& report, const CostOptions& cost = {});
// What is missing, a line each, at most `limit` lines.
std::string format_missing(const Report& report, size_t limit = 20);
// results.json: manifest and scores.
OrderedJson report_json(const Report& report, const OrderedJson& manifest);

}  // namespace assay
