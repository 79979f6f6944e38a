#include "engine/runtime/divergence.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/runtime/forced.h"

namespace assay {
namespace {

constexpr int kPart = 64;  // positions at a time

}  // namespace

Result<std::vector<TokenDivergence>> compare_on(LocalEngine& base, LocalEngine& other,
                                                std::span<const int32_t> prompt,
                                                std::span<const int32_t> tokens) {
  const int vocab_size = base.transformer().config().vocab_size;
  if (other.transformer().config().vocab_size != vocab_size) {
    return Error{
        fmt::format("the models have vocabularies of {} and {} tokens; only models with the "
                    "same can be compared token by token",
                    vocab_size, other.transformer().config().vocab_size)};
  }
  std::vector<TokenDivergence> out;
  if (prompt.empty() || tokens.empty()) return out;
  std::vector<int32_t> all(prompt.begin(), prompt.end());
  all.insert(all.end(), tokens.begin(), tokens.end());
  all.pop_back();  // nothing is asked of what follows the last
  ASSAY_TRY(ForcedSequence base_sequence, ForcedSequence::start(base, all));
  ASSAY_TRY(ForcedSequence other_sequence, ForcedSequence::start(other, std::move(all)));
  const int before = static_cast<int>(prompt.size()) - 1;
  ASSAY_TRY_STATUS(base_sequence.skip(before));
  ASSAY_TRY_STATUS(other_sequence.skip(before));
  std::vector<LogitsDifference> differences;
  std::vector<double> base_logprobs, other_logprobs;
  while (base_sequence.remaining() > 0) {
    const int count = std::min(kPart, base_sequence.remaining());
    const size_t rows = static_cast<size_t>(count);
    ASSAY_TRY(const float* base_logits, base_sequence.next(count));
    ASSAY_TRY(const float* other_logits, other_sequence.next(count));
    differences.resize(rows);
    base_logprobs.resize(rows);
    other_logprobs.resize(rows);
    const std::span<const int32_t> next = tokens.subspan(out.size(), rows);
    base.ops().compare_logits(base_logits, other_logits, vocab_size, differences);
    base.ops().token_logprobs(base_logits, vocab_size, next, base_logprobs.data());
    other.ops().token_logprobs(other_logits, vocab_size, next, other_logprobs.data());
    ASSAY_TRY_STATUS(base.ops().status());
    for (size_t i = 0; i < rows; ++i) {
      out.push_back({differences[i].kl_divergence, differences[i].best == differences[i].other_best,
                     base_logprobs[i], other_logprobs[i]});
    }
  }
  return out;
}

Result<Perplexity> perplexity(LocalEngine& engine, std::span<const int32_t> tokens,
                              std::optional<int32_t> bos, int window) {
  const int vocab_size = engine.transformer().config().vocab_size;
  const size_t size = static_cast<size_t>(window);
  if (window < 4 || tokens.size() < size) {
    return Error{fmt::format("a text of {} tokens is too short for a perplexity with windows of {}",
                             tokens.size(), window)};
  }
  Perplexity result;
  double sum = 0, squares = 0;
  for (size_t begin = 0; begin + size <= tokens.size(); begin += size) {
    std::vector<int32_t> part(tokens.begin() + static_cast<std::ptrdiff_t>(begin),
                              tokens.begin() + static_cast<std::ptrdiff_t>(begin + size));
    if (bos) part[0] = *bos;
    ASSAY_TRY(ForcedSequence sequence, ForcedSequence::start(engine, part));
    ASSAY_TRY_STATUS(sequence.skip(window / 2));
    for (size_t at = size / 2; at + 1 < size;) {
      const size_t count = std::min<size_t>(kPart, size - 1 - at);
      ASSAY_TRY(const float* logits, sequence.next(static_cast<int>(count)));
      std::vector<double> logprobs(count);
      engine.ops().token_logprobs(logits, vocab_size, std::span(part).subspan(at + 1, count),
                                  logprobs.data());
      for (const double logprob : logprobs) {
        sum -= logprob;
        squares += logprob * logprob;
      }
      at += count;
      result.tokens += static_cast<int64_t>(count);
    }
  }
  ASSAY_TRY_STATUS(engine.ops().status());
  const double n = static_cast<double>(result.tokens), mean = sum / n;
  result.value = std::exp(mean);
  result.se = result.value * std::sqrt(std::max(0.0, squares / n - mean * mean) / (n - 1));
  return result;
}

}  // namespace assay
