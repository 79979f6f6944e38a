// An engine that answers with what another run has recorded.
#pragma once

#include <functional>
#include <optional>

#include "engine/engine.h"

namespace assay {

// Looks up a recorded completion; nothing when the recording lacks it.
using RecordedCompletion = std::function<Result<std::optional<Completion>>(const SampleId&)>;

class ReplayEngine : public Engine {
 public:
  explicit ReplayEngine(RecordedCompletion recorded) : recorded_(std::move(recorded)) {}

  Status generate(RequestSource& source, CompletionSink& sink,
                  const std::atomic<bool>& stop) override;
  const EngineStats& stats() const override { return stats_; }

 private:
  RecordedCompletion recorded_;
  EngineStats stats_;
};

}  // namespace assay
