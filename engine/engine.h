// The contract of every engine: requests in, completions out.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "harness/base/nouns.h"
#include "harness/base/result.h"

namespace assay {

// Where requests come from. Called from the engine's thread only.
class RequestSource {
 public:
  virtual ~RequestSource() = default;
  // The next request, or nothing when there is none now. Requests of one item come one after the
  // other, so that they can share the prompt.
  virtual std::optional<Request> next() = 0;
  // Whether nothing comes any more, after next() gave nothing.
  virtual bool ended() { return true; }
  // Returns when next() may have something again or the source has ended, or after a while. Called
  // by an engine that has nothing else to do.
  virtual void wait() {}
};

// Where completions go, in the order in which they finish. Called from the engine's thread only;
// may block to hold the engine back.
class CompletionSink {
 public:
  virtual ~CompletionSink() = default;
  virtual Status accept(Completion completion) = 0;
};

// Counters that other threads may read while generate() runs.
struct EngineStats {
  std::atomic<uint64_t> generated_tokens{0};  // tokens of samples, each counted once
  std::atomic<uint64_t> prefill_tokens{0};    // prompt tokens that went through the model
  std::atomic<uint64_t> recomputed_tokens{0};
  std::atomic<uint64_t> preemptions{0};
  std::atomic<uint64_t> steps{0};
  std::atomic<uint64_t> active_sequences{0};
};

class Engine {
 public:
  virtual ~Engine() = default;

  // Answers every request of `source`. Returns early, without an error, once `stop` is set: samples
  // under way are dropped, finished ones have been delivered. A request that cannot be answered (a
  // prompt longer than the context) is delivered with FinishReason::kError; an error returned here
  // ends the run.
  virtual Status generate(RequestSource& source, CompletionSink& sink,
                          const std::atomic<bool>& stop) = 0;

  virtual const EngineStats& stats() const = 0;
};

}  // namespace assay
