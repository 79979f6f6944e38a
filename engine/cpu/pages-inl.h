// Attention over one page of the KV cache; included once for each target.
#if defined(ASSAY_ENGINE_CPU_PAGES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ASSAY_ENGINE_CPU_PAGES_INL_H_
#undef ASSAY_ENGINE_CPU_PAGES_INL_H_
#else
#define ASSAY_ENGINE_CPU_PAGES_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/cpu/kernels.h"
#include "engine/cpu/lanes-inl.h"
#include "engine/cpu/products-inl.h"
#include "engine/cpu/unpack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace assay {
namespace HWY_NAMESPACE {

// Vectors that pass over a page together: as many sums as the target's registers hold.
#if HWY_TARGET <= HWY_AVX3
constexpr int kVectors = 8;
#elif HWY_TARGET <= HWY_AVX2
constexpr int kVectors = 3;
#else
constexpr int kVectors = 1;
#endif

HWY_INLINE Part load_cached(const float* at) { return part_load(at); }
HWY_INLINE Part load_cached(const int16_t* at) { return load_whole(at); }

// In a group even and odd dimensions are summed apart, so that few vectors do not wait for each
// other's sums.
template <int kCount, typename T>
HWY_INLINE void score_vectors(const KvPage& page, const float* q, int64_t q_stride, int dim,
                              float* scores, int64_t stride) {
  const T* keys = reinterpret_cast<const T*>(page.keys);
  for (int start = 0; start < dim; start += kKvGroup) {
    const int end = std::min(dim, start + kKvGroup);
    Part sums[kCount][2][kParts];
    for (int i = 0; i < kCount; ++i) {
      for (int p = 0; p < 2 * kParts; ++p) sums[i][p / kParts][p % kParts] = part_zero();
    }
    for (int d = start; d < end; d += 2) {
      for (int odd = 0; odd < 2; ++odd, keys += kPageTokens) {
        Part key[kParts];
        for (int p = 0; p < kParts; ++p) key[p] = load_cached(keys + p * kPartLanes);
        for (int i = 0; i < kCount; ++i) {
          const Part value = part_set(q[i * q_stride + d + odd]);
          for (int p = 0; p < kParts; ++p) {
            sums[i][odd][p] = part_fma_onto(sums[i][odd][p], value, key[p]);
          }
        }
      }
    }
    for (int p = 0; p < kParts; ++p) {
      const int t = p * kPartLanes;
      const Part scale = page.key_scales == nullptr
                             ? part_set(1.0f)
                             : part_load(page.key_scales + start / kKvGroup * kPageTokens + t);
      for (int i = 0; i < kCount; ++i) {
        float* at = scores + i * stride + t;
        const Part before = start == 0 ? part_zero() : part_load(at);
        part_store(part_fma(part_add(sums[i][0][p], sums[i][1][p]), scale, before), at);
      }
    }
  }
}

// kDims dimensions from `start` on, of one group.
template <int kCount, int kDims, typename T>
HWY_INLINE void mix_group(const KvPage& page, int start, int value_stride, const float* p,
                          int64_t p_stride, int tokens, float* out, int64_t out_stride, bool add) {
  constexpr int kDimParts = kDims / kPartLanes;
  float weights[kCount][kPageTokens];
  for (int i = 0; i < kCount; ++i) {
    for (int t = 0; t < kPageTokens; t += kPartLanes) {
      Part weight = part_load(p + i * p_stride + t);
      if (page.value_scales != nullptr) {
        const float* scales = page.value_scales + start / kKvGroup * kPageTokens;
        weight = part_mul(weight, part_load(scales + t));
      }
      part_store(weight, weights[i] + t);
    }
  }
  Part sums[kCount][kDimParts];
  for (int i = 0; i < kCount; ++i) {
    for (int d = 0; d < kDimParts; ++d) {
      sums[i][d] = add ? part_load(out + i * out_stride + start + d * kPartLanes) : part_zero();
    }
  }
  const T* values = reinterpret_cast<const T*>(page.values) + start;
  for (int t = 0; t < tokens; ++t, values += value_stride) {
    Part value[kDimParts];
    for (int d = 0; d < kDimParts; ++d) value[d] = load_cached(values + d * kPartLanes);
    for (int i = 0; i < kCount; ++i) {
      const Part weight = part_set(weights[i][t]);
      for (int d = 0; d < kDimParts; ++d) sums[i][d] = part_fma_onto(sums[i][d], weight, value[d]);
    }
  }
  for (int i = 0; i < kCount; ++i) {
    for (int d = 0; d < kDimParts; ++d) {
      part_store(sums[i][d], out + i * out_stride + start + d * kPartLanes);
    }
  }
}

template <typename T>
HWY_INLINE void mix_vectors_of(const KvPage& page, const float* p, int64_t p_stride, int vectors,
                               int padded_dim, int tokens, float* out, bool add) {
  over_row_runs<kVectors>(vectors, [&]<int kCount>(int i) HWY_ATTR {
    const float* p_run = p + i * p_stride;
    float* out_run = out + int64_t{i} * padded_dim;
    for (int start = 0; start < padded_dim; start += kKvGroup) {
      if (padded_dim - start >= kKvGroup) {
        mix_group<kCount, kKvGroup, T>(page, start, padded_dim, p_run, p_stride, tokens, out_run,
                                       padded_dim, add);
      } else {
        mix_group<kCount, kPageTokens, T>(page, start, padded_dim, p_run, p_stride, tokens, out_run,
                                          padded_dim, add);
      }
    }
  });
}

inline void score_page(const KvPage& page, const float* q, int vectors, int head_dim, float* scores,
                       int64_t stride) {
  over_row_runs<kVectors>(vectors, [&]<int kCount>(int i) HWY_ATTR {
    const auto score =
        page.key_scales == nullptr ? score_vectors<kCount, float> : score_vectors<kCount, int16_t>;
    score(page, q + int64_t{i} * head_dim, head_dim, head_dim, scores + i * stride, stride);
  });
}

inline void mix_page(const KvPage& page, const float* p, int64_t p_stride, int vectors,
                     int padded_dim, int tokens, float* out, bool add) {
  const auto mix = page.value_scales == nullptr ? mix_vectors_of<float> : mix_vectors_of<int16_t>;
  mix(page, p, p_stride, vectors, padded_dim, tokens, out, add);
}

inline float to_fixed16(const float* x, int count, int16_t* whole) {
  constexpr float kLimit = 32767;
  Part values[kKvGroup / kPartLanes], largest = part_zero(), bad = part_zero();
  for (int i = 0; i < kKvGroup; i += kPartLanes) {
    const Part value = values[i / kPartLanes] = part_load_n(x + i, count - i);
    largest = part_max(part_abs(value), largest);
    bad = part_add(bad, part_sub(value, value));
  }
  const float most = part_max_lane(largest);
  const bool finite = part_all_zero(bad), some = finite && most > 1e-30f;
  const Part inverse = part_set(some ? kLimit / most : 0.0f);
  int16_t out[kKvGroup];
  for (int i = 0; i < kKvGroup; i += kPartLanes) {
    store_int16(rounded(part_mul(values[i / kPartLanes], inverse), kLimit), out + i);
  }
  std::memcpy(whole, out, sizeof(int16_t) * static_cast<size_t>(count));
  return !finite ? NAN : some ? most / kLimit : 0.0f;
}

}  // namespace HWY_NAMESPACE
}  // namespace assay
HWY_AFTER_NAMESPACE();

#endif
