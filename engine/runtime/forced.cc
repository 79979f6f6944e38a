#include "engine/runtime/forced.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace assay {

ForcedSequence::ForcedSequence(LocalEngine& engine, std::vector<int32_t> tokens)
    : engine_(&engine),
      tokens_(std::move(tokens)),
      cache_(std::make_unique<KvCache>(engine.ops(), engine.transformer().page_bytes(),
                                       engine.max_pages())),
      pages_(std::make_unique<PageTable>(*cache_)) {}

Result<ForcedSequence> ForcedSequence::start(LocalEngine& engine, std::vector<int32_t> tokens) {
  const ModelConfig& config = engine.transformer().config();
  if (engine.tensor_parallel() > 1) {
    return Error{"given tokens are run on one device; leave out --tensor-parallel"};
  }
  if (static_cast<int64_t>(tokens.size()) > config.context_length) {
    return Error{fmt::format("{} tokens are more than the model's context of {}", tokens.size(),
                             config.context_length)};
  }
  for (const int32_t token : tokens) {
    if (token < 0 || token >= config.vocab_size) {
      return Error{
          fmt::format("token {} is not in the model's vocabulary of {}; the tokens are of "
                      "another model",
                      token, config.vocab_size)};
    }
  }
  ForcedSequence sequence(engine, std::move(tokens));
  if (!sequence.pages_->grow_to(static_cast<int>(sequence.tokens_.size()))) {
    return Error{"the KV cache is too small; raise --kv-cache-gib"};
  }
  return sequence;
}

void ForcedSequence::run(int count, std::span<const int> wanted) {
  std::vector<BatchRow> rows;
  for (int i = 0; i < count; ++i) {
    rows.push_back({tokens_[static_cast<size_t>(position_ + i)], position_ + i, pages_->data()});
  }
  engine_->transformer().forward(rows, wanted, logits_.get());
  position_ += count;
}

Result<const float*> ForcedSequence::next(int count) {
  count = std::min(count, remaining());
  if (count > capacity_) {
    const auto vocab_size = static_cast<size_t>(engine_->transformer().config().vocab_size);
    logits_ = engine_->ops().allocate(static_cast<size_t>(count) * vocab_size);
    capacity_ = count;
  }
  std::vector<int> wanted(static_cast<size_t>(count));
  std::iota(wanted.begin(), wanted.end(), 0);
  run(count, wanted);
  ASSAY_TRY_STATUS(engine_->ops().status());
  return static_cast<const float*>(logits_.get());
}

Status ForcedSequence::skip(int count) {
  constexpr int kPart = 256;
  while (count > 0) {
    const int part = std::min({count, kPart, remaining()});
    if (part <= 0) break;
    run(part, {});
    count -= part;
  }
  return engine_->ops().status();
}

}  // namespace assay
