// Scoring and storing while the engine generates: a oneTBB flow graph behind a CompletionSink.
//
//   engine thread ─ accept() ─> score (parallel) ─> store (one at a time) ─> progress
//
// A bounded number of completions is under way; when scoring or the disk cannot keep up, accept()
// blocks and holds the engine back.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "engine/engine.h"
#include "harness/base/nouns.h"
#include "harness/base/result.h"
#include "harness/progress.h"
#include "results/store.h"
#include "scorers/scorer.h"

namespace assay {

class Pipeline : public CompletionSink {
 public:
  struct Judge {
    const Item* item;
    const Scorer* scorer;
  };
  // By suite and item id; must cover every completion.
  using Judges = std::map<std::pair<std::string, std::string>, Judge>;

  Pipeline(const Judges& judges, RunStore& store, Progress& progress, int threads);
  ~Pipeline() override;

  // Fails once storing has failed; the engine then stops.
  Status accept(Completion completion) override;
  // Waits until everything accepted is durable, or returns what went wrong.
  Status finish();

 private:
  struct Graph;
  std::unique_ptr<Graph> graph_;
};

// Judges one completion; the record that is stored.
SampleRecord judge(const Pipeline::Judge& judge, Completion completion);

}  // namespace assay
