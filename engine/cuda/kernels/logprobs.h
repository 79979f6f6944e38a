// Log-probabilities and how two distributions differ, a block a row.
#pragma once

#include "engine/cuda/device.h"
#include "engine/cuda/kernels.h"
#include "engine/cuda/kernels/softmax.h"

namespace assay::ASSAY_KERNELS {

// report: log_softmax threads 1024 shared 0 occupancy 50
__global__ void __launch_bounds__(kSampleThreads)
    log_softmax(Global<float> all, int vocab_size, Global<float> all_weights,
                Global<float> all_blocks) {
  ASSAY_SHARED(float, lanes, kSampleWarps);
  const int64_t row = blockIdx.x;
  const Global<float> x = all + row * vocab_size;
  const float best = max_of_row(x, vocab_size, lanes);
  const double total = exp_sum(x, vocab_size, best, 1.0f, all_weights + row * vocab_size,
                               all_blocks + row * ((vocab_size + kExpBlock - 1) / kExpBlock));
  const double log_total = log(total);
  for (int i = static_cast<int>(threadIdx.x); i < vocab_size; i += kSampleThreads) {
    x[i] = static_cast<float>(static_cast<double>(x[i] - best) - log_total);
  }
}

// report: token_logprobs threads 1024 shared 0 occupancy 50
__global__ void __launch_bounds__(kSampleThreads)
    token_logprobs(Global<const float> logits, Global<const int32_t> tokens, int vocab_size,
                   Global<float> all_weights, Global<float> all_blocks, Global<double> out) {
  ASSAY_SHARED(float, lanes, kSampleWarps);
  const int64_t row = blockIdx.x;
  const Global<const float> x = logits + row * vocab_size;
  const float best = max_of_row(x, vocab_size, lanes);
  const double total = exp_sum(x, vocab_size, best, 1.0f, all_weights + row * vocab_size,
                               all_blocks + row * ((vocab_size + kExpBlock - 1) / kExpBlock));
  if (threadIdx.x == 0) out[row] = static_cast<double>(x[tokens[row]] - best) - log(total);
}

// The divergence's terms are kl_term(): none is negative, so that small divergences are exact.
// report: compare_logits threads 1024 shared 0 occupancy 50
__global__ void __launch_bounds__(kSampleThreads)
    compare_logits(Global<const float> base, Global<const float> other, int vocab_size,
                   Global<float> all_weights, Global<float> all_blocks,
                   Global<CudaLogitsDifference> out) {
  ASSAY_SHARED(float, lanes, kSampleWarps);
  ASSAY_SHARED(double, sums, kSampleWarps);
  ASSAY_SHARED(int, firsts, kSampleWarps);
  const int64_t row = blockIdx.x;
  const Global<const float> x = base + row * vocab_size, y = other + row * vocab_size;
  const Global<float> weights = all_weights + row * vocab_size;
  const Global<float> blocks = all_blocks + row * ((vocab_size + kExpBlock - 1) / kExpBlock);
  const float best = max_of_row(x, vocab_size, lanes);
  const float other_best = max_of_row(y, vocab_size, lanes);
  const double other_total = exp_sum(y, vocab_size, other_best, 1.0f, weights, blocks);
  const double total = exp_sum(x, vocab_size, best, 1.0f, weights, blocks);  // weights stay
  const double shift =
      static_cast<double>(other_best) - static_cast<double>(best) + log(other_total / total);
  const double share = 1 / total, other_share = 1 / other_total;
  double own = 0;
  for (int i = static_cast<int>(threadIdx.x); i < vocab_size; i += kSampleThreads) {
    const double q = static_cast<double>(exp_f32(y[i] - other_best)) * other_share;
    const double difference = static_cast<double>(x[i]) - static_cast<double>(y[i]) + shift;
    own += kl_term(static_cast<double>(weights[i]) * share, q, difference);
  }
  const double divergence = sum_of_block(own, sums);
  const int first = first_of(x, vocab_size, best, firsts);
  const int other_first = first_of(y, vocab_size, other_best, firsts);
  if (threadIdx.x == 0) out[row] = CudaLogitsDifference{divergence, first, other_first};
}

}  // namespace assay::ASSAY_KERNELS
