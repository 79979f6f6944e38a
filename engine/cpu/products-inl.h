// Products of a tile of sixteen columns with rows of activations; included once for each target.
#if defined(ASSAY_ENGINE_CPU_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ASSAY_ENGINE_CPU_PRODUCTS_INL_H_
#undef ASSAY_ENGINE_CPU_PRODUCTS_INL_H_
#else
#define ASSAY_ENGINE_CPU_PRODUCTS_INL_H_
#endif

#include <algorithm>
#include <span>

#include "engine/cpu/int_rows-inl.h"
#include "engine/cpu/kernels.h"
#include "engine/cpu/lanes-inl.h"
#include "engine/cpu/packed.h"
#include "engine/cpu/unpack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace assay {
namespace HWY_NAMESPACE {

// Tiles and rows that are multiplied together: as many sums as the target's registers hold.
#if HWY_TARGET <= HWY_AVX3
constexpr int kTiles = 2, kRowsF32 = 8, kRowsPairs = 8, kRowsBf16 = 8;
#elif HWY_TARGET <= HWY_AVX2
constexpr int kTiles = 1, kRowsF32 = 6, kRowsPairs = 4, kRowsBf16 = 2;
#else
constexpr int kTiles = 1, kRowsF32 = 1, kRowsPairs = 1, kRowsBf16 = 1;
#endif

// Asks for bytes that are read later, some at each of `steps` steps: asked for at once, they would
// hold up what is read meanwhile.
class Ahead {
 public:
  HWY_INLINE Ahead(std::span<const uint8_t> bytes, int64_t steps)
      : at_(bytes.data()), per_step_(static_cast<int64_t>(bytes.size() << 8) / steps) {}
  HWY_INLINE void step() {
    for (due_ += per_step_; asked_ < due_ >> 8; asked_ += 64) prefetch(at_ + asked_);
  }

 private:
  const uint8_t* at_;
  int64_t per_step_, due_ = 0, asked_ = 0;
};

// What rows row..row + count of `rows` ask for.
inline std::span<const uint8_t> share(std::span<const uint8_t> bytes, int row, int count,
                                      int rows) {
  const size_t first = bytes.size() * row / rows / 64 * 64;
  return bytes.subspan(first, bytes.size() * (row + count) / rows - first);
}

constexpr int64_t kAskEvery = 4;  // values of k of an f32 product

// Few rows are done with weights of 16 bits so fast that what they need would wait behind what is
// asked for in the distance: the first ask for what is near, and if they are alone, for nothing
// else; one or two of them pass over one tile after the other.
constexpr int64_t kNearBytes = 4096;
constexpr int kFewRows = 16;

template <int kRows, int kCount, typename Weights, bool kWiden = false>
HWY_INLINE void product_f32_rows(const F32Tile* tiles, const float* x, int64_t x_stride,
                                 int64_t count, float* out, int64_t out_stride, bool add,
                                 std::span<const uint8_t> next) {
  Ahead ahead(next, (count + kAskEvery - 1) / kAskEvery);
  Part sums[kRows][kCount][kParts];
  for (int r = 0; r < kRows; ++r) {
    for (int t = 0; t < kCount; ++t) prefetch_to_write(out + r * out_stride + t * kTileColumns);
    for (int i = 0; i < kCount * kParts; ++i) sums[r][i / kParts][i % kParts] = part_zero();
  }
  const auto multiply = [&](int64_t k, const Part(&ws)[kCount][kParts]) HWY_ATTR
      __attribute__((always_inline)) {
    if (k % kAskEvery == 0) ahead.step();
    for (int i = 0; kWiden && i < kCount * kParts; ++i) {
      float* wide = tiles[i / kParts].wide + k * kTileColumns;
      part_store(ws[i / kParts][i % kParts], wide + i % kParts * kPartLanes);
    }
    for (int r = 0; r < kRows; ++r) {
      const Part value = part_set(x[r * x_stride + k]);
      for (int t = 0; t < kCount; ++t) {
        for (int p = 0; p < kParts; ++p) {
          sums[r][t][p] = part_fma_onto(sums[r][t][p], value, ws[t][p]);
        }
      }
    }
  };
  Weights::template each<kCount>(tiles, count, multiply);
  for (int r = 0; r < kRows; ++r) {
    for (int i = 0; i < kCount * kParts; ++i) {
      float* at = out + r * out_stride + i * kPartLanes;
      const Part sum = sums[r][i / kParts][i % kParts];
      part_store(add ? part_add(part_load(at), sum) : sum, at);
    }
  }
}

// Those of one row in values first..first+count, which a tile holds.
HWY_INLINE std::span<const Outlier> outliers_of(const IntRows& x, int64_t row, int64_t first) {
  if (x.outliers == nullptr) return {};
  const Outlier* begin = x.outliers + row * x.blocks() + first / kSubBlock;
  return {begin, static_cast<size_t>(x.outlier_counts[row * x.chunks() + first / kIntChunk])};
}

#ifdef ASSAY_BYTE_PRODUCTS

// What is multiplied at once: the low bytes of four activations (every `high` is 0) or both bytes
// of them, with four weights' bytes; or two activations of 16 bits with two weights of 16 bits,
// which may be asked for meanwhile.
enum class IntForm { kLow, kBoth, kPairs, kNearPairs };

template <int kRows, int kCount, IntForm kForm, int kGroup>
HWY_INLINE void product_int_rows(const IntTile* tiles, const IntRows& x, int64_t row, int64_t first,
                                 int64_t count, float* out, int64_t out_stride, bool add,
                                 std::span<const uint8_t> next) {
  constexpr bool kNear = kForm == IntForm::kNearPairs;
  constexpr bool kPairs = kForm == IntForm::kPairs || kNear;
  constexpr int kAtOnce = kPairs ? 2 : 4, kValueBytes = kPairs ? 2 : 1;
  constexpr int kStep = kPairs ? 8 : kGroup;
  Ahead ahead(next, count / kStep);
  // Outliers are few; their weights are taken one by one, as products with 1.
  alignas(4) static constexpr int8_t kOnlyByte[4][4] = {
      {1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}};
  alignas(4) static constexpr int8_t kOnlyPair[2][4] = {{1, 0, 0, 0}, {0, 0, 1, 0}};
  Part sums[kRows][kCount];
  const uint8_t* q[kCount];
  for (int t = 0; t < kCount; ++t) {
    q[t] = static_cast<const uint8_t*>(tiles[t].q);
    for (int r = 0; r < kRows; ++r) {
      float* at = out + r * out_stride + t * kTileColumns;
      prefetch_to_write(at);
      sums[r][t] = add ? part_load(at) : part_zero();
    }
  }
  const int64_t sums_stride = IntRows::sums_of(x.columns);
  const auto* a = reinterpret_cast<const int8_t*>(x.a + row * x.columns + first);
  const float* a_scales = x.scales + row * x.blocks() + first / kSubBlock;
  const int64_t a_sums = sums_at(x, row, first, kGroup);
  const auto dot = [](PartI onto, PartI w, PartI value) HWY_ATTR {
    return kPairs ? dot_word_pairs(onto, w, value) : dot_quads(onto, w, value);
  };
  const auto scale_at = [&](int t, auto k) HWY_ATTR {
    const auto at = k / kGroup * kTileColumns;
    return kPairs ? load_powers(tiles[t].exponents + at) : part_load(tiles[t].scales + at);
  };
  for (int64_t begin = 0; begin < count; begin += kIntChunk) {
    const int64_t end = std::min(count, begin + kIntChunk);
    for (int64_t k = begin; k < end; k += kGroup) {
      if constexpr (!kPairs) ahead.step();
      // Of bytes, or of the first and the second sixteen pairs' values.
      PartI low[kRows][kCount], high[kRows][kCount];
      for (int r = 0; r < kRows; ++r) {
        const PartI start =
            kPairs ? int_zero() : int_set(x.starts[a_sums + r * sums_stride + k / kGroup]);
        for (int t = 0; t < kCount; ++t) {
          low[r][t] = start;
          high[r][t] = int_zero();
        }
      }
      const int8_t* a_block = a + k / kSubBlock * 2 * kSubBlock + k % kSubBlock * kValueBytes;
      // A register for each row: GCC would keep what i adds to it for each row in memory.
      const int8_t* a_rows[kRows];
      for (int r = 0; r < kRows; ++r) {
        a_rows[r] = a_block + r * 2 * x.columns;
        asm("" : "+r"(a_rows[r]));
      }
      // The next rows' values are in the second-level cache.
      if (k % kSubBlock == 0) {
        for (int r = 0; r < kRows; ++r) prefetch_near(a_rows[r] + kRows * 2 * x.columns);
      }
      // Unrolled, or GCC moves every sum to another register and back.
#pragma GCC unroll 16
      for (int i = 0; i < kGroup; i += kAtOnce) {
        if (kPairs && i % kStep == 0) ahead.step();
        PartI w[kCount];
        for (int t = 0; t < kCount; ++t) {
          const uint8_t* at = q[t] + (k + i) * kTileColumns * kValueBytes;
          if constexpr (kNear) prefetch_near(at + kNearBytes);
          w[t] = quads_load(at);
        }
        for (int r = 0; r < kRows; ++r) {
          const int8_t* at = a_rows[r] + i * kValueBytes;
          const PartI a_low = quads_set(kPairs ? at : at + kSubBlock);
          auto& onto = kPairs && i >= 16 ? high : low;
          for (int t = 0; t < kCount; ++t) onto[r][t] = dot(onto[r][t], w[t], a_low);
          if constexpr (kForm == IntForm::kBoth) {
            const PartI a_high = quads_set(at);
            for (int t = 0; t < kCount; ++t) high[r][t] = dot(high[r][t], w[t], a_high);
          }
        }
      }
      for (int t = 0; t < kCount; ++t) {
        const Part scale = scale_at(t, k);
        for (int r = 0; r < kRows; ++r) {
          PartI whole = low[r][t];
          if constexpr (kForm == IntForm::kBoth) {
            // high's weights are q + 128 too; low's start has taken that of 256 · high + low away
            whole = int_add(whole, int_times_256(high[r][t]));
          }
          Part value = int_to_float(whole);
          if constexpr (kPairs) value = part_add(value, int_to_float(high[r][t]));
          const Part both = part_mul(scale, part_set(a_scales[r * x.blocks() + k / kSubBlock]));
          sums[r][t] = part_fma(value, both, sums[r][t]);
        }
        if (kPairs || tiles[t].mins == nullptr) continue;
        const Part min =
            part_sub(part_zero(), part_load(tiles[t].mins + k / kGroup * kTileColumns));
        for (int r = 0; r < kRows; ++r) {
          const Part a_sum = part_set(x.sums[a_sums + r * sums_stride + k / kGroup]);
          sums[r][t] = part_fma(min, a_sum, sums[r][t]);
        }
      }
    }
    for (int r = 0; r < kRows; ++r) {
      for (const Outlier& outlier : outliers_of(x, row + r, first + begin)) {
        const auto k = static_cast<uint32_t>(outlier.k - first);  // is divided faster
        const PartI only = quads_set(kPairs ? kOnlyPair[k % 2] : kOnlyByte[k % 4]);
        for (int t = 0; t < kCount; ++t) {
          const PartI w = quads_load(q[t] + k / kAtOnce * kAtOnce * kTileColumns * kValueBytes);
          const Part value = int_to_float(dot(int_set(kPairs ? 0 : -128), w, only));
          const Part scale = scale_at(t, k);
          sums[r][t] = part_fma(part_set(outlier.value), part_mul(scale, value), sums[r][t]);
        }
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int t = 0; t < kCount; ++t)
      part_store(sums[r][t], out + r * out_stride + t * kTileColumns);
  }
}

#else

template <int kRows, bool kBf16>
HWY_INLINE void product_pairs(const IntTile& tile, const IntRows& x, int64_t row, int64_t first,
                              int64_t count, float* out, int64_t out_stride, bool add,
                              std::span<const uint8_t> next) {
  Ahead ahead(next, count / tile.group);
  Part sums[kRows][kParts];
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < kParts; ++p) {
      sums[r][p] = add ? part_load(out + r * out_stride + p * kPartLanes) : part_zero();
    }
  }
  const int group = tile.group;
  const auto* q = static_cast<const int16_t*>(tile.q);
  const int64_t stride = x.columns, scales_stride = x.blocks();
  const int64_t sums_stride = IntRows::sums_of(x.columns);
  const int16_t* a = x.a + row * stride + first;
  const float* a_scales = x.scales + row * scales_stride + first / kSubBlock;
  const float* a_sums = kBf16 ? nullptr : x.sums + sums_at(x, row, first, group);
  const float* scales = tile.scales;
  const uint8_t* exponents = tile.exponents;
  const float* mins = tile.mins;
  for (int64_t k = 0; k < count; k += group) {
    ahead.step();
    PartI whole[kRows][kParts];
    Part first_half[kRows][kParts];
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
      for (int r = 0; kBf16 && i == 14 && r < kRows; ++r) {
        for (int p = 0; p < kParts; ++p) {
          first_half[r][p] = int_to_float(whole[r][p]);
          whole[r][p] = int_zero();
        }
      }
    }
    for (int p = 0; p < kParts; ++p) {
      const Part scale =
          kBf16 ? load_powers(exponents + p * kPartLanes) : part_load(scales + p * kPartLanes);
      for (int r = 0; r < kRows; ++r) {
        const Part both = part_mul(scale, part_set(a_scales[r * scales_stride + k / kSubBlock]));
        Part value = int_to_float(whole[r][p]);
        if constexpr (kBf16) value = part_add(first_half[r][p], value);
        sums[r][p] = part_fma(value, both, sums[r][p]);
      }
    }
    if constexpr (kBf16) {
      exponents += kTileColumns;
      continue;
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

HWY_INLINE void add_outliers(const IntTile& tile, const IntRows& x, int64_t row, int64_t first,
                             float* out) {
  for (const Outlier& outlier : outliers_of(x, row, first)) {
    const int64_t k = outlier.k - first;
    const int16_t* pairs = static_cast<const int16_t*>(tile.q) + k / 2 * 2 * kTileColumns;
    const int64_t header = k / tile.group * kTileColumns;
    for (int p = 0; p < kParts; ++p) {
      float* at = out + p * kPartLanes;
      const Part q = pairs_side(pairs_load(pairs + p * kLanes16), static_cast<int>(k % 2));
      const int64_t column = header + p * kPartLanes;
      const Part scale = tile.exponents != nullptr ? load_powers(tile.exponents + column)
                                                   : part_load(tile.scales + column);
      const Part w = part_mul(scale, q);
      part_store(part_fma(part_set(outlier.value), w, part_load(at)), at);
    }
  }
}

#endif

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

template <int kCount, typename Weights>
void product_f32_of(const F32Tile* tiles, const float* x, int64_t x_stride, int rows, int64_t count,
                    float* out, int64_t out_stride, bool add, std::span<const uint8_t> next) {
  static_assert(kRowsF32 <= kF32Rows);
  if constexpr (Weights::kNarrow) {
    if (tiles[0].wide != nullptr) {
      const std::span<const uint8_t> first = share(next, 0, kRowsF32, rows);
      product_f32_rows<kRowsF32, kCount, Weights, true>(tiles, x, x_stride, count, out, out_stride,
                                                        add, first);
      F32Tile wide[kCount];
      for (int t = 0; t < kCount; ++t) wide[t] = {tiles[t].wide, DType::kF32};
      return product_f32_of<kCount, F32Weights>(wide, x + kRowsF32 * x_stride, x_stride,
                                                rows - kRowsF32, count, out + kRowsF32 * out_stride,
                                                out_stride, add, next.subspan(first.size()));
    }
  }
  over_row_runs<kRowsF32>(rows, [&]<int kRows>(int row) HWY_ATTR {
    product_f32_rows<kRows, kCount, Weights>(tiles, x + row * x_stride, x_stride, count,
                                             out + row * out_stride, out_stride, add,
                                             share(next, row, kRows, rows));
  });
}

template <int kCount>
HWY_INLINE void product_f32_tiles(const F32Tile* tiles, const float* x, int64_t x_stride, int rows,
                                  int64_t count, float* out, int64_t out_stride, bool add,
                                  std::span<const uint8_t> next) {
  auto product = product_f32_of<kCount, F32Weights>;
  if (tiles[0].dtype == DType::kF16) product = product_f32_of<kCount, F16Weights>;
  if (tiles[0].dtype == DType::kBF16) product = product_f32_of<kCount, Bf16Weights>;
  if (tiles[0].code != nullptr) product = product_f32_of<kCount, CodedWeights>;
  product(tiles, x, x_stride, rows, count, out, out_stride, add, next);
}

inline void product_f32(std::span<const F32Tile> tiles, const float* x, int64_t x_stride, int rows,
                        int64_t count, float* out, int64_t out_stride, bool add,
                        std::span<const uint8_t> next) {
  if (kTiles > 1 && tiles.size() == kTiles) {
    return product_f32_tiles<kTiles>(tiles.data(), x, x_stride, rows, count, out, out_stride, add,
                                     next);
  }
  for (const F32Tile& tile : tiles) {
    product_f32_tiles<1>(&tile, x, x_stride, rows, count, out, out_stride, add, next);
    next = {};
    out += kTileColumns;
  }
}

#ifdef ASSAY_BYTE_PRODUCTS

template <int kCount, IntForm kForm, int kGroup>
void product_int_of(const IntTile* tiles, const IntRows& x, int rows, int64_t k, int64_t count,
                    float* out, int64_t out_stride, bool add, std::span<const uint8_t> next) {
  constexpr int kRows = kForm == IntForm::kLow ? 6 : 4;  // as many as registers hold
  int first = 0;
  const auto run = [&]<int kRun, IntForm kRunForm>(int row) HWY_ATTR {
    row += first;
    product_int_rows<kRun, kCount, kRunForm, kGroup>(tiles, x, row, k, count,
                                                     out + row * out_stride, out_stride, add,
                                                     share(next, row, kRun, rows));
  };
  if (kForm == IntForm::kPairs && rows <= kFewRows) {
    if (rows <= kRows) next = {};
    over_row_runs<kRows>(std::min(rows, kRows), [&]<int kRun>(int row) HWY_ATTR {
      run.template operator()<kRun, IntForm::kNearPairs>(row);
    });
    first = std::min(rows, kRows);
  }
  over_row_runs<kRows>(
      rows - first, [&]<int kRun>(int row) HWY_ATTR { run.template operator()<kRun, kForm>(row); });
}

inline void product_int(std::span<const IntTile> tiles, const IntRows& x, int rows, int64_t k,
                        int64_t count, float* out, int64_t out_stride, bool add,
                        std::span<const uint8_t> next) {
  const auto run = [&]<int kCount>() {
    auto product = product_int_of<kCount, IntForm::kPairs, kSubBlock>;
    if (tiles[0].exponents == nullptr) {
      const bool whole_block = tiles[0].group == kSubBlock;
      product = whole_block ? product_int_of<kCount, IntForm::kBoth, kSubBlock>
                            : product_int_of<kCount, IntForm::kBoth, 16>;
      if (x.limit == IntRows::kInt8Limit) {
        product = whole_block ? product_int_of<kCount, IntForm::kLow, kSubBlock>
                              : product_int_of<kCount, IntForm::kLow, 16>;
      }
    }
    product(tiles.data(), x, rows, k, count, out, out_stride, add, next);
  };
  if (tiles[0].exponents != nullptr && rows <= 2 && tiles.size() == 2) {
    run.template operator()<1>();
    tiles = tiles.last(1);
    out += kTileColumns;
  }
  tiles.size() == 1 ? run.template operator()<1>() : run.template operator()<2>();
}

#else

inline void product_int(std::span<const IntTile> tiles, const IntRows& x, int rows, int64_t k,
                        int64_t count, float* out, int64_t out_stride, bool add,
                        std::span<const uint8_t> next) {
  for (const IntTile& whole : tiles) {
    for (int64_t begin = 0; begin < count; begin += kIntChunk) {
      const int64_t values = std::min(count - begin, kIntChunk);
      const int64_t header = begin / whole.group * kTileColumns;
      IntTile tile = whole;
      tile.q = static_cast<const int16_t*>(whole.q) + begin * kTileColumns;
      if (tile.scales != nullptr) tile.scales += header;
      if (tile.exponents != nullptr) tile.exponents += header;
      if (tile.mins != nullptr) tile.mins += header;
      const auto product = [&]<int kRows, bool kBf16>(int row) HWY_ATTR {
        product_pairs<kRows, kBf16>(tile, x, row, k + begin, values, out + row * out_stride,
                                    out_stride, add || begin > 0, share(next, row, kRows, rows));
      };
      if (tile.exponents != nullptr) {
        over_row_runs<kRowsBf16>(rows, [&]<int kRows>(int row) HWY_ATTR {
          product.template operator()<kRows, true>(row);
        });
      } else {
        over_row_runs<kRowsPairs>(rows, [&]<int kRows>(int row) HWY_ATTR {
          product.template operator()<kRows, false>(row);
        });
      }
      next = {};
      for (int row = 0; row < rows; ++row) {
        add_outliers(tile, x, row, k + begin, out + row * out_stride);
      }
    }
    out += kTileColumns;
  }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace assay
HWY_AFTER_NAMESPACE();

#endif
