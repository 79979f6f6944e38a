// What sampling and log-probabilities share: a row's best entry and its softmax, by one block. The
// sums are those of the CPU device's exp_sum: sixteen lanes over 1,024 values, then f64 in order;
// so the weights are the same bits.
#pragma once

#include "engine/cuda/device.h"
#include "engine/cuda/kernels.h"

namespace assay::ASSAY_KERNELS {

constexpr int kSampleThreads = 1024, kSampleWarps = 32;
constexpr int kExpBlock = 1024;
constexpr float kLowest = -INFINITY;

// Combines the threads' values, the same for all; `lanes` has a place for each warp.
template <typename T, typename Combine>
__device__ T reduce_block(T value, Shared<T> lanes, Combine combine) {
  ASSAY_UNROLL
  for (int apart = 16; apart > 0; apart /= 2) {
    value = combine(value, __shfl_xor_sync(~0u, value, apart));
  }
  __syncthreads();
  if (threadIdx.x % 32 == 0) lanes[threadIdx.x / 32] = value;
  __syncthreads();
  value = lanes[threadIdx.x % 32];
  ASSAY_UNROLL
  for (int apart = 16; apart > 0; apart /= 2) {
    value = combine(value, __shfl_xor_sync(~0u, value, apart));
  }
  return value;
}
__device__ inline double sum_of_block(double value, Shared<double> lanes) {
  return reduce_block(value, lanes, [](double a, double b) { return a + b; });
}

__device__ inline float max_of_row(Global<const float> x, int count, Shared<float> lanes) {
  float best = kLowest;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kSampleThreads) {
    best = fmaxf(best, x[i]);
  }
  return reduce_block(best, lanes, [](float a, float b) { return fmaxf(a, b); });
}

// The lowest i with x[i] == value, or `count`.
__device__ inline int first_of(Global<const float> x, int count, float value, Shared<int> lanes) {
  int own = count;
  for (int i = static_cast<int>(threadIdx.x); i < count && own == count; i += kSampleThreads) {
    if (x[i] == value) own = i;
  }
  return reduce_block(own, lanes, [](int a, int b) { return a < b ? a : b; });
}

// weights[i] = exp((x[i] − shift) · factor), and their sum.
__device__ inline double exp_sum(Global<const float> x, int count, float shift, float factor,
                                 Global<float> weights, Global<float> blocks) {
  const int lane = static_cast<int>(threadIdx.x % 16),
            half_warp = static_cast<int>(threadIdx.x / 16);
  const int block_count = (count + kExpBlock - 1) / kExpBlock;
  // Both halves of a warp take part in each shuffle.
  const int rounds = (block_count + kSampleThreads / 16 - 1) / (kSampleThreads / 16);
  for (int round = 0; round < rounds; ++round) {
    const int b = round * (kSampleThreads / 16) + half_warp;
    const int begin = b * kExpBlock;
    const int end = begin + kExpBlock < count ? begin + kExpBlock : count;
    float sum = 0;
    // Four loads at once, for each waits for memory.
    for (int i = begin + lane; i < end; i += 64) {
      float some[4];
      ASSAY_UNROLL
      for (int j = 0; j < 4; ++j) some[j] = i + 16 * j < end ? x[i + 16 * j] : 0.0f;
      ASSAY_UNROLL
      for (int j = 0; j < 4; ++j) {
        if (i + 16 * j >= end) break;
        const float weight = exp_f32((some[j] - shift) * factor);
        weights[i + 16 * j] = weight;
        sum += weight;
      }
    }
    sum = sum_16_lanes(sum);
    if (lane == 0 && b < block_count) blocks[b] = sum;
  }
  __syncthreads();
  double total = 0;
  for (int b = 0; b < block_count; ++b) total += static_cast<double>(blocks[b]);
  __syncthreads();
  return total;
}

}  // namespace assay::ASSAY_KERNELS
