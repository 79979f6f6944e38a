// Attention over pages of the KV cache; included once for each target.
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

// Vectors that pass over pages together, and pages, when there are more than 4 vectors or not: as
// many sums as the target's registers hold.
#if HWY_TARGET <= HWY_AVX3
constexpr int kVectors = 8, kFewPages = 2, kManyPages = 4;
#elif HWY_TARGET <= HWY_AVX2
constexpr int kVectors = 3, kFewPages = 2, kManyPages = 2;
#else
constexpr int kVectors = 1, kFewPages = 1, kManyPages = 1;
#endif

// Pages between the one that is mixed, or runs of them that are scored, and the one that is asked
// for: memory takes longer than one.
constexpr int kMixAhead = 6, kScoreAhead = 2;

HWY_INLINE Part load_cached(const float* at) { return part_load(at); }
HWY_INLINE Part load_cached(const int16_t* at) { return load_whole(at); }
struct Bf16 {
  uint16_t bits;
};
HWY_INLINE Part load_cached(const Bf16* at) {
  return load_bf16(reinterpret_cast<const uint8_t*>(at));
}

// Scores kCount vectors against kPages pages. Later ones are asked for meanwhile.
template <int kCount, int kPages, typename T>
HWY_INLINE void score_vectors(const KvPage* pages, const float* q, int64_t q_stride, int dim,
                              float* scores, int64_t stride) {
  const T* keys[kPages];
  const T* next[kPages];
  for (int n = 0; n < kPages; ++n) {
    keys[n] = reinterpret_cast<const T*>(pages[n].keys);
    const KvPage& later = pages[n + std::min(kScoreAhead * kPages, pages[n].left)];
    next[n] = reinterpret_cast<const T*>(later.keys);
    if (later.key_scales != nullptr) {
      for (int start = 0; start < dim; start += kKvGroup) {
        prefetch(later.key_scales + start / kKvGroup * kPageTokens);
      }
    }
  }
  for (int start = 0; start < dim; start += kKvGroup) {
    const int end = std::min(dim, start + kKvGroup);
    Part sums[kCount][kPages][kParts];
    for (int i = 0; i < kCount; ++i) {
      for (int p = 0; p < kPages * kParts; ++p) sums[i][p / kParts][p % kParts] = part_zero();
    }
    for (int d = start; d < end; ++d) {
      Part key[kPages][kParts];
      for (int n = 0; n < kPages; ++n) {
        prefetch(next[n] + d * kPageTokens);
        for (int p = 0; p < kParts; ++p) {
          key[n][p] = load_cached(keys[n] + d * kPageTokens + p * kPartLanes);
        }
      }
      for (int i = 0; i < kCount; ++i) {
        const Part value = part_set(q[i * q_stride + d]);
        for (int n = 0; n < kPages; ++n) {
          for (int p = 0; p < kParts; ++p) {
            sums[i][n][p] = part_fma_onto(sums[i][n][p], value, key[n][p]);
          }
        }
      }
    }
    for (int n = 0; n < kPages; ++n) {
      for (int p = 0; p < kParts; ++p) {
        const int t = p * kPartLanes;
        const Part scale =
            pages[n].key_scales == nullptr
                ? part_set(1.0f)
                : part_load(pages[n].key_scales + start / kKvGroup * kPageTokens + t);
        for (int i = 0; i < kCount; ++i) {
          float* at = scores + i * stride + n * kPageTokens + t;
          const Part before = start == 0 ? part_zero() : part_load(at);
          part_store(part_fma(sums[i][n][p], scale, before), at);
        }
      }
    }
  }
}

template <typename T>
HWY_INLINE void score_pages_of(std::span<const KvPage> pages, const float* q, int vectors, int dim,
                               float* scores, int64_t stride) {
  over_row_runs<kVectors>(vectors, [&]<int kCount>(int i) HWY_ATTR {
    constexpr int kPages = kCount > 4 ? kFewPages : kManyPages;
    const float* q_run = q + int64_t{i} * dim;
    float* to = scores + i * stride;
    size_t n = 0;
    for (; n + kPages <= pages.size(); n += kPages) {
      score_vectors<kCount, kPages, T>(&pages[n], q_run, dim, dim, to + n * kPageTokens, stride);
    }
    for (; n < pages.size(); ++n) {
      score_vectors<kCount, 1, T>(&pages[n], q_run, dim, dim, to + n * kPageTokens, stride);
    }
  });
}

// kDims dimensions from `start` on, of one group or of several.
template <int kCount, int kDims, typename T>
HWY_INLINE void mix_group(std::span<const KvPage> pages, int start, int value_stride,
                          const float* p, int64_t p_stride, int last_tokens, float* out,
                          int64_t out_stride, bool add) {
  constexpr int kDimParts = kDims / kPartLanes, kGroups = (kDims + kKvGroup - 1) / kKvGroup;
  Part sums[kCount][kDimParts];
  for (int i = 0; i < kCount; ++i) {
    for (int d = 0; d < kDimParts; ++d) {
      sums[i][d] = add ? part_load(out + i * out_stride + start + d * kPartLanes) : part_zero();
    }
  }
  for (size_t n = 0; n < pages.size(); ++n, p += kPageTokens) {
    const KvPage& page = pages[n];
    const KvPage& later = pages.data()[n + std::min(kMixAhead, page.left)];
    float weights[kCount][kGroups][kPageTokens];
    for (int g = 0; g < kGroups; ++g) {
      const float* scales = page.value_scales + (start / kKvGroup + g) * kPageTokens;
      if (page.value_scales != nullptr) {
        prefetch(later.value_scales + (start / kKvGroup + g) * kPageTokens);
      }
      for (int i = 0; i < kCount; ++i) {
        for (int t = 0; t < kPageTokens; t += kPartLanes) {
          Part weight = part_load(p + i * p_stride + t);
          if (page.value_scales != nullptr) weight = part_mul(weight, part_load(scales + t));
          part_store(weight, weights[i][g] + t);
        }
      }
    }
    const T* values = reinterpret_cast<const T*>(page.values) + start;
    const T* next = reinterpret_cast<const T*>(later.values);
    const int tokens = n + 1 < pages.size() ? kPageTokens : last_tokens;
    for (int t = 0; t < tokens; ++t, values += value_stride, next += value_stride) {
      for (int g = 0; g < kGroups; ++g) prefetch(next + start + g * kKvGroup);
      Part value[kDimParts];
      for (int d = 0; d < kDimParts; ++d) value[d] = load_cached(values + d * kPartLanes);
      for (int i = 0; i < kCount; ++i) {
        for (int d = 0; d < kDimParts; ++d) {
          const Part weight = part_set(weights[i][d * kPartLanes / kKvGroup][t]);
          sums[i][d] = part_fma_onto(sums[i][d], weight, value[d]);
        }
      }
    }
  }
  for (int i = 0; i < kCount; ++i) {
    for (int d = 0; d < kDimParts; ++d) {
      part_store(sums[i][d], out + i * out_stride + start + d * kPartLanes);
    }
  }
}

template <typename T>
HWY_INLINE void mix_pages_of(std::span<const KvPage> pages, const float* p, int64_t p_stride,
                             int vectors, int padded_dim, int last_tokens, float* out, bool add) {
  over_row_runs<kVectors>(vectors, [&]<int kCount>(int i) HWY_ATTR {
    const float* p_run = p + i * p_stride;
    float* to = out + int64_t{i} * padded_dim;
    int start = 0;
    if constexpr (kPartLanes == 16 && kCount <= 4) {
      for (; start + 2 * kKvGroup <= padded_dim; start += 2 * kKvGroup) {
        mix_group<kCount, 2 * kKvGroup, T>(pages, start, padded_dim, p_run, p_stride, last_tokens,
                                           to, padded_dim, add);
      }
    }
    for (; start < padded_dim; start += kKvGroup) {
      if (padded_dim - start >= kKvGroup) {
        mix_group<kCount, kKvGroup, T>(pages, start, padded_dim, p_run, p_stride, last_tokens, to,
                                       padded_dim, add);
      } else {
        mix_group<kCount, kPageTokens, T>(pages, start, padded_dim, p_run, p_stride, last_tokens,
                                          to, padded_dim, add);
      }
    }
  });
}

inline void score_pages(std::span<const KvPage> pages, const float* q, int vectors, int head_dim,
                        float* scores, int64_t stride) {
  const auto score = pages[0].type == KvType::kF32       ? score_pages_of<float>
                     : pages[0].type == KvType::kFixed16 ? score_pages_of<int16_t>
                                                         : score_pages_of<Bf16>;
  score(pages, q, vectors, head_dim, scores, stride);
}

inline void mix_pages(std::span<const KvPage> pages, const float* p, int64_t p_stride, int vectors,
                      int padded_dim, int last_tokens, float* out, bool add) {
  const auto mix = pages[0].type == KvType::kF32       ? mix_pages_of<float>
                   : pages[0].type == KvType::kFixed16 ? mix_pages_of<int16_t>
                                                       : mix_pages_of<Bf16>;
  mix(pages, p, p_stride, vectors, padded_dim, last_tokens, out, add);
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
    const Part value = part_below(values[i / kPartLanes], INFINITY);
    store_int16(rounded(part_mul(value, inverse)), out + i);
  }
  std::memcpy(whole, out, sizeof(int16_t) * static_cast<size_t>(count));
  return !finite ? NAN : some ? most / kLimit : 0.0f;
}

}  // namespace HWY_NAMESPACE
}  // namespace assay
HWY_AFTER_NAMESPACE();

#endif
