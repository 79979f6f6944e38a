// The CPU device's kernels: one table of functions for each instruction set, all built into the
// program and chosen at run time.
//
// All tables give the same bits. In a product each output is one sum in order of k: sixteen outputs
// stand side by side in a register, so no lanes are ever added up. Where lanes must be added
// (norms, the softmax's total), sixteen virtual lanes (lane = i mod 16) are, in one fixed tree: i
// with i + 8, i + 4, i + 2, i + 1. AVX-512 holds them in one register, AVX2 in two, the portable
// table in sixteen floats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/cpu/packed.h"
#include "engine/ops.h"
#include "engine/tensor.h"

namespace assay {

// Outliers are added for as many values of k at once, and integer products take as many: a tile of
// them stays in the first-level cache. Products take a few more, too, because what stands around a
// short one costs as much as around a long one.
constexpr int64_t kIntChunk = 512, kMostIntValues = 640;

// A value that is more than twice as large as the others of its 32. Its a is 0 and it is multiplied
// in f32; so it does not coarsen the others.
struct Outlier {
  int32_t k;
  float value;
};

// Activations as whole numbers: of each 32 values, x ≈ scale · a with |a| ≤ limit. `a` has the
// form that the table's products take: int16 [32], or, in byte form, a = 256 · high + low with
// int8 high [32], low [32]. For BF16 weights it is int16 with any table, and the norms of each
// sixteen are at most kActivationNorm.
struct IntRows {
  // So that `high` is an int8 too.
  static constexpr int kFixed16Limit = 127 * 256 + 127, kInt8Limit = 127;

  int64_t columns = 0;        // a multiple of 32
  int limit = kFixed16Limit;  // or kInt8Limit
  bool for_bf16 = false;      // without sums and starts
  int16_t* a = nullptr;       // [rows][columns]
  float* scales = nullptr;    // [rows][columns / 32]
  // Of every 16 values, then of every 32: for types with a minimum scale · Σa + outlier; in byte
  // form, where weights are q + 128, also −128 · Σa.
  float* sums = nullptr;      // [rows][sums_of(columns)]
  int32_t* starts = nullptr;  // [rows][sums_of(columns)]
  // Those of chunk c begin at c · kIntChunk / 32. Null: no value is an outlier.
  Outlier* outliers = nullptr;        // [rows][columns / 32]
  int32_t* outlier_counts = nullptr;  // [rows][chunks]

  int64_t blocks() const { return columns / kSubBlock; }
  int64_t chunks() const { return (columns + kIntChunk - 1) / kIntChunk; }
  static int64_t sums_of(int64_t columns) { return columns / 16 + columns / 32; }
};

// A tile of weights as whole numbers, unpacked: value = scale · q − min, of BF16 2^(e − 127) · q.
struct IntTile {
  // int16 [k / 2][16 columns][2] of q; in byte form [k / 4][16 columns][4] of q + 128
  const void* q;
  const float* scales;  // [k / group][16], or null
  const float* mins;    // [k / group][16], or null
  int group;            // 16 or 32
  // Not null: e [k / 32][16] of BF16, whose q is int16 with any table; the rows must be for_bf16.
  const uint8_t* exponents = nullptr;
};

// A tile where it is in memory.
struct PackedTile {
  const PackFormat& format;
  const uint8_t* data;
  int64_t columns;
  // Bytes from here to what the same thread will most likely read next, in the same place, which is
  // asked for in time. Past the weight's end it is a hint that the processor drops.
  int64_t ahead;
};

// A tile of weights as they are multiplied in f32.
struct F32Tile {
  const void* w;  // [k][16] of dtype
  DType dtype;    // F32, F16 or BF16
  // Not null, if narrow(): a product writes it there as F32 while it multiplies its first kF32Rows
  // rows, for those to come.
  float* wide = nullptr;
  const F32Code* code = nullptr;  // not null: w are codes

  bool narrow() const { return dtype != DType::kF32 || code != nullptr; }
};

struct alignas(64) IntScratch {
  int16_t q[kMostIntValues * kTileColumns];
  float scales[kMostIntValues / 16 * kTileColumns], mins[kMostIntValues / 16 * kTileColumns];
};

// What one page holds of a head, see KvLayout; scales are null but in a fixed16 cache.
struct KvPage {
  KvType type;
  const std::byte *keys, *values;
  const float *key_scales, *value_scales;
  int left;  // pages that stand after this one in memory, to be asked for in time
};

// Tiles that products may take together.
constexpr int kMaxTiles = 2;

// Rows that an f32 product takes at once at most, and has at least if a tile has `wide`.
constexpr int kF32Rows = 8;

struct CpuKernels {
  const char* isa;  // "avx512_vnni", "avx512", "avx2", "portable"
  int tiles;        // that products like to take together

  // Values k..k+count of a tile, but of BF16 with exponents: k and count are multiples of the
  // format's block (of 1 if it is not quantized; of 8 if it is coded). Quantized ones are written
  // into the scratch [count · 16], exactly as their type defines them; others stay where they are.
  F32Tile (*unpack_f32)(const PackedTile& tile, int64_t k, int64_t count, float* scratch);
  // The same for product_int, of formats that have whole numbers.
  IntTile (*unpack_int)(const PackedTile& tile, int64_t k, int64_t count, IntScratch& scratch);

  // out[r][c] (+)= Σ_k x[r][k] · w[k][c] for the 16 columns c of each tile; column c of tile t is
  // out[r][16 t + c]. With `add`, the sum is added to what is there. At most kMaxTiles tiles, of
  // one type. Meanwhile it asks for `next`, which may be anywhere, bit by bit.
  void (*product_f32)(std::span<const F32Tile> tiles, const float* x, int64_t x_stride, int rows,
                      int64_t count, float* out, int64_t out_stride, bool add,
                      std::span<const uint8_t> next);
  // The tiles hold values k..k+count of one matrix, of x the same are taken:
  // out[r][c] (+)= Σ_g [scale_x · scale_w · Σ_{k in g} a · q − min_w · sum_x] + Σ outlier · scale_w
  // · q; the inner sums are exact, of BF16 those of each sixteen k, which are then added in f32. In
  // order of chunks, and in a chunk of groups g, then of outliers. With `add`, the sum goes on from
  // what is there. k is a multiple of kIntChunk, count at most kMostIntValues; at most kMaxTiles
  // tiles. It asks for `next` as product_f32 does.
  void (*product_int)(std::span<const IntTile> tiles, const IntRows& x, int rows, int64_t k,
                      int64_t count, float* out, int64_t out_stride, bool add,
                      std::span<const uint8_t> next);
  // Writes row `row` of `rows`. A value that is not finite makes its 32 values' scale not a number.
  void (*quantize_row)(const float* x, int64_t row, const IntRows& rows);

  void (*rms_norm)(const float* x, const float* scale, float eps, int width, float* out);
  void (*add)(float* x, const float* y, int64_t count);
  void (*swiglu)(float* gate, const float* up, int64_t count);
  // out[i] = exp((x[i] - shift) · factor) to 2 ulp, 0 below the normal floats; returns the sum.
  double (*exp_sum)(const float* x, int64_t count, float shift, float factor, float* out);
  float (*max)(const float* x, int64_t count);
  // scores[i][t] = Σ_groups key_scale · Σ_d q[i][d] · k[d][t] for all positions t of the pages; q
  // [vectors][head_dim].
  void (*score_pages)(std::span<const KvPage> pages, const float* q, int vectors, int head_dim,
                      float* scores, int64_t stride);
  // out[i][d] (+)= Σ_t (p[i][t] · value_scale) · v[t][d] in order of t; of the last page only
  // `last_tokens` count, but all of p is read; out [vectors][padded_dim].
  void (*mix_pages)(std::span<const KvPage> pages, const float* p, int64_t p_stride, int vectors,
                    int padded_dim, int last_tokens, float* out, bool add);
  // x ≈ scale · whole for up to kKvGroup values; returns the scale, which is not a number if a
  // value is not finite.
  float (*to_fixed16)(const float* x, int count, int16_t* whole);
};

// The tables that this machine can run, best first; "portable" is always there.
std::vector<const CpuKernels*> available_cpu_kernels();
// By name; null if this machine cannot run it. "auto" is the best one.
const CpuKernels* cpu_kernels(std::string_view isa);

}  // namespace assay
