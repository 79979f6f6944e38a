// The CPU device's kernels: one table of functions for each instruction set, all built into the
// program and chosen at run time.
//
// All tables give the same bits. In a product each output is one sum in order of k: sixteen outputs
// stand side by side in a register, so no lanes are ever added up. Where lanes must be added
// (norms, the softmax's total), sixteen virtual lanes (lane = i mod 16) are, in one fixed tree: i
// with i + 8, i + 4, i + 2, i + 1. AVX-512 holds them in one register, AVX2 in two, the portable
// table in sixteen floats.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/cpu/packed.h"
#include "engine/ops.h"
#include "engine/tensor.h"

namespace assay {

// Values of k that integer products take at once: a tile of them stays in the first-level cache.
constexpr int64_t kIntChunk = 512;

// A value that is more than twice as large as the others of its 32. Its a is 0 and it is multiplied
// in f32; so it does not coarsen the others.
struct Outlier {
  int32_t k;
  float value;
};

// Activations as whole numbers: of each 32 values, x ≈ scale · a with |a| ≤ limit.
struct IntRows {
  int64_t columns;      // a multiple of 32
  const int16_t* a;     // [rows][columns]
  const float* scales;  // [rows][columns / 32]
  // For types with a minimum, scale · Σa + outlier: of every 16 values, then of every 32.
  const float* sums;  // [rows][columns / 16 + columns / 32]
  // Those of chunk c begin at c · kIntChunk / 32.
  const Outlier* outliers;        // [rows][columns / 32]
  const int32_t* outlier_counts;  // [rows][chunks]

  int64_t chunks() const { return (columns + kIntChunk - 1) / kIntChunk; }
  static int64_t sums_of(int64_t columns) { return columns / 16 + columns / 32; }
};

// A tile of quantized weights, unpacked: value = scale · q − min.
struct IntTile {
  const int16_t* q;     // [k / 2][16 columns][2]
  const float* scales;  // [k / group][16]
  const float* mins;    // [k / group][16], or null
  int group;            // 16 or 32
};

struct CpuKernels {
  const char* isa;  // "avx512_vnni", "avx512", "avx2", "portable"

  // Values k..k+count of a tile: k and count are multiples of the format's block (of 1 if it is not
  // quantized). unpack_f32 writes [count][16], each value exactly as its type defines it.
  void (*unpack_f32)(const PackFormat& format, const uint8_t* tile, int64_t k, int64_t count,
                     float* out);
  void (*unpack_int)(const PackFormat& format, const uint8_t* tile, int64_t k, int64_t count,
                     int16_t* q, float* scales, float* mins);

  // out[r][c] (+)= Σ_k x[r][k] · w[k][c] for 16 columns c; strides in floats. With `add`, the sum
  // is added to what is there.
  void (*product_f32)(const float* w, int64_t w_stride, const float* x, int64_t x_stride, int rows,
                      int64_t count, float* out, int64_t out_stride, bool add);
  // The tile holds values k..k+count, of x the same are taken:
  // out[r][c] (+)= Σ_g [scale_x · scale_w · Σ_{k in g} a · q − min_w · sum_x] + Σ outlier · scale_w
  // · q, in order of groups g, then of outliers; the inner sums are exact. With `add`, the sum goes
  // on from what is there. k is a multiple of kIntChunk, count at most that.
  void (*product_int)(const IntTile& tile, const IntRows& x, int rows, int64_t k, int64_t count,
                      float* out, int64_t out_stride, bool add);
  // One row of IntRows, with outliers where `outliers` is not null. A value that is not finite
  // makes its 32 values' scale not a number.
  void (*quantize_row)(const float* x, int64_t columns, int limit, int16_t* a, float* scales,
                       float* sums, Outlier* outliers, int32_t* outlier_counts);

  void (*rms_norm)(const float* x, const float* scale, float eps, int width, float* out);
  void (*add)(float* x, const float* y, int64_t count);
  void (*swiglu)(float* gate, const float* up, int64_t count);
  // out[i] = exp((x[i] - shift) · factor) to 2 ulp, 0 below the normal floats; returns the sum.
  double (*exp_sum)(const float* x, int64_t count, float shift, float factor, float* out);
  float (*max)(const float* x, int64_t count);
  // Keys [head_dim][kPageTokens] with scales [head_dim / 32][kPageTokens]: out = k · scale.
  void (*widen_keys)(const int16_t* k, const float* scales, int head_dim, float* out);
  // One value [head_dim] with scales [head_dim / 32].
  void (*widen_value)(const int16_t* v, const float* scales, int head_dim, float* out);
};

// The tables that this machine can run, best first; "portable" is always there.
std::vector<const CpuKernels*> available_cpu_kernels();
// By name; null if this machine cannot run it. "auto" is the best one.
const CpuKernels* cpu_kernels(std::string_view isa);

}  // namespace assay
