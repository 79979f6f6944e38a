// Reads tiles of weights, see weight_format.h.
#pragma once

#include "engine/cuda/device.h"
#include "engine/cuda/weight_format.h"

namespace assay::ASSAY_KERNELS {

// What a warp needs of a quantized tile's step, in a lane's registers.
template <DType kType>
struct QuantStep {
  static constexpr CudaWeightFormat kFormat = cuda_weight_format(kType);
  static constexpr int kWords = kFormat.lane_bytes() / 4;

  uint32_t values[kWords];
  uint32_t high;

  __device__ void load(Global<const uint8_t> tile, int step, int lane) {
    const int at = (step * 32 + lane) * kFormat.lane_bytes();
    if constexpr (kWords == 4) {
      const auto loaded = load_constant<uint4>(tile + at);
      values[0] = loaded.x, values[1] = loaded.y, values[2] = loaded.z, values[3] = loaded.w;
    } else {
      const auto loaded = load_constant<uint2>(tile + at);
      values[0] = loaded.x, values[1] = loaded.y;
    }
    high = 0;
    const int high_at = kFormat.high_at() + (step * 32 + lane) * kFormat.high_lane_bytes();
    if constexpr (kFormat.high_bits == 1) high = load_constant<uint16_t>(tile + high_at);
    if constexpr (kFormat.high_bits == 2) high = load_constant<uint32_t>(tile + high_at);
  }

  // Value j of mma s: the whole number q.
  __device__ int value(int s, int j) const {
    if constexpr (kFormat.low_bits == 8) {
      return static_cast<int8_t>(values[2 * s + j / 4] >> (j % 4 * 8));
    } else {
      int stored = static_cast<int>(values[s] >> (4 * j) & 15);
      if constexpr (kFormat.high_bits > 0) {
        const uint32_t mask = (1u << kFormat.high_bits) - 1;
        stored |= static_cast<int>(high >> ((8 * s + j) * kFormat.high_bits) & mask) << 4;
      }
      return stored - kFormat.zero;
    }
  }

  // A's fragment of mma s; |q| ≤ 128 is exact in bf16.
  __device__ void fragment(int s, uint32_t (&a)[4]) const {
    for (int r = 0; r < 4; ++r) {
      a[r] =
          pack_bf16(static_cast<float>(value(s, 2 * r)), static_cast<float>(value(s, 2 * r + 1)));
    }
  }
};

// The scale and minimum of an output's group, each rounded once, as dequantizing does.
template <DType kType>
struct GroupScale {
  float scale, min;

  __device__ void load(Global<const uint8_t> tile, int group, int output) {
    constexpr CudaWeightFormat kFormat = cuda_weight_format(kType);
    const float d = half_bits_to_float(load_constant<uint16_t>(tile + kFormat.d_at() + 2 * output));
    scale = d;
    min = 0;
    if constexpr (kFormat.has_sub_scales) {
      const int at = kFormat.scales_at() + 16 * group + output;
      scale = d * static_cast<float>(load_constant<int8_t>(tile + at));
    }
    if constexpr (kFormat.has_min) {
      min = half_bits_to_float(load_constant<uint16_t>(tile + kFormat.d_min_at() + 2 * output));
      if constexpr (kFormat.has_sub_scales) {
        const int at = kFormat.mins_at() + 16 * group + output;
        min = min * static_cast<float>(load_constant<uint8_t>(tile + at));
      }
    }
  }
};

// Weights that are not quantized, as sums of bf16 values: exact, since 8, 16 and 24 bits hold the
// significands of bf16, fp16 and f32.
template <DType kType>
struct WideStep {
  static constexpr int kParts = kType == DType::kBF16 ? 1 : kType == DType::kF16 ? 2 : 3;
  static constexpr int kWords = kType == DType::kF32 ? 16 : 8;

  uint32_t words[kWords];  // [mma][values]

  __device__ void load(Global<const uint8_t> tile, int step, int lane) {
    for (int i = 0; i < kWords / 4; ++i) {
      const auto loaded = load_constant<uint4>(tile + ((step * (kWords / 4) + i) * 32 + lane) * 16);
      words[4 * i] = loaded.x, words[4 * i + 1] = loaded.y;
      words[4 * i + 2] = loaded.z, words[4 * i + 3] = loaded.w;
    }
  }

  __device__ float value(int s, int j) const {
    if constexpr (kType == DType::kF32) return __uint_as_float(words[8 * s + j]);
    const uint32_t word = words[4 * s + j / 2];
    if constexpr (kType == DType::kBF16) return j % 2 == 0 ? low_bf16(word) : high_bf16(word);
    return half_bits_to_float(static_cast<uint16_t>(word >> (j % 2 * 16)));
  }

  // The fragments of all parts of mma s.
  __device__ void fragments(int s, uint32_t (&a)[kParts][4]) const {
    for (int r = 0; r < 4; ++r) {
      if constexpr (kType == DType::kBF16) {
        a[0][r] = words[4 * s + r];
      } else {
        float first = value(s, 2 * r), second = value(s, 2 * r + 1);
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
  const int step = k / 32, s = k % 32 / 16, half = k % 16 / 8;
  const int lane = output % 8 * 4 + k % 8 / 2;
  const int j = 2 * (output / 8 + 2 * half) + k % 2;
  if constexpr (kFormat.quantized) {
    QuantStep<kType> values;
    values.load(tile, step, lane);
    GroupScale<kType> group;
    group.load(tile, k / kFormat.group, output);
    const float scaled = group.scale * static_cast<float>(values.value(s, j));
    return kFormat.has_min ? scaled - group.min : scaled;
  } else {
    WideStep<kType> values;
    values.load(tile, step, lane);
    return values.value(s, j);
  }
}

}  // namespace assay::ASSAY_KERNELS
