#include "engine/replay/replay_engine.h"

#include <fmt/format.h>

namespace assay {

Status ReplayEngine::generate(RequestSource& source, CompletionSink& sink,
                              const std::atomic<bool>& stop) {
  while (!stop) {
    const std::optional<Request> request = source.next();
    if (!request) break;
    ASSAY_TRY(std::optional<Completion> completion, recorded_(request->id));
    if (!completion) {
      completion.emplace();
      completion->id = request->id;
      completion->error = "the replayed run has no such sample";
    }
    stats_.generated_tokens += completion->token_ids.size();
    ++stats_.steps;
    ASSAY_TRY_STATUS(sink.accept(std::move(*completion)));
  }
  return {};
}

}  // namespace assay
