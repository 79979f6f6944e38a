// Sampling what a job asks for into a store.
#pragma once

#include <set>
#include <vector>

#include "harness/base/result.h"
#include "harness/job.h"
#include "harness/model.h"
#include "harness/options.h"
#include "results/store.h"

namespace assay {

// The prompt of an item's samples: one, or one for each where options are shuffled; equal ones are
// one object.
Result<std::vector<std::shared_ptr<const Prompt>>> prompts_of(const Task& task, const Item& item,
                                                              const ModelUnderTest& model);

// Generates, scores and stores every sample that the store lacks, or those of them that are
// `wanted`. Returns early, without an error, once the program is asked to stop.
Status sample_all(const RunOptions& options, const std::vector<Task>& tasks,
                  const JobSource::Prompts& prompts, ModelUnderTest& model, RunStore& store,
                  const std::set<SampleId>* wanted = nullptr);

// The second turns of the tasks that have any, each asked in a conversation with the stored answer
// of its first turn.
Status sample_follow_ups(const RunOptions& options, const std::vector<Task>& tasks,
                         ModelUnderTest& model, RunStore& store,
                         const std::set<SampleId>* wanted = nullptr);

}  // namespace assay
