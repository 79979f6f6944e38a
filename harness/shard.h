// A run in parts, each on a machine of its own.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "harness/base/nouns.h"
#include "harness/base/result.h"
#include "harness/job.h"

namespace assay {

struct Shard {
  int index = 1, count = 1;  // the index counts from 1
  std::string text() const;  // "3/16"
  // The folder of its part of a run: "RUN/shard-03-of-16".
  std::string folder(const std::string& run) const;
};

// "3/16"; "none"; "auto": what Slurm (array or tasks), Open MPI or a Kubernetes indexed job (with
// JOB_COMPLETIONS set beside its JOB_COMPLETION_INDEX) says in the environment. Nothing: no shard.
Result<std::optional<Shard>> parse_shard(const std::string& text);

// Whether a sample is the shard's, by a hash of question and sample index; a second turn goes where
// its first one went.
bool in_shard(const SampleId& id, const Shard& shard);

// The shard's samples of the tasks, first and second turns.
std::set<SampleId> samples_of_shard(const std::vector<Task>& tasks, const Shard& shard);

}  // namespace assay
