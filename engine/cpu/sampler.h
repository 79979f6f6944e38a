// Draws tokens. A draw is a function of logits, parameters, key and counter alone.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/ops.h"
#include "harness/base/nouns.h"
#include "harness/base/philox.h"

namespace assay {

struct SampledToken {
  int32_t token = -1;  // -1: the logits hold a value that is not finite
  double logprob = 0;  // natural log of its probability before temperature and truncation
};

// In this order: softmax(logits / temperature); the top_k best; the smallest set of the best whose
// probability reaches top_p, the token that crosses it included; those of at least min_p times the
// best one's probability; a draw from what is left, renormalised. Of equal probabilities the lower
// token id counts as better. `scratch` is reused between calls and belongs to one thread.
class Sampler {
 public:
  explicit Sampler(Ops& ops) : ops_(ops) {}

  struct Scratch {
    std::vector<float> weights;
    std::vector<int32_t> kept, order;
  };

  SampledToken sample(const float* logits, int vocab_size, const SamplingParams& params,
                      PhiloxKey key, uint32_t position, uint32_t sample_index,
                      Scratch& scratch) const;

 private:
  Ops& ops_;
};

}  // namespace assay
