// How the CUDA device keeps a weight: repacked once at load so that a lane reads the values of its
// mma fragments with vector loads.
//
// A tile is 16 outputs (rows of the weight) by `unit` values of k, its chunks are 64 of these, four
// mma.m16n8k16. Lane l of a warp holds 32 values of a chunk, numbered 8 m + j for the mma m
// (values 16 m ..): j = 2 r + i is half i of A's register r, so with g = l / 4 and t = l % 4
//   output  g + 8 (r % 2),   k  16 m + 2 t + 8 (r / 2) + i       (PTX ISA, A of m16n8k16)
// Tiles lie as [output tile][unit]; k and outputs are filled up with zeros.
//
// A tile of a quantized type, in this order:
//   values   [chunk][piece][lane][16 bytes]
//            4 bits each: word m has value j at bit 4 r + 16 i
//            8 bits each: piece m / 2, word 2 (m % 2) + r / 2, bit 8 (r % 2) + 16 i
//   high     [chunk][lane][4 or 8 bytes]
//            1 bit each for Q5: bit 4 m + r + 16 i
//            2 bits each for Q6_K: word m / 2, bit 2 (4 (m % 2) + r) + 16 i
//   d        [block][g] fp16 of outputs g and g + 8, then their d_min where the type has a minimum
//   scales   [chunk][g] int8 of output g and of g + 8 for each group of the chunk, then their
//            minimums, uint8; K-quants only
// So that a pair of values of A's register is a shift and a mask. A stored value is q + zero, but
// for Q8_0, where it is the int8 itself. F16, BF16: [chunk][m][lane][8 values];
// F32: [chunk][m][half][lane][4 values].
#pragma once

#include <cstdint>

#include "engine/tensor.h"

namespace assay {

constexpr int kCudaChunk = 64;

struct CudaWeightFormat {
  bool quantized;
  int unit;       // values of k in a tile
  int block;      // that share d: the type's block
  int group;      // that share a scale
  int low_bits;   // of a value in `values`
  int high_bits;  // of a value in `high`
  int zero;
  bool has_min, has_sub_scales;
  int value_bytes;  // of a value that is not quantized

  constexpr int chunks() const { return unit / kCudaChunk; }
  constexpr int blocks() const { return unit / block; }
  constexpr int chunk_groups() const { return kCudaChunk / group; }
  constexpr int pieces() const { return (quantized ? 4 * low_bits : 32 * value_bytes) / 16; }
  constexpr int values_at(int chunk, int piece, int lane) const {
    return ((chunk * pieces() + piece) * 32 + lane) * 16;
  }
  constexpr int high_at(int chunk, int lane) const {
    return values_at(chunks(), 0, 0) + (chunk * 32 + lane) * 4 * high_bits;
  }
  constexpr int d_at(int block_index, int g) const {
    return high_at(chunks(), 0) + (block_index * 8 + g) * (has_min ? 8 : 4);
  }
  constexpr int scales_bytes() const { return 2 * chunk_groups() * (has_min ? 2 : 1); }
  constexpr int scales_at(int chunk, int g) const {
    return d_at(blocks(), 0) + (chunk * 8 + g) * scales_bytes();
  }
  constexpr int tile_bytes() const {
    if (!quantized) return values_at(chunks(), 0, 0);
    return has_sub_scales ? scales_at(chunks(), 0) : d_at(blocks(), 0);
  }
};

constexpr CudaWeightFormat cuda_weight_format(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return {false, 64, 64, 64, 0, 0, 0, false, false, 4};
    case DType::kF16:
    case DType::kBF16:
      return {false, 64, 64, 64, 0, 0, 0, false, false, 2};
    case DType::kQ8_0:
      return {true, 64, 32, 32, 8, 0, 0, false, false, 0};
    case DType::kQ4_0:
      return {true, 64, 32, 32, 4, 0, 8, false, false, 0};
    case DType::kQ4_1:
      return {true, 64, 32, 32, 4, 0, 0, true, false, 0};
    case DType::kQ5_0:
      return {true, 64, 32, 32, 4, 1, 16, false, false, 0};
    case DType::kQ5_1:
      return {true, 64, 32, 32, 4, 1, 0, true, false, 0};
    case DType::kQ2_K:
      return {true, 256, 256, 16, 4, 0, 0, true, true, 0};
    case DType::kQ3_K:
      return {true, 256, 256, 16, 4, 0, 4, false, true, 0};
    case DType::kQ4_K:
      return {true, 256, 256, 32, 4, 0, 0, true, true, 0};
    case DType::kQ5_K:
      return {true, 256, 256, 32, 4, 1, 0, true, true, 0};
    case DType::kQ6_K:
      return {true, 256, 256, 16, 4, 2, 32, false, true, 0};
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
