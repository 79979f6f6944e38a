// Causal attention over a paged KV cache of bf16, split over positions (flash-decoding; Dao et al.,
// "FlashAttention-2", 2023, for the running softmax).
//
// A block takes one KV head of one unit: rows that see the same pages in one split of 512
// positions, be they rows of a prompt or samples that share one. Their query heads are the 16 rows
// of mma.m16n8k16. Each of four warps takes every fourth page of the split, and their results are
// merged in order; attention_merge merges the splits in order. So a row's bits depend on its own
// positions alone, not on who is in its unit. Queries and probabilities are sums of two bf16
// values, keys and values are bf16 in the cache, or whole numbers of 8 bits, which are exact in
// bf16 and whose scales go to the scores and into the probabilities: products are exact to 16 bits.
#pragma once

#include "engine/cuda/device.h"
#include "engine/cuda/kernels.h"
#include "engine/cuda/kernels/elementwise.h"

namespace assay::ASSAY_KERNELS {

constexpr int kAttentionWarps = 4, kAttentionThreads = 32 * kAttentionWarps;
constexpr int kWarpPages = kCudaSplitTokens / kPageTokens / kAttentionWarps;
constexpr int kQueryRows = 16;
constexpr float kNothing = -3.402823466e38f;  // the maximum of no score

// Bytes of a position's key or value in shared memory: rows shifted by 16, so no bank conflicts.
constexpr int attention_stride(int head_dim, bool int8) { return head_dim * (int8 ? 1 : 2) + 16; }
// Keys and values of a page, twice for each warp.
constexpr int attention_stage_bytes(int head_dim, bool int8) {
  return 2 * kPageTokens * attention_stride(head_dim, int8);
}
constexpr int attention_shared_bytes(int head_dim, bool int8) {
  const int pages = kAttentionWarps * 2 * attention_stage_bytes(head_dim, int8);
  const int merge = kAttentionWarps * kQueryRows * head_dim * 4;
  return pages > merge ? pages : merge;
}

// Asks for a page's keys and values of a KV head, `row_bytes` a position; a warp's work.
template <int kRowBytes>
__device__ void load_page(Shared<uint8_t> stage, Global<const uint8_t> keys,
                          Global<const uint8_t> values, int lane) {
  constexpr int kPieces = kRowBytes / 16, kStride = kRowBytes + 16;
  for (int i = lane; i < kPageTokens * kPieces; i += 32) {
    const int slot = i / kPieces, piece = i % kPieces * 16;
    copy_async_16(stage + (slot * kStride + piece), keys + (slot * kRowBytes + piece));
    copy_async_16(stage + ((kPageTokens + slot) * kStride + piece),
                  values + (slot * kRowBytes + piece));
  }
  commit_copies();
}

// Two 8-bit whole numbers as bf16.
__device__ inline uint32_t widen_int8(uint32_t low, uint32_t high) {
  return pack_bf16(static_cast<float>(static_cast<int8_t>(low)),
                   static_cast<float>(static_cast<int8_t>(high)));
}

// B's fragments of 32 dimensions of eight keys: two steps of two registers each.
template <bool kInt8>
__device__ void load_keys(uint32_t (&b)[4], Shared<uint8_t> keys, int stride, int tile, int group) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  if constexpr (kInt8) {
    const Shared<uint8_t> row = keys + ((tile * 8 + lane / 4) * stride + group * 32 + lane % 4 * 2);
    ASSAY_UNROLL
    for (int i = 0; i < 4; ++i) {
      const uint32_t pair = load_as<uint16_t>(row + 8 * i);
      b[i] = widen_int8(pair & 0xFF, pair >> 8);
    }
  } else {
    load_matrices_4(b, keys + ((tile * 8 + lane % 8) * stride + group * 64 + lane / 8 * 16));
  }
}

// B's fragments of 16 values for 16 dimensions: two tiles of two registers each.
template <bool kInt8>
__device__ void load_values(uint32_t (&b)[4], Shared<uint8_t> values, int stride, int tile) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  if constexpr (kInt8) {
    ASSAY_UNROLL
    for (int i = 0; i < 4; ++i) {
      const Shared<uint8_t> at =
          values + ((lane % 4 * 2 + i % 2 * 8) * stride + (tile + i / 2) * 8 + lane / 4);
      b[i] = widen_int8(at[0], at[stride]);
    }
  } else {
    load_matrices_4_transposed(
        b, values + ((lane / 8 % 2 * 8 + lane % 8) * stride + (tile + lane / 16) * 16));
  }
}

// The rest that bf16 leaves of two values.
__device__ inline uint32_t pack_rest(float first, float second, uint32_t packed) {
  return pack_bf16(first - low_bf16(packed), second - high_bf16(packed));
}

__device__ inline float max_of_quad(float value) {
  value = fmaxf(value, __shfl_xor_sync(~0u, value, 1));
  return fmaxf(value, __shfl_xor_sync(~0u, value, 2));
}
__device__ inline float sum_of_quad(float value) {
  value += __shfl_xor_sync(~0u, value, 1);
  return value + __shfl_xor_sync(~0u, value, 2);
}

// report: attention_split<32,false> threads 128 shared 20480 occupancy 25
// report: attention_split<64,false> threads 128 shared 36864 occupancy 16
// report: attention_split<96,false> threads 128 shared 53248 occupancy 8
// report: attention_split<128,false> threads 128 shared 69632 occupancy 8 spills 32
// report: attention_split<32,true> threads 128 shared 12288 occupancy 25
// report: attention_split<64,true> threads 128 shared 20480 occupancy 16
// report: attention_split<96,true> threads 128 shared 28672 occupancy 8
// report: attention_split<128,true> threads 128 shared 36864 occupancy 8
template <int kDim, bool kInt8>
__global__ void __launch_bounds__(kAttentionThreads, kDim == 128 && !kInt8 ? 3 : 2)
    attention_split(Global<const float> q, Global<const CudaAttentionUnit> units,
                    Global<const int32_t> positions, Global<const uint64_t> pages, int page_stride,
                    int heads, int kv_heads, int splits, uint64_t layer_offset,
                    Global<float> partial, Global<float> partial_scale) {
  constexpr int kSteps = kDim / 16, kGroups = kDim / 32, kStride = attention_stride(kDim, kInt8);
  constexpr int kStage = attention_stage_bytes(kDim, kInt8), kRowBytes = kStride - 16;
  const Shared<uint8_t> memory = ASSAY_DYNAMIC_SHARED(uint8_t);
  ASSAY_SHARED(float, warp_scale, kAttentionWarps* kQueryRows * 2);
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const int line = lane / 4, pair = lane % 4 * 2;
  const CudaAttentionUnit unit = units[blockIdx.x];
  if (unit.count == 0) return;
  const int kv_head = static_cast<int>(blockIdx.y);
  const int group = heads / kv_heads, unit_heads = group < kQueryRows ? group : kQueryRows;
  const int first_head = kv_head * group + static_cast<int>(blockIdx.z) * kQueryRows;
  const int heads_left = group - static_cast<int>(blockIdx.z) * kQueryRows;

  // Query row m of the unit: row m / unit_heads of the batch, head m % unit_heads of the group.
  const auto row_of = [&](int m) { return m / unit_heads; };
  const auto is_used = [&](int m) { return row_of(m) < unit.count && m % unit_heads < heads_left; };
  const auto query_of = [&](int m) {
    return int64_t{unit.first + row_of(m)} * heads + first_head + m % unit_heads;
  };

  uint32_t queries[kSteps][4], query_rests[kSteps][4];
  const float factor = 1.0f / sqrtf(static_cast<float>(kDim));
  int last[2];  // position of the lane's two query rows; -1: unused
  for (int half = 0; half < 2; ++half) {
    const int m = line + 8 * half;
    const bool used = is_used(m);
    last[half] = used ? positions[unit.first + row_of(m)] : -1;
    ASSAY_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      for (int upper = 0; upper < 2; ++upper) {
        float2 value{0, 0};
        if (used) {
          value = load_as<float2>(q + query_of(m) * kDim + step * 16 + upper * 8 + pair);
        }
        const float first = value.x * factor, second = value.y * factor;
        const int r = half + 2 * upper;
        queries[step][r] = pack_bf16(first, second);
        query_rests[step][r] = pack_rest(first, second, queries[step][r]);
      }
    }
  }
  int longest = -1;
  for (int r = 0; r < unit.count; ++r) {
    const int position = positions[unit.first + r];
    longest = position > longest ? position : longest;
  }

  float mixed[kDim / 8][4] = {};
  float best[2] = {kNothing, kNothing}, total[2] = {0, 0};
  // The warp's pages are every fourth one from its first.
  const int first_page = unit.split * (kCudaSplitTokens / kPageTokens) + warp;
  int page_count = (longest / kPageTokens - first_page + kAttentionWarps) / kAttentionWarps;
  page_count = page_count < kWarpPages ? page_count : kWarpPages;
  const Shared<uint8_t> stages = memory + warp * 2 * kStage;
  const auto page_of = [&](int n) {
    return pages[int64_t{unit.longest} * page_stride + first_page + n * kAttentionWarps] +
           layer_offset;
  };
  const int64_t head_bytes = int64_t{kPageTokens} * kRowBytes;
  const auto load = [&](int n) {
    const Global<const uint8_t> keys = global_at<const uint8_t>(page_of(n));
    load_page<kRowBytes>(stages + n % 2 * kStage, keys + kv_head * head_bytes,
                         keys + (kv_heads + kv_head) * head_bytes, lane);
  };
  if (page_count > 0) load(0);
  for (int n = 0; n < page_count; ++n) {
    if (n + 1 < page_count) {
      load(n + 1);
      wait_copies<1>();
    } else {
      wait_copies<0>();
    }
    __syncwarp();
    const Shared<uint8_t> keys = stages + n % 2 * kStage;
    const Shared<uint8_t> values = keys + kPageTokens * kStride;
    // Of 32 dimensions of each position, [group][16]; int8 only.
    Global<const float> key_scales = nullptr, value_scales = nullptr;
    if constexpr (kInt8) {
      const Global<const float> scales =
          global_at<const float>(page_of(n) + static_cast<uint64_t>(2 * kv_heads * head_bytes));
      key_scales = scales + int64_t{kv_head} * kGroups * kPageTokens;
      value_scales = scales + int64_t{kv_heads + kv_head} * kGroups * kPageTokens;
    }

    float scores[2][4] = {};  // of positions 0–7 and 8–15 of the page
    ASSAY_UNROLL
    for (int tile = 0; tile < 2; ++tile) {
      ASSAY_UNROLL
      for (int g = 0; g < kGroups; ++g) {
        uint32_t b[4];
        load_keys<kInt8>(b, keys, kStride, tile, g);
        float part[4] = {};
        float(&to)[4] = kInt8 ? part : scores[tile];
        for (int s = 0; s < 2; ++s) {
          mma_bf16(to, queries[2 * g + s], {b[2 * s], b[2 * s + 1]});
          mma_bf16(to, query_rests[2 * g + s], {b[2 * s], b[2 * s + 1]});
        }
        if constexpr (kInt8) {
          for (int i = 0; i < 4; ++i) {
            const float scale = key_scales[g * kPageTokens + tile * 8 + pair + i % 2];
            scores[tile][i] = fmaf(part[i], scale, scores[tile][i]);
          }
        }
      }
    }
    const int position = (first_page + n * kAttentionWarps) * kPageTokens + pair;
    float scale[2];
    for (int half = 0; half < 2; ++half) {
      float most = kNothing;
      for (int tile = 0; tile < 2; ++tile) {
        for (int i = 0; i < 2; ++i) {
          float& score = scores[tile][2 * half + i];
          if (position + tile * 8 + i > last[half]) score = kNothing;
          most = fmaxf(most, score);
        }
      }
      const float now = fmaxf(best[half], max_of_quad(most));
      scale[half] = exp_f32(best[half] - now);
      best[half] = now;
      total[half] *= scale[half];
      for (int tile = 0; tile < 2; ++tile) {
        for (int i = 0; i < 2; ++i) {
          float& score = scores[tile][2 * half + i];
          score = score == kNothing ? 0.0f : exp_f32(score - now);
          total[half] += score;
        }
      }
    }
    uint32_t p[4], p_rest[4];
    // The probabilities as A's fragments, times the value's scale where there is one.
    const auto pack_probabilities = [&](int g) {
      for (int r = 0; r < 4; ++r) {
        float first = scores[r / 2][r % 2 * 2], second = scores[r / 2][r % 2 * 2 + 1];
        if constexpr (kInt8) {
          const int at = g * kPageTokens + r / 2 * 8 + pair;
          first *= value_scales[at];
          second *= value_scales[at + 1];
        }
        p[r] = pack_bf16(first, second);
        p_rest[r] = pack_rest(first, second, p[r]);
      }
    };
    if constexpr (!kInt8) pack_probabilities(0);
    ASSAY_UNROLL
    for (int tile = 0; tile < kDim / 8; tile += 2) {
      if constexpr (kInt8) {
        if (tile % 4 == 0) pack_probabilities(tile / 4);
      }
      uint32_t b[4];
      load_values<kInt8>(b, values, kStride, tile);
      for (int t = 0; t < 2; ++t) {
        for (int i = 0; i < 4; ++i) mixed[tile + t][i] *= scale[i / 2];
        mma_bf16(mixed[tile + t], p, {b[2 * t], b[2 * t + 1]});
        mma_bf16(mixed[tile + t], p_rest, {b[2 * t], b[2 * t + 1]});
      }
    }
    __syncwarp();
  }

  // Merges the warps' results, in order.
  __syncthreads();
  const Shared<float> results = ASSAY_DYNAMIC_SHARED(float);  // [warp][query row][head_dim]
  for (int half = 0; half < 2; ++half) {
    const int m = line + 8 * half;
    const float sum = sum_of_quad(total[half]);
    if (pair == 0) {
      warp_scale[(warp * kQueryRows + m) * 2] = best[half];
      warp_scale[(warp * kQueryRows + m) * 2 + 1] = sum;
    }
    ASSAY_UNROLL
    for (int tile = 0; tile < kDim / 8; ++tile) {
      const int at = (warp * kQueryRows + m) * kDim + tile * 8 + pair;
      store_as(results + at, float2{mixed[tile][2 * half], mixed[tile][2 * half + 1]});
    }
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kQueryRows * kDim; i += kAttentionThreads) {
    const int m = i / kDim, d = i % kDim;
    if (!is_used(m)) continue;
    float most = kNothing;
    for (int w = 0; w < kAttentionWarps; ++w) {
      most = fmaxf(most, warp_scale[(w * kQueryRows + m) * 2]);
    }
    float sum = 0, value = 0;
    for (int w = 0; w < kAttentionWarps; ++w) {
      const float part = warp_scale[(w * kQueryRows + m) * 2];
      const float weight = part == kNothing ? 0.0f : exp_f32(part - most);
      sum = fmaf(weight, warp_scale[(w * kQueryRows + m) * 2 + 1], sum);
      value = fmaf(weight, results[(w * kQueryRows + m) * kDim + d], value);
    }
    const int64_t to = query_of(m) * splits + unit.split;
    partial[to * kDim + d] = value;
    if (d == 0) {
      partial_scale[2 * to] = most;
      partial_scale[2 * to + 1] = sum;
    }
  }
}

// A block merges a row's head, in order of the splits; a thread has one dimension.
// report: attention_merge threads 128 shared 0 occupancy 50
__global__ void attention_merge(Global<const float> partial, Global<const float> partial_scale,
                                Global<const int32_t> positions, int heads, int splits,
                                Global<float> out) {
  const int64_t query = int64_t{blockIdx.x} * heads + blockIdx.y;
  const int used = positions[blockIdx.x] / kCudaSplitTokens + 1;
  float most = kNothing;
  for (int s = 0; s < used; ++s) most = fmaxf(most, partial_scale[2 * (query * splits + s)]);
  float sum = 0, value = 0;
  for (int s = 0; s < used; ++s) {
    const int64_t at = query * splits + s;
    const float weight = exp_f32(partial_scale[2 * at] - most);
    sum = fmaf(weight, partial_scale[2 * at + 1], sum);
    value = fmaf(weight, partial[at * blockDim.x + threadIdx.x], value);
  }
  out[query * blockDim.x + threadIdx.x] = value / sum;
}

}  // namespace assay::ASSAY_KERNELS
