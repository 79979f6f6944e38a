// How the CUDA device keeps a weight: repacked once at load so that a lane reads the values of its
// mma fragments with one vector load.
//
// A tile is 16 outputs (rows of the weight) by `unit` values of k. Within it, a step is 32 values
// of k, two mma.m16n8k16; lane l of a warp holds 16 values of it, numbered 8 s + j for the mma s
// (values 16 s ..): j = 2 r + i is half i of A's register r, so with g = l / 4 and t = l % 4
//   output  g + 8 (r % 2),   k  16 s + 2 t + 8 (r / 2) + i       (PTX ISA, A of m16n8k16)
// Tiles lie as [output tile][unit]; k and outputs are filled up with zeros.
//
// A tile of a quantized type, in this order:
//   values   [step][lane][16 values]: 4 bits each, or 8 for Q8_0
//   high     [step][lane][16 values]: 1 bit each for Q5, 2 for Q6_K
//   d        [16 outputs] fp16, then d_min where the type has a minimum
//   scales   [group of 16 or 32 k][16 outputs] int8, then minimums uint8; K-quants only
// A stored value is q + zero, but for Q8_0, where it is the int8 itself. F16, BF16:
// [step][mma][lane][8 values]; F32: [step][mma][half][lane][4 values].
#pragma once

#include <cstdint>

#include "engine/tensor.h"

namespace assay {

struct CudaWeightFormat {
  bool quantized;
  int unit;       // values of k in a tile: the type's block
  int group;      // that share a scale
  int low_bits;   // of a value in `values`
  int high_bits;  // of a value in `high`
  int zero;
  bool has_min, has_sub_scales;
  int value_bytes;  // of a value that is not quantized

  constexpr int steps() const { return unit / 32; }
  constexpr int groups() const { return unit / group; }
  constexpr int lane_bytes() const { return quantized ? 2 * low_bits : 16 * value_bytes; }
  constexpr int high_lane_bytes() const { return 2 * high_bits; }
  constexpr int high_at() const { return steps() * 32 * lane_bytes(); }
  constexpr int d_at() const { return high_at() + steps() * 32 * high_lane_bytes(); }
  constexpr int d_min_at() const { return d_at() + 32; }
  constexpr int scales_at() const { return d_min_at() + (has_min ? 32 : 0); }
  constexpr int mins_at() const { return scales_at() + (has_sub_scales ? 16 * groups() : 0); }
  constexpr int tile_bytes() const {
    if (!quantized) return high_at();
    return mins_at() + (has_sub_scales && has_min ? 16 * groups() : 0);
  }
};

constexpr CudaWeightFormat cuda_weight_format(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return {false, 32, 32, 0, 0, 0, false, false, 4};
    case DType::kF16:
    case DType::kBF16:
      return {false, 32, 32, 0, 0, 0, false, false, 2};
    case DType::kQ8_0:
      return {true, 32, 32, 8, 0, 0, false, false, 0};
    case DType::kQ4_0:
      return {true, 32, 32, 4, 0, 8, false, false, 0};
    case DType::kQ4_1:
      return {true, 32, 32, 4, 0, 0, true, false, 0};
    case DType::kQ5_0:
      return {true, 32, 32, 4, 1, 16, false, false, 0};
    case DType::kQ5_1:
      return {true, 32, 32, 4, 1, 0, true, false, 0};
    case DType::kQ2_K:
      return {true, 256, 16, 4, 0, 0, true, true, 0};
    case DType::kQ3_K:
      return {true, 256, 16, 4, 0, 4, false, true, 0};
    case DType::kQ4_K:
      return {true, 256, 32, 4, 0, 0, true, true, 0};
    case DType::kQ5_K:
      return {true, 256, 32, 4, 1, 0, true, true, 0};
    case DType::kQ6_K:
      return {true, 256, 16, 4, 2, 32, false, true, 0};
  }
  return {};
}

// A weight on the device, as kernels take it.
struct CudaWeightShape {
  int64_t outputs = 0, columns = 0;  // as in the file
  int tiles = 0, units = 0;          // rounded up
};

constexpr CudaWeightShape cuda_weight_shape(DType dtype, int64_t outputs, int64_t columns) {
  const int unit = cuda_weight_format(dtype).unit;
  return {outputs, columns, static_cast<int>((outputs + 15) / 16),
          static_cast<int>((columns + unit - 1) / unit)};
}

}  // namespace assay
