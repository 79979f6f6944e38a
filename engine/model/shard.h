// Tensor parallelism: a model's parts for devices that compute it together (Shoeybi et al.,
// "Megatron-LM", 2019). A rank has a part of the heads and of the FFN: rows of q, k, v, gate and
// up, columns of output and down, after which the ranks' sums are added up. Norms, embedding and
// lm_head are everybody's.
#pragma once

#include "engine/model/config.h"
#include "engine/model/weights.h"
#include "harness/base/result.h"

namespace assay {

struct ModelShard {
  ModelConfig config;    // heads, kv_heads and ffn_width are the rank's own
  ModelWeights weights;  // views of the whole model's
};

// Part `rank` of `ranks`. Fails, and says why, where heads or blocks of the type cannot be divided.
Result<ModelShard> shard_model(const ModelConfig& config, const ModelWeights& weights, int rank,
                               int ranks);

}  // namespace assay
