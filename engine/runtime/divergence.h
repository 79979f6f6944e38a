// Two models on the same tokens: how far apart what they would say next is.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/runtime/local_engine.h"
#include "harness/base/result.h"

namespace assay {

// Of the distributions before one token, and of that token.
struct TokenDivergence {
  double kl = 0;  // Σ p · log(p / q) in nats, p of the base model
  bool same_best = false;
  double base_logprob = 0, other_logprob = 0;  // natural, of the token
};

// For each of `tokens`, which follow `prompt`. Both engines must have the same vocabulary; on GPUs
// they must be on the same one.
Result<std::vector<TokenDivergence>> compare_on(LocalEngine& base, LocalEngine& other,
                                                std::span<const int32_t> prompt,
                                                std::span<const int32_t> tokens);

constexpr int kPerplexityWindow = 512;

struct Perplexity {
  int64_t tokens = 0;  // that were predicted
  double value = 0;    // exp of the mean negative log-probability
  double se = 0;       // of the mean, carried over
};

// As llama.cpp's perplexity tool defines it: windows of `window` tokens that do not overlap, BOS in
// place of the first where the model begins texts with one, and only the second half of each window
// counts, for it has a context. Left-over tokens are not used; an error if there is no window.
Result<Perplexity> perplexity(LocalEngine& engine, std::span<const int32_t> tokens,
                              std::optional<int32_t> bos, int window = kPerplexityWindow);

}  // namespace assay
