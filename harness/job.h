// A job: the questions of a run, how each is sampled and scored.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "harness/base/nouns.h"
#include "harness/base/result.h"
#include "harness/options.h"
#include "results/store.h"
#include "scorers/scorer.h"
#include "suites/suite.h"

namespace assay {

struct Task {
  Suite suite;
  std::vector<Item> items;  // after --limit
  std::string data_path, data_sha256;
  bool sample_data = false;
  int num_samples = 0, first_sample = 0;
  std::shared_ptr<const SamplingParams> sampling;
  std::shared_ptr<const Scorer> scorer;
};

// Suites, data and sampling of every task that the options name. All input is checked here, before
// a model is loaded.
Result<std::vector<Task>> load_tasks(const RunOptions& options);

// The requests of a job that are not in `present`: task by task, item by item.
class JobSource : public RequestSource {
 public:
  // `prompts`: by suite and item id.
  using Prompts = std::map<std::pair<std::string, std::string>, std::shared_ptr<const Prompt>>;
  JobSource(const std::vector<Task>& tasks, const Prompts& prompts, uint64_t seed,
            const std::set<SampleId>& present);
  std::optional<Request> next() override;

 private:
  const std::vector<Task>& tasks_;
  const Prompts& prompts_;
  uint64_t seed_;
  const std::set<SampleId>& present_;
  size_t task_ = 0, item_ = 0;
  int sample_ = 0;
};

}  // namespace assay
