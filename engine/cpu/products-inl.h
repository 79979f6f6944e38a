// Products of a tile of sixteen columns with rows of activations; included once for each target.
#if defined(ASSAY_ENGINE_CPU_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ASSAY_ENGINE_CPU_PRODUCTS_INL_H_
#undef ASSAY_ENGINE_CPU_PRODUCTS_INL_H_
#else
#define ASSAY_ENGINE_CPU_PRODUCTS_INL_H_
#endif

#include <cstring>
#include <utility>

#include "engine/cpu/kernels.h"
#include "engine/cpu/lanes-inl.h"
#include "engine/cpu/packed.h"

HWY_BEFORE_NAMESPACE();
namespace assay {
namespace HWY_NAMESPACE {

// Rows that are multiplied together: as many sums as the target's registers hold.
#if HWY_TARGET <= HWY_AVX3
constexpr int kRowsF32 = 8, kRowsInt = 8;
#elif HWY_TARGET <= HWY_AVX2
constexpr int kRowsF32 = 6, kRowsInt = 4;
#else
constexpr int kRowsF32 = 1, kRowsInt = 1;
#endif

template <int kRows>
HWY_INLINE void product_f32_rows(const float* w, int64_t w_stride, const float* x, int64_t x_stride,
                                 int64_t count, float* out, int64_t out_stride, bool add) {
  Part sums[kRows][kParts];
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < kParts; ++p) sums[r][p] = part_zero();
  }
  for (int64_t k = 0; k < count; ++k) {
    Part ws[kParts];
    for (int p = 0; p < kParts; ++p) ws[p] = part_load(w + k * w_stride + p * kPartLanes);
    for (int r = 0; r < kRows; ++r) {
      const Part value = part_set(x[r * x_stride + k]);
      for (int p = 0; p < kParts; ++p) sums[r][p] = part_fma_onto(sums[r][p], value, ws[p]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < kParts; ++p) {
      float* at = out + r * out_stride + p * kPartLanes;
      part_store(add ? part_add(part_load(at), sums[r][p]) : sums[r][p], at);
    }
  }
}

template <int kRows>
HWY_INLINE void product_int_rows(const IntTile& tile, const IntRows& x, int64_t row, int64_t first,
                                 int64_t count, float* out, int64_t out_stride, bool add) {
  Part sums[kRows][kParts];
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < kParts; ++p) {
      sums[r][p] = add ? part_load(out + r * out_stride + p * kPartLanes) : part_zero();
    }
  }
  const int group = tile.group;
  const int16_t* q = tile.q;
  const int64_t stride = x.columns, scales_stride = x.columns / kSubBlock;
  const int64_t sums_stride = IntRows::sums_of(x.columns);
  const int16_t* a = x.a + row * stride + first;
  const float* a_scales = x.scales + row * scales_stride + first / kSubBlock;
  const float* a_sums =
      x.sums + row * sums_stride + (group == kSubBlock ? x.columns / 16 : 0) + first / group;
  const float* scales = tile.scales;
  const float* mins = tile.mins;
  for (int64_t k = 0; k < count; k += group) {
    PartI whole[kRows][kParts];
    for (int r = 0; r < kRows; ++r) {
      for (int p = 0; p < kParts; ++p) whole[r][p] = int_zero();
    }
    for (int i = 0; i < group; i += 2, q += 2 * kTileColumns) {
      Part16 ws[kParts];
      for (int p = 0; p < kParts; ++p) ws[p] = pairs_load(q + p * kLanes16);
      for (int r = 0; r < kRows; ++r) {
        const Part16 value = pairs_set(a + r * stride + k + i);
        for (int p = 0; p < kParts; ++p) whole[r][p] = dot_pairs(whole[r][p], ws[p], value);
      }
    }
    for (int p = 0; p < kParts; ++p) {
      const Part scale = part_load(scales + p * kPartLanes);
      for (int r = 0; r < kRows; ++r) {
        const Part both = part_mul(scale, part_set(a_scales[r * scales_stride + k / kSubBlock]));
        sums[r][p] = part_fma(int_to_float(whole[r][p]), both, sums[r][p]);
      }
    }
    scales += kTileColumns;
    if (mins == nullptr) continue;
    for (int p = 0; p < kParts; ++p) {
      const Part min = part_sub(part_zero(), part_load(mins + p * kPartLanes));
      for (int r = 0; r < kRows; ++r) {
        sums[r][p] = part_fma(min, part_set(a_sums[r * sums_stride + k / group]), sums[r][p]);
      }
    }
    mins += kTileColumns;
  }
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < kParts; ++p) {
      part_store(sums[r][p], out + r * out_stride + p * kPartLanes);
    }
  }
}

// Adds the outliers of one row in values first..first+count, which the tile holds.
HWY_INLINE void add_outliers(const IntTile& tile, const IntRows& x, int64_t row, int64_t first,
                             float* out) {
  const int64_t chunk = first / kIntChunk;
  const Outlier* outlier = x.outliers + row * (x.columns / kSubBlock) + first / kSubBlock;
  const Outlier* end = outlier + x.outlier_counts[row * x.chunks() + chunk];
  for (; outlier != end; ++outlier) {
    const int64_t k = outlier->k - first;
    const int16_t* pairs = tile.q + k / 2 * 2 * kTileColumns;
    const float* scales = tile.scales + k / tile.group * kTileColumns;
    for (int p = 0; p < kParts; ++p) {
      float* at = out + p * kPartLanes;
      const Part q = pairs_side(pairs_load(pairs + p * kLanes16), static_cast<int>(k % 2));
      const Part w = part_mul(part_load(scales + p * kPartLanes), q);
      part_store(part_fma(part_set(outlier->value), w, part_load(at)), at);
    }
  }
}

// Calls body.template operator()<n>(row) for runs of n rows: kMost at a time, then what is left.
template <int kMost, typename Body>
HWY_INLINE void over_row_runs(int rows, const Body& body) {
  int row = 0;
  for (; row + kMost <= rows; row += kMost) body.template operator()<kMost>(row);
  const auto rest = [&]<int kRows>(auto& self) HWY_ATTR {
    if constexpr (kRows > 0) {
      if (rows - row == kRows) {
        body.template operator()<kRows>(row);
      } else {
        self.template operator()<kRows - 1>(self);
      }
    }
  };
  rest.template operator()<kMost - 1>(rest);
}

inline void product_f32(const float* w, int64_t w_stride, const float* x, int64_t x_stride,
                        int rows, int64_t count, float* out, int64_t out_stride, bool add) {
  over_row_runs<kRowsF32>(rows, [&]<int kRows>(int row) HWY_ATTR {
    product_f32_rows<kRows>(w, w_stride, x + row * x_stride, x_stride, count,
                            out + row * out_stride, out_stride, add);
  });
}

inline void product_int(const IntTile& tile, const IntRows& x, int rows, int64_t k, int64_t count,
                        float* out, int64_t out_stride, bool add) {
  over_row_runs<kRowsInt>(rows, [&]<int kRows>(int row) HWY_ATTR {
    product_int_rows<kRows>(tile, x, row, k, count, out + row * out_stride, out_stride, add);
  });
  if (x.outliers == nullptr) return;
  for (int row = 0; row < rows; ++row) add_outliers(tile, x, row, k, out + row * out_stride);
}

// The largest magnitude of 32 values and where it is; not a number if a value is not finite.
HWY_INLINE float largest_magnitude(const float* x, int* index) {
  float magnitudes[kSubBlock];
  Part largest = part_zero(), bad = part_zero();
  for (int i = 0; i < kSubBlock; i += kPartLanes) {
    const Part value = part_load(x + i);
    const Part magnitude = part_abs(value);
    part_store(magnitude, magnitudes + i);
    largest = part_max(magnitude, largest);
    bad = part_add(bad, part_sub(value, value));
  }
  if (!part_all_zero(bad)) return NAN;
  const float most = part_max_lane(largest);
  *index = 0;
  while (magnitudes[*index] != most) ++*index;
  return most;
}

inline void quantize_row(const float* x, int64_t columns, int limit, int16_t* a, float* scales,
                         float* sums, Outlier* outliers, int32_t* outlier_counts) {
  constexpr float kTiny = 1e-30f;  // below it a value is nothing, and 1 / it is not finite
  const float limit_f = static_cast<float>(limit);
  float* sums_32 = sums + columns / 16;
  for (int64_t start = 0; start < columns; start += kSubBlock, x += kSubBlock, a += kSubBlock) {
    if (outliers != nullptr && start % kIntChunk == 0) outlier_counts[start / kIntChunk] = 0;
    float values[kSubBlock], outlier[2] = {};
    std::memcpy(values, x, sizeof(values));
    int index = 0;
    float most = largest_magnitude(values, &index);
    if (outliers != nullptr && most > kTiny) {
      const float value = std::exchange(values[index], 0.0f);
      int other = 0;
      const float second = largest_magnitude(values, &other);
      if (most > 2 * second) {
        const int64_t chunk = start / kIntChunk;
        outliers[chunk * (kIntChunk / kSubBlock) + outlier_counts[chunk]++] = {
            static_cast<int32_t>(start + index), value};
        outlier[index / 16] = value;
        most = second;
      } else {
        values[index] = value;
      }
    }
    const bool some = most > kTiny;
    const float scale = some ? most / limit_f : most == most ? 0.0f : NAN;
    const float inverse = some ? limit_f / most : 0.0f;
    int totals[2];
    for (int half = 0; half < 2; ++half) {
      PartI total = int_zero();
      for (int i = 16 * half; i < 16 * half + 16; i += kPartLanes) {
        const Part scaled = part_mul(part_load(values + i), part_set(inverse));
        total = int_add(total, store_rounded(scaled, limit_f, a + i));
      }
      totals[half] = int_sum(total);
      *sums++ = scale * static_cast<float>(totals[half]) + outlier[half];
    }
    *scales++ = scale;
    *sums_32++ = scale * static_cast<float>(totals[0] + totals[1]) + (outlier[0] + outlier[1]);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace assay
HWY_AFTER_NAMESPACE();

#endif
