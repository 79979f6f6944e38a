// What the exports of whole folders share.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "harness/base/json.h"
#include "harness/base/result.h"
#include "results/store.h"

namespace assay {

// When and with what a run was made, as its manifest says.
struct RunFacts {
  std::string model, started_at;  // "2026-11-26T10:08:11Z"
  std::string commit, version;
  std::string fingerprint;  // of the manifest, 64 hex digits
  OrderedJson tasks;        // by suite
};
Result<RunFacts> run_facts(RunStore& store);

// The suites' questions with their samples, one after the other in the run's order.
Status for_each_question(
    RunStore& store,
    const std::function<Status(const StoredItem&, const std::vector<SampleRecord>&)>& visit);

// A sample in full beside what the other form says of it.
OrderedJson sample_json(const SampleRecord& record);

// A name that is safe in a file's name.
std::string file_name_of(const std::string& text);

}  // namespace assay
