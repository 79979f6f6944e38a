// Activations as whole numbers: how a row is written; included once for each target.
#if defined(ASSAY_ENGINE_CPU_INT_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ASSAY_ENGINE_CPU_INT_ROWS_INL_H_
#undef ASSAY_ENGINE_CPU_INT_ROWS_INL_H_
#else
#define ASSAY_ENGINE_CPU_INT_ROWS_INL_H_
#endif

#include <algorithm>
#include <bit>
#include <cmath>

#include "engine/cpu/kernels.h"
#include "engine/cpu/lanes-inl.h"
#include "engine/cpu/packed.h"

HWY_BEFORE_NAMESPACE();
namespace assay {
namespace HWY_NAMESPACE {

// Where IntRows::sums of a row begin for groups of this size.
HWY_INLINE int64_t sums_at(const IntRows& x, int64_t row, int64_t first, int group) {
  return row * IntRows::sums_of(x.columns) + (group == kSubBlock ? x.columns / 16 : 0) +
         first / group;
}

constexpr int kBlockParts = kSubBlock / kPartLanes;

HWY_INLINE void load_block(const float* x, Part (&values)[kBlockParts]) {
  for (int p = 0; p < kBlockParts; ++p) values[p] = part_load(x + p * kPartLanes);
}

// Makes scales so large that the norm of each sixteen values, below outlier_from, is at most
// kActivationNorm.
HWY_INLINE void bound_norms(const float* x, int count, const float* outlier_from, float* inverse,
                            float* scale) {
  constexpr int kAtOnce = std::max(kPartLanes, 2);
  const Part most = part_set(kActivationNorm - kNormRounding);
  for (int i = 0; i < count; i += kAtOnce) {
    alignas(64) float squares[kAtOnce];
    for (int j = 0; j < kAtOnce; j += 2) {
      Part halves[4][kParts];
      for (int b = 0; b < 2; ++b) {
        const int block = std::min(i + j + b, count - 1);
        const Part to = part_set(inverse[block]);
        Part values[kBlockParts];
        load_block(x + block * kSubBlock, values);
        for (int p = 0; p < kBlockParts; ++p) {
          const Part a = part_mul(part_below(values[p], outlier_from[block]), to);
          halves[2 * b + p / kParts][p % kParts] = part_mul(a, a);
        }
      }
      float sums[4];
      reduce_4(halves[0], halves[1], halves[2], halves[3], sums);
      squares[j] = std::max(sums[0], sums[1]);
      squares[j + 1] = std::max(sums[2], sums[3]);
    }
    for (int j = 0; j < kAtOnce; j += kPartLanes) {
      const Part norm = part_sqrt(part_load(squares + j));
      const Part larger = part_max(norm, most);
      const Part old_inverse = part_load(inverse + i + j), old_scale = part_load(scale + i + j);
      part_store(part_mul(old_inverse, part_div(most, larger)), inverse + i + j);
      part_store(part_mul(old_scale, part_div(larger, most)), scale + i + j);
    }
  }
}

// A chunk's blocks at a time, step by step, so that no block waits for the one before.
inline void quantize_row(const float* whole_row, int64_t row, const IntRows& rows) {
  constexpr float kTiny = 1e-30f;  // below it a value is nothing, and 1 / it is not finite
  constexpr int kChunkBlocks = kIntChunk / kSubBlock;
  const Part tiny = part_set(kTiny), infinity = part_set(INFINITY);
  const Part limit = part_set(static_cast<float>(rows.limit));
  const bool keeps_outliers = rows.outliers != nullptr;
  const int64_t blocks = rows.blocks();
  float* scales = rows.scales + row * blocks;
  const bool has_sums = !rows.for_bf16;
  float* sums_16 = has_sums ? rows.sums + sums_at(rows, row, 0, 16) : nullptr;
  float* sums_32 = has_sums ? rows.sums + sums_at(rows, row, 0, 32) : nullptr;
  int32_t* starts_16 = has_sums ? rows.starts + sums_at(rows, row, 0, 16) : nullptr;
  int32_t* starts_32 = has_sums ? rows.starts + sums_at(rows, row, 0, 32) : nullptr;
  alignas(64) float most[kChunkBlocks] = {}, second[kChunkBlocks] = {};
  alignas(64) float inverse[kChunkBlocks], outlier_from[kChunkBlocks], scale[kChunkBlocks];
  for (int64_t first = 0; first < blocks; first += kChunkBlocks) {
    const int count = static_cast<int>(std::min<int64_t>(kChunkBlocks, blocks - first));
    const float* x = whole_row + first * kSubBlock;
    int16_t* a = rows.a + row * rows.columns + first * kSubBlock;
    for (int i = 0; i < count; ++i) {
      const int64_t later = first + i + kChunkBlocks;  // may be the next row's
      prefetch_to_write(a + (i + kChunkBlocks) * kSubBlock);
      if (i % 8 == 0) prefetch_to_write(scales + later);
      if (has_sums && i % 8 == 0) {
        for (int64_t line = 0; line < 8; line += 4) {
          prefetch_to_write(sums_16 + 2 * (later + line));
          if (kByteForm) prefetch_to_write(starts_16 + 2 * (later + line));
        }
        prefetch_to_write(sums_32 + later);
        if (kByteForm) prefetch_to_write(starts_32 + later);
      }
      Part values[kBlockParts];
      load_block(x + i * kSubBlock, values);
      largest_two(values, &most[i], &second[i]);
    }
    uint32_t found = 0;  // bit i: block i has an outlier
    for (int i = 0; i < kChunkBlocks; i += kPartLanes) {
      const Part largest = part_load(most + i), next = part_load(second + i);
      const Part half = part_mul(largest, part_set(0.5f));
      Part from = keeps_outliers ? part_if_less(next, half, largest, infinity) : infinity;
      from = part_if_less(tiny, largest, from, infinity);
      from = part_if_less(largest, infinity, from, infinity);
      Part inside = part_if_less(from, infinity, next, largest);
      inside = part_if_less(largest, infinity, inside, part_set(NAN));
      part_store(from, outlier_from + i);
      part_store(part_if_less(tiny, inside, part_div(inside, limit), part_sub(inside, inside)),
                 scale + i);
      part_store(part_if_less(tiny, inside, part_div(limit, inside), part_zero()), inverse + i);
      const Part froms[] = {from};
      found |= (~large_bits(froms, INFINITY) & ((1u << kPartLanes) - 1)) << i;
    }
    found &= (1u << count) - 1;
    if (rows.for_bf16) bound_norms(x, count, outlier_from, inverse, scale);
    int32_t totals[2 * kChunkBlocks];
    for (int i = 0; i < count; ++i) {
      Part values[kBlockParts];
      load_block(x + i * kSubBlock, values);
      PartI whole[kBlockParts];
      for (int p = 0; p < kBlockParts; ++p) {
        const Part inside = part_below(values[p], outlier_from[i]);
        whole[p] = rounded(part_mul(inside, part_set(inverse[i])));
#ifdef ASSAY_BYTE_PRODUCTS
        if (!rows.for_bf16) {
          auto* bytes = reinterpret_cast<int8_t*>(a + i * kSubBlock);
          store_bytes(whole[p], bytes + p * kPartLanes, bytes + kSubBlock + p * kPartLanes);
          continue;
        }
#endif
        store_int16(whole[p], a + i * kSubBlock + p * kPartLanes);
      }
      if (has_sums) half_sums(whole, totals + 2 * i);
    }
    for (int i = 0; i < count; ++i) {
      const int64_t block = first + i;
      scales[block] = scale[i];
      if (!has_sums) continue;
      const int32_t total = totals[2 * i] + totals[2 * i + 1];
      sums_32[block] = scale[i] * static_cast<float>(total);
      if (kByteForm) starts_32[block] = -128 * total;
      for (int half = 0; half < 2; ++half) {
        sums_16[2 * block + half] = scale[i] * static_cast<float>(totals[2 * i + half]);
        if (kByteForm) starts_16[2 * block + half] = -128 * totals[2 * i + half];
      }
    }
    if (!keeps_outliers) continue;
    rows.outlier_counts[row * rows.chunks() + first / kChunkBlocks] = std::popcount(found);
    Outlier* outlier = rows.outliers + row * blocks + first;
    for (; found != 0; found &= found - 1, ++outlier) {
      const int i = std::countr_zero(found);
      Part values[kBlockParts];
      load_block(x + i * kSubBlock, values);
      const int at = std::countr_zero(large_bits(values, most[i]));
      *outlier = {static_cast<int32_t>((first + i) * kSubBlock + at), x[i * kSubBlock + at]};
      if (!has_sums) continue;
      sums_16[2 * (first + i) + at / 16] += outlier->value;
      sums_32[first + i] += outlier->value;
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace assay
HWY_AFTER_NAMESPACE();

#endif
