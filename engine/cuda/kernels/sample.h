// Sampling, a block a row. The kept set (Ops::sample says which) is found as a threshold: the
// weight of its least entry, by bisection of the bit patterns, and how many of the equal ones
// count, in order of id.
#pragma once

#include "engine/cuda/device.h"
#include "engine/cuda/kernels.h"
#include "engine/cuda/kernels/softmax.h"

namespace assay::ASSAY_KERNELS {

struct Kept {
  uint32_t least;  // bits of the least weight that is kept
  int equal;       // so many entries of that weight are, the lowest ids
};

// Where `enough(mass, count)` of the entries above or at a weight first holds, from the best down.
template <typename Enough>
__device__ Kept find_least(Global<const float> weights, int count, Kept known, Shared<double> lanes,
                           Enough enough) {
  // Sums over entries that are kept so far and whose bits are at least `floor`.
  const auto measure = [&](uint32_t floor, double& mass, double& entries) {
    double own_mass = 0, own_entries = 0;
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kSampleThreads) {
      const uint32_t bits = __float_as_uint(weights[i]);
      if (bits < floor || bits <= known.least) continue;
      own_mass += static_cast<double>(weights[i]);
      own_entries += 1;
    }
    mass = sum_of_block(own_mass, lanes);
    entries = sum_of_block(own_entries, lanes);
    if (floor <= known.least) {
      mass += static_cast<double>(__uint_as_float(known.least)) * known.equal;
      entries += known.equal;
    }
  };
  uint32_t low = known.least, high = 0x3F800001u;  // enough at `low`, or everything; not at `high`
  while (high - low > 1) {
    const uint32_t middle = low + (high - low) / 2;
    double mass, entries;
    measure(middle, mass, entries);
    if (enough(mass, entries)) {
      low = middle;
    } else {
      high = middle;
    }
  }
  double above_mass, above_count, mass, entries;
  measure(low + 1, above_mass, above_count);
  measure(low, mass, entries);
  const double weight = static_cast<double>(__uint_as_float(low));
  const int equal = static_cast<int>(entries - above_count);
  // The fewest of the equal ones that are enough.
  int least = 1, most = equal > 1 ? equal : 1;
  while (least < most) {
    const int middle = (least + most) / 2;
    if (enough(above_mass + weight * middle, above_count + middle)) {
      most = middle;
    } else {
      least = middle + 1;
    }
  }
  return {low, least};
}

// The entry of the kept ones, in order of id, at which their running total passes `uniform` of it.
__device__ inline int draw(Global<const float> weights, int count, const Kept& kept, uint32_t floor,
                           double uniform, Shared<double> totals, Shared<int> equals,
                           Shared<int> result) {
  const int share = (count + kSampleThreads - 1) / kSampleThreads;
  const int own = static_cast<int>(threadIdx.x);
  const int begin = own * share < count ? own * share : count;
  const int end = begin + share < count ? begin + share : count;
  // Entries as heavy as the least one count up to the kept.equal-th.
  const auto is_equal = [&](int i) { return __float_as_uint(weights[i]) == kept.least; };
  int equal = 0;
  for (int i = begin; i < end; ++i) equal += is_equal(i) ? 1 : 0;
  __syncthreads();
  equals[own] = equal;
  __syncthreads();
  int equal_before = 0;
  for (int t = 0; t < own; ++t) equal_before += equals[t];
  const auto over_kept = [&](auto visit) {
    int seen = equal_before;
    for (int i = begin; i < end; ++i) {
      const uint32_t bits = __float_as_uint(weights[i]);
      if (bits < kept.least || bits < floor) continue;
      if (bits == kept.least && ++seen > kept.equal) continue;
      if (visit(i)) return;
    }
  };
  double total = 0;
  over_kept([&](int i) {
    total += static_cast<double>(weights[i]);
    return false;
  });
  totals[own] = total;
  if (own == 0) result[0] = 0x7FFFFFFF, result[1] = -1;
  __syncthreads();
  double before = 0, all = 0;
  for (int t = 0; t < kSampleThreads; ++t) {
    if (t < own) before += totals[t];
    all += totals[t];
  }
  const double target = uniform * all;
  int found = -1, last = -1;
  double passed = before;
  over_kept([&](int i) {
    passed += static_cast<double>(weights[i]);
    last = i;
    if (passed > target) {
      found = i;
      return true;
    }
    return false;
  });
  // The first thread that passes the target has it; else the last kept entry is it.
  const bool begins = found >= 0 && before <= target;
  if (begins) result[0] = found;
  equals[own] = last;
  __syncthreads();
  if (own == 0 && result[0] == 0x7FFFFFFF) {
    for (int t = 0; t < kSampleThreads; ++t) {
      if (equals[t] >= 0) result[0] = equals[t];
    }
  }
  __syncthreads();
  return result[0];
}

// report: sample threads 256 shared 0 occupancy 25
__global__ void __launch_bounds__(kSampleThreads)
    sample(Global<const float> logits, Global<const CudaSampleRow> rows, int vocab_size,
           Global<float> all_weights, Global<float> all_blocks, Global<CudaSampled> out) {
  ASSAY_SHARED(float, lanes, kSampleWarps);
  ASSAY_SHARED(double, sums, kSampleWarps);
  ASSAY_SHARED(double, totals, kSampleThreads);
  ASSAY_SHARED(int, equals, kSampleThreads);
  ASSAY_SHARED(int, result, 2);
  const int64_t row = blockIdx.x;
  const Global<const float> x = logits + row * vocab_size;
  const Global<float> weights = all_weights + row * vocab_size;
  const Global<float> blocks = all_blocks + row * ((vocab_size + kExpBlock - 1) / kExpBlock);
  const CudaSampleRow params = rows[row];

  const float best = max_of_row(x, vocab_size, lanes);
  const double untempered = exp_sum(x, vocab_size, best, 1.0f, weights, blocks);
  if (!(best < 3.4e38f && best > -3.4e38f) || !(untempered < 1e300)) {
    if (threadIdx.x == 0) out[row] = CudaSampled{-1, 0, 0};
    return;
  }
  int token;
  if (params.temperature_factor == 0) {
    token = first_of(x, vocab_size, best, equals);
  } else {
    double total = untempered;
    if (params.temperature_factor != 1) {
      total = exp_sum(x, vocab_size, best, params.temperature_factor, weights, blocks);
    }
    Kept kept{0, vocab_size};
    if (params.top_k > 0) {
      const double wanted = params.top_k < vocab_size ? params.top_k : vocab_size;
      kept = find_least(weights, vocab_size, kept, sums,
                        [&](double, double entries) { return entries >= wanted; });
      double mass = 0;
      for (int i = static_cast<int>(threadIdx.x); i < vocab_size; i += kSampleThreads) {
        if (__float_as_uint(weights[i]) > kept.least) mass += static_cast<double>(weights[i]);
      }
      total =
          sum_of_block(mass, sums) + static_cast<double>(__uint_as_float(kept.least)) * kept.equal;
    }
    if (params.top_p < 1) {
      const double needed = params.top_p * total;
      kept = find_least(weights, vocab_size, kept, sums,
                        [&](double mass, double) { return mass >= needed; });
    }
    const uint32_t floor = params.min_p > 0 ? __float_as_uint(params.min_p) : 0;
    token = draw(weights, vocab_size, kept, floor, params.uniform, totals, equals, result);
  }
  if (threadIdx.x == 0) out[row] = CudaSampled{token, x[token] - best, untempered};
}

}  // namespace assay::ASSAY_KERNELS
