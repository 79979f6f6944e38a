// Tensor parallelism: several devices compute one model together, in lockstep.
#pragma once

#include <functional>
#include <vector>

#include "engine/runtime/replicas.h"

namespace assay {

struct RankRun {
  ReplicaRun run;
  std::function<void()> leave;  // frees the others from waiting for this rank
};

// Runs every rank in a thread of its own. All get the same answers of `source` at the same points
// of their work, so all do the same; what rank 0 completes goes to `sink`.
Status run_ranks(const std::vector<RankRun>& ranks, RequestSource& source, CompletionSink& sink,
                 const std::atomic<bool>& stop);

// Calls body(rank) for all ranks, each in a thread of its own.
void for_each_rank(int ranks, const std::function<void(int rank)>& body);

}  // namespace assay
