#include "engine/blocks.h"

#include <algorithm>
#include <cstring>

#include "engine/half.h"
#include "harness/base/check.h"

namespace assay {
namespace {

uint16_t load_16(const uint8_t* at) {
  uint16_t bits;
  std::memcpy(&bits, at, 2);
  return bits;
}

// 32 values in 16 bytes: low nibbles are values 0–15, high ones 16–31.
void nibbles_16(const uint8_t* bytes, uint8_t* out) {
  for (int i = 0; i < 16; ++i) {
    out[i] = bytes[i] & 15;
    out[16 + i] = bytes[i] >> 4;
  }
}

// 64 values in 32 bytes: low nibbles are values 0–31, high ones 32–63.
void nibbles_32(const uint8_t* bytes, uint8_t* out) {
  for (int i = 0; i < 32; ++i) {
    out[i] = bytes[i] & 15;
    out[32 + i] = bytes[i] >> 4;
  }
}

// Bit i of four bytes is bit 4 of value i.
void fifth_bits(const uint8_t* bytes, uint8_t* out) {
  for (int i = 0; i < 32; ++i) {
    const int bit = bytes[i / 8] >> (i % 8) & 1;
    out[i] = static_cast<uint8_t>(out[i] | bit << 4);
  }
}

// Q4_K and Q5_K: eight 6-bit scales and minima in twelve bytes.
void scales_6_bit(const uint8_t* s, DecodedBlock& out) {
  for (int j = 0; j < 4; ++j) {
    out.sub_scale[j] = static_cast<int8_t>(s[j] & 63);
    out.sub_min[j] = s[j + 4] & 63;
    out.sub_scale[j + 4] = static_cast<int8_t>((s[j + 8] & 15) | (s[j] >> 6) << 4);
    out.sub_min[j + 4] = static_cast<uint8_t>((s[j + 8] >> 4) | (s[j + 4] >> 6) << 4);
  }
}

void decode_q2_k(const uint8_t* block, DecodedBlock& out) {
  for (int j = 0; j < 16; ++j) {
    out.sub_scale[j] = static_cast<int8_t>(block[j] & 15);
    out.sub_min[j] = block[j] >> 4;
  }
  for (int i = 0; i < 256; ++i) {  // 128 values in 32 bytes, 32 values a bit pair
    const uint8_t byte = block[16 + i / 128 * 32 + i % 32];
    out.stored[i] = byte >> (i % 128 / 32 * 2) & 3;
  }
  out.d = load_16(block + 80);
  out.d_min = load_16(block + 82);
}

void decode_q3_k(const uint8_t* block, DecodedBlock& out) {
  const uint8_t *high = block, *low = block + 32, *s = block + 96;
  for (int j = 0; j < 16; ++j) {
    const int low_4 = j < 8 ? s[j] & 15 : s[j - 8] >> 4;
    const int high_2 = s[8 + j % 4] >> (j / 4 * 2) & 3;
    out.sub_scale[j] = static_cast<int8_t>((low_4 | high_2 << 4) - 32);
  }
  for (int i = 0; i < 256; ++i) {
    const int low_2 = low[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
    const int bit = high[i % 32] >> (i / 32) & 1;
    out.stored[i] = static_cast<uint8_t>(low_2 | bit << 2);
  }
  out.d = load_16(block + 108);
}

void decode_q5_k(const uint8_t* block, DecodedBlock& out) {
  out.d = load_16(block);
  out.d_min = load_16(block + 2);
  scales_6_bit(block + 4, out);
  for (int i = 0; i < 4; ++i) nibbles_32(block + 48 + 32 * i, out.stored + 64 * i);
  for (int i = 0; i < 256; ++i) {
    const int bit = block[16 + i % 32] >> (i / 32) & 1;
    out.stored[i] = static_cast<uint8_t>(out.stored[i] | bit << 4);
  }
}

void decode_q6_k(const uint8_t* block, DecodedBlock& out) {
  const uint8_t *low = block, *high = block + 128;
  for (int half = 0; half < 2; ++half) {
    uint8_t* values = out.stored + 128 * half;
    uint8_t first[64], second[64];
    nibbles_32(low + 64 * half, first);
    nibbles_32(low + 64 * half + 32, second);
    for (int i = 0; i < 32; ++i) {
      const uint8_t two_bits = high[32 * half + i];
      values[i] = static_cast<uint8_t>(first[i] | (two_bits & 3) << 4);
      values[32 + i] = static_cast<uint8_t>(second[i] | (two_bits >> 2 & 3) << 4);
      values[64 + i] = static_cast<uint8_t>(first[32 + i] | (two_bits >> 4 & 3) << 4);
      values[96 + i] = static_cast<uint8_t>(second[32 + i] | (two_bits >> 6) << 4);
    }
  }
  std::memcpy(out.sub_scale, block + 192, 16);
  out.d = load_16(block + 208);
}

}  // namespace

QuantFormat quant_format(DType dtype) {
  switch (dtype) {
    case DType::kQ8_0:
      return {32, 32, 8, 0, false, false};
    case DType::kQ4_0:
      return {32, 32, 4, 8, false, false};
    case DType::kQ4_1:
      return {32, 32, 4, 0, true, false};
    case DType::kQ5_0:
      return {32, 32, 5, 16, false, false};
    case DType::kQ5_1:
      return {32, 32, 5, 0, true, false};
    case DType::kQ2_K:
      return {256, 16, 2, 0, true, true};
    case DType::kQ3_K:
      return {256, 16, 3, 4, false, true};
    case DType::kQ4_K:
      return {256, 32, 4, 0, true, true};
    case DType::kQ5_K:
      return {256, 32, 5, 0, true, true};
    case DType::kQ6_K:
      return {256, 16, 6, 32, false, true};
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
      break;
  }
  CHECK(false && "not a quantized type");
  return {};
}

void decode_block(DType dtype, const uint8_t* block, DecodedBlock& out) {
  out.d_min = 0;
  std::fill(std::begin(out.sub_scale), std::end(out.sub_scale), int8_t{1});
  std::fill(std::begin(out.sub_min), std::end(out.sub_min), uint8_t{1});
  // The types of 32 values begin with d; those with a minimum go on with it, as x = d·q + m.
  const auto legacy = [&](bool has_min) {
    out.d = load_16(block);
    if (has_min) out.d_min = load_16(block + 2) ^ 0x8000;
    return block + (has_min ? 4 : 2);
  };
  switch (dtype) {
    case DType::kQ8_0:
      std::memcpy(out.stored, legacy(false), 32);
      return;
    case DType::kQ4_0:
    case DType::kQ4_1:
      nibbles_16(legacy(dtype == DType::kQ4_1), out.stored);
      return;
    case DType::kQ5_0:
    case DType::kQ5_1: {
      const uint8_t* bytes = legacy(dtype == DType::kQ5_1);
      nibbles_16(bytes + 4, out.stored);
      fifth_bits(bytes, out.stored);
      return;
    }
    case DType::kQ2_K:
      return decode_q2_k(block, out);
    case DType::kQ3_K:
      return decode_q3_k(block, out);
    case DType::kQ4_K:
      out.d = load_16(block);
      out.d_min = load_16(block + 2);
      scales_6_bit(block + 4, out);
      for (int i = 0; i < 4; ++i) nibbles_32(block + 16 + 32 * i, out.stored + 64 * i);
      return;
    case DType::kQ5_K:
      return decode_q5_k(block, out);
    case DType::kQ6_K:
      return decode_q6_k(block, out);
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
      break;
  }
  CHECK(false && "not a quantized type");
}

void dequantize(DType dtype, const uint8_t* row, int64_t count, float* out) {
  switch (dtype) {
    case DType::kF32:
      std::memcpy(out, row, static_cast<size_t>(count) * 4);
      return;
    case DType::kBF16:
      for (int64_t i = 0; i < count; ++i) out[i] = bf16_to_float(load_16(row + 2 * i));
      return;
    case DType::kF16:
      for (int64_t i = 0; i < count; ++i) out[i] = half_to_float(row + 2 * i);
      return;
    default:
      break;
  }
  const QuantFormat format = quant_format(dtype);
  const int block_bytes = type_info(dtype).bytes;
  DecodedBlock block;
  for (int64_t start = 0; start < count; start += format.block_values, row += block_bytes) {
    decode_block(dtype, row, block);
    const float d = half_to_float(block.d), d_min = half_to_float(block.d_min);
    for (int i = 0; i < format.block_values; ++i) {
      const int group = i / format.group;
      const float scale = d * static_cast<float>(block.sub_scale[group]);
      const int q = dtype == DType::kQ8_0 ? static_cast<int8_t>(block.stored[i])
                                          : block.stored[i] - format.zero;
      float value = scale * static_cast<float>(q);
      if (format.has_min) value -= d_min * static_cast<float>(block.sub_min[group]);
      out[start + i] = value;
    }
  }
}

}  // namespace assay
