// From f32 to the storage types, the inverse of blocks.h's dequantize.
//
// Without importance the bytes are those of ggml 0.25's reference quantizers (ggml-quants.c, MIT,
// by the ggml authors). Equal bytes need the same operations in the same order, so that source was
// read and is followed here step by step: for values with a minimum (Q4_K, Q5_K) a weighted
// least-squares fit of scale and minimum for some ways to round, for those without (Q6_K) of the
// scale.
#pragma once

#include <cstdint>

#include "engine/tensor.h"

namespace assay {

// Whether quantize_row() can write the type.
bool can_quantize(DType dtype);

// Writes `count` values of a row, a multiple of the type's block. All values must be finite.
// `importance`: how much the error of each column counts, [count]; null: none is known. F32, F16,
// BF16 and Q8_0 do not look at it.
void quantize_row(DType dtype, const float* values, int64_t count, const float* importance,
                  uint8_t* out);

}  // namespace assay
