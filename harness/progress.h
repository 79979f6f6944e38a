// Progress of a run on standard error: a bar on a terminal, a line every 10 s elsewhere.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "engine/engine.h"
#include "harness/base/nouns.h"

namespace assay {

class Progress {
 public:
  // `present` of `total` samples were there before this session. Starts a thread that prints until
  // the object goes.
  Progress(int64_t total, int64_t present, const EngineStats& engine);
  ~Progress();

  // Counts records that are durable. Thread-safe.
  void add(const SampleRecord& record);

  // The line that is shown now; for tests.
  std::string line() const;

 private:
  void print_loop();

  const int64_t total_, present_;
  const EngineStats& engine_;
  const bool terminal_;
  const double started_s_;
  const uint64_t tokens_before_;  // of the engine
  std::atomic<int64_t> done_{0}, scored_{0}, correct_{0}, finished_tokens_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ended_ = false;
  std::thread printer_;
};

}  // namespace assay
