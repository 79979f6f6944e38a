// What sampling and log-probabilities share: a row's best entry and its softmax, by one block. The
// sums are those of the CPU device's exp_sum: sixteen lanes over 1,024 values, then f64 in order;
// so the weights are the same bits.
#pragma once

#include "engine/cuda/device.h"
#include "engine/cuda/kernels.h"

namespace assay::ASSAY_KERNELS {

constexpr int kSampleThreads = 256, kSampleWarps = kSampleThreads / 32;
constexpr int kExpBlock = 1024;
constexpr float kLowest = -INFINITY;

__device__ inline float max_of_block(float value, Shared<float> lanes) {
  for (int apart = 16; apart > 0; apart /= 2) {
    value = fmaxf(value, __shfl_xor_sync(~0u, value, apart));
  }
  __syncthreads();
  if (threadIdx.x % 32 == 0) lanes[threadIdx.x / 32] = value;
  __syncthreads();
  float most = lanes[0];
  for (int i = 1; i < kSampleWarps; ++i) most = fmaxf(most, lanes[i]);
  return most;
}

__device__ inline float max_of_row(Global<const float> x, int count, Shared<float> lanes) {
  float best = kLowest;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kSampleThreads) {
    best = fmaxf(best, x[i]);
  }
  return max_of_block(best, lanes);
}

// The lowest i with x[i] == value, or `count`; `scratch` has an entry for each thread.
__device__ inline int first_of(Global<const float> x, int count, float value, Shared<int> scratch) {
  int own = count;
  for (int i = static_cast<int>(threadIdx.x); i < count && own == count; i += kSampleThreads) {
    if (x[i] == value) own = i;
  }
  __syncthreads();
  scratch[threadIdx.x] = own;
  __syncthreads();
  int first = count;
  for (int t = 0; t < kSampleThreads; ++t) first = scratch[t] < first ? scratch[t] : first;
  return first;
}

// In order of the warps, the same for all threads.
__device__ inline double sum_of_block(double value, Shared<double> lanes) {
  for (int apart = 16; apart > 0; apart /= 2) value += __shfl_xor_sync(~0u, value, apart);
  __syncthreads();
  if (threadIdx.x % 32 == 0) lanes[threadIdx.x / 32] = value;
  __syncthreads();
  double sum = 0;
  for (int i = 0; i < kSampleWarps; ++i) sum += lanes[i];
  return sum;
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
    for (int i = begin + lane; i < end; i += 16) {
      const float weight = exp_f32((x[i] - shift) * factor);
      weights[i] = weight;
      sum += weight;
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
