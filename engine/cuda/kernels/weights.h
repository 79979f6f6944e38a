// Reads tiles of weights, see weight_format.h.
#pragma once

#include "engine/cuda/device.h"
#include "engine/cuda/weight_format.h"

namespace assay::ASSAY_KERNELS {

// A lane's values of a chunk, as they lie in memory.
template <DType kType, int kWords>
__device__ inline void load_words(uint32_t (&words)[kWords], Global<const uint8_t> tile, int chunk,
                                  int lane) {
  constexpr CudaWeightFormat kFormat = cuda_weight_format(kType);
  ASSAY_UNROLL
  for (int p = 0; p < kFormat.pieces(); ++p) {
    const auto piece = load_constant<uint4>(tile + kFormat.values_at(chunk, p, lane));
    words[4 * p] = piece.x, words[4 * p + 1] = piece.y;
    words[4 * p + 2] = piece.z, words[4 * p + 3] = piece.w;
  }
}

// A lane's share of a chunk of a quantized tile.
template <DType kType>
struct QuantChunk {
  static constexpr CudaWeightFormat kFormat = cuda_weight_format(kType);
  static constexpr int kWords = 4 * kFormat.pieces();
  static constexpr int kHighWords = kFormat.high_bits > 0 ? kFormat.high_bits : 1;
  static constexpr int kBlocks = kFormat.block < kCudaChunk ? kCudaChunk / kFormat.block : 1;
  static constexpr int kScaleWords = kFormat.has_sub_scales ? kFormat.scales_bytes() / 4 : 1;
  static constexpr int kParts = 1;

  uint32_t words[kWords], high[kHighWords], d[kBlocks], d_min[kBlocks], scales[kScaleWords];

  __device__ void load(Global<const uint8_t> tile, int chunk, int lane) {
    constexpr CudaWeightFormat kAt = kFormat;  // device code has no address of the member
    load_words<kType>(words, tile, chunk, lane);
    const Global<const uint8_t> high_at = tile + kAt.high_at(chunk, lane);
    if constexpr (kFormat.high_bits == 1) high[0] = load_constant<uint32_t>(high_at);
    if constexpr (kFormat.high_bits == 2) {
      const auto pair = load_constant<uint2>(high_at);
      high[0] = pair.x, high[1] = pair.y;
    }
    const int g = lane / 4;
    ASSAY_UNROLL
    for (int b = 0; b < kBlocks; ++b) {
      const Global<const uint8_t> d_at = tile + kAt.d_at(kBlocks > 1 ? b : 0, g);
      if constexpr (kFormat.has_min) {
        const auto both = load_constant<uint2>(d_at);
        d[b] = both.x, d_min[b] = both.y;
      } else {
        d[b] = load_constant<uint32_t>(d_at);
      }
    }
    if constexpr (kFormat.has_sub_scales) {
      const Global<const uint8_t> scales_at = tile + kAt.scales_at(chunk, g);
      if constexpr (kScaleWords == 4) {
        const auto all = load_constant<uint4>(scales_at);
        scales[0] = all.x, scales[1] = all.y, scales[2] = all.z, scales[3] = all.w;
      } else {
        const auto all = load_constant<uint2>(scales_at);
        scales[0] = all.x, scales[1] = all.y;
      }
    }
  }

  // A's fragment of mma m: whole numbers q, |q| ≤ 128 and so exact in bf16. 0x4300 | n is the bf16
  // of 128 + n for n < 128.
  __device__ void fragment(int m, uint32_t (&a)[kParts][4]) const {
    constexpr uint32_t k128 = 0x43004300u, kMinus128 = 0xC300C300u;
    ASSAY_UNROLL
    for (int r = 0; r < 4; ++r) {
      if constexpr (kFormat.low_bits == 8) {
        // The low seven bits less the sign's 128.
        const uint32_t pair = words[2 * m + r / 2] >> (8 * (r % 2));
        a[0][r] = add_bf16x2((pair & 0x007F007Fu) | k128, (pair & 0x00800080u) | kMinus128);
      } else {
        uint32_t pair = (words[m] >> (4 * r) & 0x000F000Fu) | k128;
        if constexpr (kFormat.high_bits == 1) {
          const int bit = 4 * m + r;
          pair |= (bit < 4 ? high[0] << (4 - bit) : high[0] >> (bit - 4)) & 0x00100010u;
        }
        if constexpr (kFormat.high_bits == 2) {
          const int bit = 2 * (m % 2 * 4 + r);
          const uint32_t word = high[m / 2];
          pair |= (bit < 4 ? word << (4 - bit) : word >> (bit - 4)) & 0x00300030u;
        }
        // −(128 + zero) in bf16.
        constexpr uint32_t kBase = (0x43000000u + (kFormat.zero << 16)) | 0x80000000u;
        a[0][r] = add_bf16x2(pair, kBase | kBase >> 16);
      }
    }
  }

  // Scale and minimum of output g + 8 half in a group of the chunk, each rounded once, as
  // dequantizing does.
  __device__ float scale(int group, int half) const {
    const float whole = half_of(d[kBlocks > 1 ? group : 0], half);
    if constexpr (!kFormat.has_sub_scales) return whole;
    return whole * static_cast<float>(static_cast<int8_t>(scale_byte(group, half, 0)));
  }
  __device__ float min(int group, int half) const {
    const float whole = half_of(d_min[kBlocks > 1 ? group : 0], half);
    if constexpr (!kFormat.has_sub_scales) return whole;
    return whole * static_cast<float>(scale_byte(group, half, 2 * kFormat.chunk_groups()));
  }

 private:
  __device__ static float half_of(uint32_t pair, int half) {
    return half_bits_to_float(static_cast<uint16_t>(pair >> (16 * half)));
  }
  __device__ uint8_t scale_byte(int group, int half, int first) const {
    const int at = first + half * kFormat.chunk_groups() + group;
    return static_cast<uint8_t>(scales[at / 4] >> (at % 4 * 8));
  }
};

// The same of weights that are not quantized, which become sums of bf16 values: exact, since 8, 16
// and 24 bits hold the significands of bf16, fp16 and f32.
template <DType kType>
struct WideChunk {
  static constexpr CudaWeightFormat kFormat = cuda_weight_format(kType);
  static constexpr int kParts = kType == DType::kBF16 ? 1 : kType == DType::kF16 ? 2 : 3;
  static constexpr int kWords = 4 * kFormat.pieces();

  uint32_t words[kWords];  // [m][values]

  __device__ void load(Global<const uint8_t> tile, int chunk, int lane) {
    load_words<kType>(words, tile, chunk, lane);
  }

  // The fragments of all parts of mma m.
  __device__ void fragment(int m, uint32_t (&a)[kParts][4]) const {
    ASSAY_UNROLL
    for (int r = 0; r < 4; ++r) {
      if constexpr (kType == DType::kBF16) {
        a[0][r] = words[4 * m + r];
      } else {
        float first, second;
        if constexpr (kType == DType::kF32) {
          first = __uint_as_float(words[8 * m + 2 * r]);
          second = __uint_as_float(words[8 * m + 2 * r + 1]);
        } else {
          first = half_bits_to_float(static_cast<uint16_t>(words[4 * m + r]));
          second = half_bits_to_float(static_cast<uint16_t>(words[4 * m + r] >> 16));
        }
        ASSAY_UNROLL
        for (int part = 0; part < kParts; ++part) {
          a[part][r] = pack_bf16(first, second);
          first -= low_bf16(a[part][r]);
          second -= high_bf16(a[part][r]);
        }
      }
    }
  }
};

// One value, widened as engine/blocks.h does.
template <DType kType>
__device__ float weight_value(Global<const uint8_t> tile, int output, int k) {
  constexpr CudaWeightFormat kFormat = cuda_weight_format(kType);
  const int chunk = k / kCudaChunk, m = k % kCudaChunk / 16, g = output % 8, half = output / 8;
  const int lane = g * 4 + k % 8 / 2, r = half + 2 * (k % 16 / 8), i = k % 2;
  if constexpr (!kFormat.quantized) {
    constexpr int kOfPiece = 16 / kFormat.value_bytes;
    const int index = 8 * m + 2 * r + i;
    const Global<const uint8_t> at = tile + (kFormat.values_at(chunk, index / kOfPiece, lane) +
                                             index % kOfPiece * kFormat.value_bytes);
    if constexpr (kType == DType::kF32) return load_constant<float>(at);
    const auto bits = load_constant<uint16_t>(at);
    return kType == DType::kF16 ? half_bits_to_float(bits) : low_bf16(bits);
  } else {
    int q;
    if constexpr (kFormat.low_bits == 8) {
      q = load_constant<int8_t>(
          tile + (kFormat.values_at(chunk, m / 2, lane) + 4 * (m % 2 * 2 + r / 2) + r % 2 + 2 * i));
    } else {
      const auto word = load_constant<uint32_t>(tile + (kFormat.values_at(chunk, 0, lane) + 4 * m));
      uint32_t stored = word >> (4 * r + 16 * i) & 15;
      const Global<const uint8_t> high = tile + kFormat.high_at(chunk, lane);
      if constexpr (kFormat.high_bits == 1) {
        stored |= (load_constant<uint32_t>(high) >> (4 * m + r + 16 * i) & 1) << 4;
      }
      if constexpr (kFormat.high_bits == 2) {
        const auto bits = load_constant<uint32_t>(high + 4 * (m / 2));
        stored |= (bits >> (2 * (m % 2 * 4 + r) + 16 * i) & 3) << 4;
      }
      q = static_cast<int>(stored) - kFormat.zero;
    }
    const Global<const uint8_t> d = tile + (kFormat.d_at(k / kFormat.block, g) + 2 * half);
    float scale = half_bits_to_float(load_constant<uint16_t>(d)), min = 0;
    if constexpr (kFormat.has_min) min = half_bits_to_float(load_constant<uint16_t>(d + 4));
    if constexpr (kFormat.has_sub_scales) {
      constexpr int kGroups = kFormat.chunk_groups();
      const Global<const uint8_t> at =
          tile + (kFormat.scales_at(chunk, g) + half * kGroups + k % kCudaChunk / kFormat.group);
      scale = scale * static_cast<float>(load_constant<int8_t>(at));
      if constexpr (kFormat.has_min) {
        min = min * static_cast<float>(load_constant<uint8_t>(at + 2 * kGroups));
      }
    }
    const float scaled = scale * static_cast<float>(q);
    return kFormat.has_min ? scaled - min : scaled;
  }
}

}  // namespace assay::ASSAY_KERNELS
