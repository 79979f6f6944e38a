// Given tokens through a model ("teacher forcing"): what it would have said at each position.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/runtime/kv_cache.h"
#include "engine/runtime/local_engine.h"
#include "harness/base/result.h"

namespace assay {

class ForcedSequence {
 public:
  // The engine must outlive the sequence, and compute on one device. An error: a token that is not
  // in the vocabulary, more tokens than the context or the KV cache holds.
  static Result<ForcedSequence> start(LocalEngine& engine, std::vector<int32_t> tokens);

  int remaining() const { return static_cast<int>(tokens_.size()) - position_; }
  // Runs the next `count` tokens; logits [count, vocab_size] after each of them, in the device's
  // memory, until the next call.
  Result<const float*> next(int count);
  // The same without logits.
  Status skip(int count);

 private:
  ForcedSequence(LocalEngine& engine, std::vector<int32_t> tokens);
  void run(int count, std::span<const int> wanted);

  LocalEngine* engine_;
  std::vector<int32_t> tokens_;
  int position_ = 0;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<PageTable> pages_;
  Ops::Buffer logits_;
  int capacity_ = 0;  // rows of logits_
};

}  // namespace assay
