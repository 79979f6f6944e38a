// What is inside the blocks of the quantized types, one definition for everyone: the dequantizer,
// the devices that repack weights, the tests.
//
// A value is scale · q − min, where scale = d · sub_scale and min = d_min · sub_min hold for a
// group of 16 or 32 values. Each product and the difference round once to f32, as ggml and the gguf
// package do; types without a minimum have no difference. Source of the layouts: ggml's GGUF files.
#pragma once

#include <cstdint>

#include "engine/tensor.h"

namespace assay {

struct QuantFormat {
  int block_values;  // values of a block
  int group;         // values that share a scale
  int bits;          // of a stored value, which is q + zero
  int zero;
  bool has_min;
  bool has_sub_scales;  // else every sub_scale and sub_min is 1

  int groups() const { return block_values / group; }
};

constexpr bool is_quantized(DType dtype) { return type_info(dtype).values > 1; }

// `dtype` must be quantized.
QuantFormat quant_format(DType dtype);

struct DecodedBlock {
  static constexpr int kMaxValues = 256, kMaxGroups = 16;
  uint8_t stored[kMaxValues];  // q + zero; for Q8_0 the bits of the int8 itself
  uint16_t d, d_min;           // fp16 bits
  int8_t sub_scale[kMaxGroups];
  uint8_t sub_min[kMaxGroups];
};

void decode_block(DType dtype, const uint8_t* block, DecodedBlock& out);

// Widens `count` values of a row to f32; count is a multiple of the type's block.
void dequantize(DType dtype, const uint8_t* row, int64_t count, float* out);

}  // namespace assay
