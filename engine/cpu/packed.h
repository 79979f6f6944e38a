// Weights as the CPU's products read them: repacked once, when the model is first used.
//
// Sixteen rows of the matrix (outputs) are a tile; a tile holds everything that its sixteen sums
// over k need, in order of k, so that one pass reads memory once and in one direction.
//   F32, F16, BF16: [columns][16] values as stored; F32 whose values are all BF16 or F16 numbers as
//   those. BF16 as whole numbers, w ≈ q · 2^(e − 127): uint8 e of each 32 values of k, [columns /
//   32] [16];//   from a multiple of 64 bytes int16 q [columns / 2][16][2]. F32 that has a code
//   (f32_code.h): for each eight values of k their upper 16 bits, [4][16][2], and the next 8,
//   [2][16][4]. Quantized: the scales of all blocks of k, each d [16] fp16; d_min [16] fp16 if the
//   type has a minimum; for K-quants sub_scale [groups][16] int8 and sub_min [groups][16] uint8
//   (with a minimum). Then, from a multiple of 64 bytes, the values q + zero: for each 32 values of
//   k, entries e = (column, k mod 4) of eight quads of k:
//     8 bits: [8 quads][64 e] bytes
//     fewer:  [4][64 e] bytes, quad u in the low nibble, quad u + 4 in the high one; then, for 5
//             bits, [64 e] with bit u for quad u, for 6 bits [2][64 e] with bits 2b and 2b + 1 of
//             byte i for quad 2b + i.
// So a type costs what it costs in its file, whole numbers of BF16 a byte more for 32 values; Q2_K
// and Q3_K take a nibble a value.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/blocks.h"
#include "engine/cpu/f32_code.h"
#include "engine/cpu/team.h"
#include "engine/tensor.h"

namespace assay {

constexpr int kTileColumns = 16;
constexpr int kSubBlock = 32;  // values of k that are unpacked together
constexpr int kCodeGroup = 8;  // values of k whose codes stand together

// Of sixteen values as 16-bit whole numbers, that sums of products of two such have 32 bits, and
// every part of them (Cauchy–Schwarz): largest Euclidean norms of weights and of activations, and
// what rounding adds to one at most, sqrt(16) / 2.
constexpr float kWeightNorm = 32763, kActivationNorm = 65503, kNormRounding = 2;
static_assert(kWeightNorm * double{kActivationNorm} < 0x1p31);

struct PackFormat {
  DType dtype = DType::kF32;
  QuantFormat quant{};  // of a quantized type
  int value_bytes = 4;  // of another
  F32Code code{};       // of F32, in three bytes
  // Of a block of a quantized type, or of 32 values of k that have exponents; data of 32 values of
  // a quantized type.
  int header_bytes = 0, data_bytes = 0;

  explicit PackFormat(DType type);
  bool quantized() const { return is_quantized(dtype); }
  bool has_exponents() const { return !quantized() && header_bytes > 0; }
  bool has_whole_numbers() const { return quantized() || has_exponents(); }
  bool coded() const { return code.base >= 0; }
  int high_bits() const { return quant.bits == 5 ? 1 : quant.bits == 6 ? 2 : 0; }
  int zero() const { return quant.bits == 8 ? 128 : quant.zero; }
  // Where the values of a tile begin.
  int64_t data_offset(int64_t columns) const {
    if (header_bytes == 0) return 0;
    const int64_t blocks = columns / (quantized() ? quant.block_values : kSubBlock);
    return (blocks * header_bytes + 63) / 64 * 64;
  }
  size_t tile_bytes(int64_t columns) const {
    const int64_t data =
        quantized() ? columns / kSubBlock * data_bytes : columns * kTileColumns * value_bytes;
    return static_cast<size_t>(data_offset(columns) + data);
  }
};

// How a weight is packed: as its type is, or F32 as BF16 or F16 if its values are all such numbers,
// as most F32 files' are that were made from a published model, or in codes: f32 products have the
// same bits, and less memory is read. BF16 has exponents if `whole_numbers` are asked for and its
// columns are whole blocks. Reads all of an F32 weight.
PackFormat pack_format(const Weight& weight, bool whole_numbers, Team& team);

// Writes the tile of rows first..first+15 of `weight`; rows beyond the matrix are zero.
// `format` is pack_format()'s, or the weight's own type's. False: a value is not finite, so that
// the format cannot have exponents.
bool pack_tile(const Weight& weight, const PackFormat& format, int64_t first, uint8_t* tile);

// One value of a tile of codes, and of one with exponents.
float coded_value(const F32Code& code, const uint8_t* tile, int64_t k, int64_t column);
float rounded_value(const PackFormat& format, const uint8_t* tile, int64_t columns, int64_t k,
                    int64_t column);

}  // namespace assay
