// A job: the questions of a run, how each is sampled and scored.
#pragma once

#include <map>
#include <memory>
#include <set>
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
  std::vector<Item> items;       // after --limit
  std::vector<Item> follow_ups;  // the items' second turns, in their order; empty: there are none
  std::string data_path, data_sha256;
  std::string release;                 // of the data; empty: the suite's
  std::string from, to;                // dates; empty: all
  std::vector<std::string> questions;  // ids that were asked for; empty: all
  bool sample_data = false, shuffle_options = false;
  int num_samples = 0, first_sample = 0;
  std::shared_ptr<const SamplingParams> sampling;
  std::string scorer_name;  // with the grader
  std::shared_ptr<const Scorer> scorer;
};

struct Job {
  std::vector<Task> tasks;
  std::vector<Suite>
      composites;  // whose components are among the tasks, as far as there are suites
};

// Suites, data and sampling of every task that the options name; "all" names every suite. All input
// is checked here, before a model is loaded.
Result<Job> load_job(const RunOptions& options);

// The requests of a job that are not in `present`: task by task, item by item.
class JobSource : public RequestSource {
 public:
  // By suite and item id: one prompt for all samples, or, where options are shuffled, one for each
  // of the task's samples (those that are equal are shared).
  using Prompts =
      std::map<std::pair<std::string, std::string>, std::vector<std::shared_ptr<const Prompt>>>;
  // `wanted`: only these; null: all.
  JobSource(const std::vector<Task>& tasks, const Prompts& prompts, uint64_t seed,
            const std::set<SampleId>& present, const std::set<SampleId>* wanted = nullptr);
  std::optional<Request> next() override;

 private:
  const std::vector<Task>& tasks_;
  const Prompts& prompts_;
  uint64_t seed_;
  const std::set<SampleId>& present_;
  const std::set<SampleId>* wanted_;
  size_t task_ = 0, item_ = 0, sample_ = 0;
  std::vector<int> order_;  // of the item's samples, so that those of a prompt stand together
};

}  // namespace assay
