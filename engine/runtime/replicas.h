// Data parallelism: several devices answer the requests of one queue.
#pragma once

#include <atomic>
#include <functional>
#include <vector>

#include "engine/engine.h"

namespace assay {

// One device's work: answers requests of its source until there are none.
using ReplicaRun =
    std::function<Status(RequestSource&, CompletionSink&, const std::atomic<bool>& stop)>;

// Runs every replica in a thread of its own. A request goes to a replica that has no more of them
// than the others, give or take a few; `source` and `sink` are called by one thread at a time. When
// a replica fails the others stop too, and its error is returned.
Status run_replicas(const std::vector<ReplicaRun>& replicas, RequestSource& source,
                    CompletionSink& sink, const std::atomic<bool>& stop);

}  // namespace assay
