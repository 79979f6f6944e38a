#include "engine/quantize/quantize_row.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "engine/half.h"
#include "harness/base/check.h"

namespace assay {
namespace {

constexpr int kSuper = 256;      // values of a K-quant's block
constexpr float kTiny = 1e-15f;  // a group with nothing over it is zero

// Half to even, for magnitudes up to 2^22: the sum has no room for a fraction.
int nearest(float value) {
  const auto bits = std::bit_cast<int32_t>(value + 12582912.0f);
  return (bits & 0x007FFFFF) - 0x00400000;
}

void store_half(float value, uint8_t* out) {
  const uint16_t bits = float_to_half(value);
  std::memcpy(out, &bits, 2);
}

float stored_half(float value) { return half_to_float(float_to_half(value)); }

// How the search for a group's scale and minimum goes: roundings from (max_q + first) /(max − min)
// on, `tries` steps of `step` further.
struct MinSearch {
  int max_q;
  float first, step;
  int tries;
};

struct ScaleAndMin {
  float scale = 0, min = 0;  // x ≈ scale · q − min, min ≥ 0
};

constexpr int kGroup = 32;

// The scale and minimum of 32 values, and their q.
ScaleAndMin fit_with_min(const float* x, const float* weights, const MinSearch& search,
                         uint8_t* q) {
  float min = x[0], max = x[0], sum_w = weights[0], sum_x = sum_w * x[0];
  for (int i = 1; i < kGroup; ++i) {
    min = std::min(min, x[i]);
    max = std::max(max, x[i]);
    sum_w += weights[i];
    sum_x += weights[i] * x[i];
  }
  min = std::min(min, 0.0f);
  if (max == min) {
    std::fill_n(q, kGroup, uint8_t{0});
    return {0, -min};
  }
  const auto error_of = [&](float scale, float offset, const uint8_t* rounded) {
    float error = 0;
    for (int i = 0; i < kGroup; ++i) {
      const float difference = scale * static_cast<float>(rounded[i]) + offset - x[i];
      error += weights[i] * (difference * difference);
    }
    return error;
  };
  const float max_q = static_cast<float>(search.max_q);
  const auto round_with = [&](float inverse, uint8_t* rounded) {
    for (int i = 0; i < kGroup; ++i) {
      const int value = nearest(inverse * (x[i] - min));
      rounded[i] = static_cast<uint8_t>(std::clamp(value, 0, search.max_q));
    }
  };
  float inverse = max_q / (max - min);
  float scale = 1 / inverse;
  round_with(inverse, q);
  float best = error_of(scale, min, q);
  uint8_t rounded[kGroup];
  for (int attempt = 0; attempt <= search.tries; ++attempt) {
    // From the minimum found so far, as the reference has it.
    inverse = (search.first + search.step * static_cast<float>(attempt) + max_q) / (max - min);
    round_with(inverse, rounded);
    float sum_q = 0, sum_q2 = 0, sum_xq = 0;
    for (int i = 0; i < kGroup; ++i) {
      const float value = static_cast<float>(rounded[i]), weighted = weights[i] * value;
      sum_q += weighted;
      sum_q2 += weighted * value;
      sum_xq += weighted * x[i];
    }
    const float determinant = sum_w * sum_q2 - sum_q * sum_q;
    if (!(determinant > 0)) continue;
    float this_scale = (sum_w * sum_xq - sum_x * sum_q) / determinant;
    float this_min = (sum_q2 * sum_x - sum_q * sum_xq) / determinant;
    if (this_min > 0) {
      this_min = 0;
      this_scale = sum_xq / sum_q2;
    }
    const float error = error_of(this_scale, this_min, rounded);
    if (error < best) {
      std::copy_n(rounded, kGroup, q);
      best = error;
      scale = this_scale;
      min = this_min;
    }
  }
  return {scale, -min};
}

// The scale of `count` values without a minimum, q from −limit to limit − 1; writes q + limit, or 0
// where there is nothing but zeros.
float fit_scale(const float* x, const float* weights, int count, int limit, uint8_t* q) {
  float magnitude = 0, extreme = 0;
  for (int i = 0; i < count; ++i) {
    if (std::fabs(x[i]) > magnitude) {
      magnitude = std::fabs(x[i]);
      extreme = x[i];
    }
  }
  std::fill_n(q, count, uint8_t{0});
  if (magnitude < kTiny) return 0;
  const auto round_with = [&](float inverse) {
    for (int i = 0; i < count; ++i) {
      q[i] = static_cast<uint8_t>(std::clamp(nearest(inverse * x[i]), -limit, limit - 1) + limit);
    }
  };
  const auto sums = [&](float inverse, float& sum_xq, float& sum_q2) {
    sum_xq = sum_q2 = 0;
    for (int i = 0; i < count; ++i) {
      const float value =
          static_cast<float>(std::clamp(nearest(inverse * x[i]), -limit, limit - 1));
      const float weight = weights == nullptr ? x[i] * x[i] : weights[i];
      sum_xq += weight * x[i] * value;
      sum_q2 += weight * value * value;
    }
  };
  float sum_xq, sum_q2;
  const float first = -static_cast<float>(limit) / extreme;
  sums(first, sum_xq, sum_q2);
  round_with(first);
  float scale = sum_q2 != 0 ? sum_xq / sum_q2 : 0;
  float best = scale * sum_xq;
  for (int attempt = -9; attempt <= 9; ++attempt) {
    if (attempt == 0) continue;
    const float inverse =
        -(static_cast<float>(limit) + 0.1f * static_cast<float>(attempt)) / extreme;
    sums(inverse, sum_xq, sum_q2);
    if (sum_q2 > 0 && sum_xq * sum_xq > best * sum_q2) {
      round_with(inverse);
      scale = sum_xq / sum_q2;
      best = scale * sum_xq;
    }
  }
  return scale;
}

float root_mean_square(const float* x, int count) {
  float squares = 0;
  for (int i = 0; i < count; ++i) squares += x[i] * x[i];
  return std::sqrt(squares / static_cast<float>(count));
}

// Importance of a column times a value's own size, over a floor by the block's.
void importance_weights(const float* x, const float* importance, float floor, int count,
                        float* weights) {
  for (int i = 0; i < count; ++i) {
    weights[i] = importance[i] * std::sqrt(2 * floor * floor + x[i] * x[i]);
  }
}

// Q4_K: d, d_min, eight 6-bit scales and minima in 12 bytes, nibbles. Q5_K: fifth bits between.
void quantize_min_block(const float* x, const float* importance, bool five_bits, uint8_t* out) {
  const MinSearch plain =
      five_bits ? MinSearch{31, -0.5f, 0.1f, 15} : MinSearch{15, -1.0f, 0.1f, 20};
  const MinSearch weighted = {plain.max_q, -0.9f, 0.05f, 36};
  uint8_t q[kSuper];
  ScaleAndMin groups[8];
  float max_scale = 0, max_min = 0, weights[kGroup];
  const float block_size = importance == nullptr ? 0 : root_mean_square(x, kSuper);
  for (int j = 0; j < 8; ++j) {
    const float* values = x + kGroup * j;
    if (importance != nullptr) {
      importance_weights(values, importance + kGroup * j, block_size, kGroup, weights);
    } else {
      const float size = root_mean_square(values, kGroup);
      for (int i = 0; i < kGroup; ++i) weights[i] = size + std::fabs(values[i]);
    }
    groups[j] =
        fit_with_min(values, weights, importance != nullptr ? weighted : plain, q + kGroup * j);
    max_scale = std::max(max_scale, groups[j].scale);
    max_min = std::max(max_min, groups[j].min);
  }
  const float inverse_scale = max_scale > 0 ? 63.0f / max_scale : 0;
  const float inverse_min = max_min > 0 ? 63.0f / max_min : 0;
  uint8_t* packed = out + 4;
  std::fill_n(packed, 12, uint8_t{0});
  const float d = stored_half(max_scale / 63.0f), d_min = stored_half(max_min / 63.0f);
  store_half(max_scale / 63.0f, out);
  store_half(max_min / 63.0f, out + 2);
  for (int j = 0; j < 8; ++j) {
    // A negative scale wraps as the reference's bytes do.
    const int scale =
        std::min<int>(63, static_cast<uint8_t>(nearest(inverse_scale * groups[j].scale)));
    const int min = std::min<int>(63, static_cast<uint8_t>(nearest(inverse_min * groups[j].min)));
    if (j < 4) {
      packed[j] = static_cast<uint8_t>(packed[j] | scale);
      packed[j + 4] = static_cast<uint8_t>(packed[j + 4] | min);
    } else {
      packed[j + 4] = static_cast<uint8_t>((scale & 15) | (min & 15) << 4);
      packed[j - 4] = static_cast<uint8_t>(packed[j - 4] | scale >> 4 << 6);
      packed[j] = static_cast<uint8_t>(packed[j] | min >> 4 << 6);
    }
    const float group_scale = d * static_cast<float>(scale);
    if (group_scale == 0) continue;
    const float group_min = d_min * static_cast<float>(min);
    for (int i = kGroup * j; i < kGroup * (j + 1); ++i) {
      q[i] = static_cast<uint8_t>(
          std::clamp(nearest((x[i] + group_min) / group_scale), 0, plain.max_q));
    }
  }
  uint8_t* nibbles = out + (five_bits ? 48 : 16);
  if (five_bits) std::fill_n(out + 16, 32, uint8_t{0});
  for (int j = 0; j < 4; ++j) {
    for (int i = 0; i < 32; ++i) {
      const int low = q[64 * j + i], high = q[64 * j + 32 + i];
      nibbles[32 * j + i] = static_cast<uint8_t>((low & 15) | (high & 15) << 4);
      if (!five_bits) continue;
      out[16 + i] =
          static_cast<uint8_t>(out[16 + i] | low >> 4 << (2 * j) | high >> 4 << (2 * j + 1));
    }
  }
}

// Low nibbles 128, high bit pairs 64, 16 signed scales, d.
void quantize_q6_k(const float* x, const float* importance, uint8_t* out) {
  uint8_t q[kSuper];
  float scales[16], max_scale = 0, max_magnitude = 0;
  for (int j = 0; j < 16; ++j) {
    const float* weights = importance == nullptr ? nullptr : importance + 16 * j;
    scales[j] = fit_scale(x + 16 * j, weights, 16, 32, q + 16 * j);
    if (std::fabs(scales[j]) > max_magnitude) {
      max_magnitude = std::fabs(scales[j]);
      max_scale = scales[j];
    }
  }
  std::fill_n(out, 210, uint8_t{0});
  if (max_magnitude < kTiny) return;
  const float inverse = -128.0f / max_scale;
  const float d = stored_half(1 / inverse);
  store_half(1 / inverse, out + 208);
  for (int j = 0; j < 16; ++j) {
    const int8_t scale = static_cast<int8_t>(std::min(127, nearest(inverse * scales[j])));
    out[192 + j] = static_cast<uint8_t>(scale);
    const float group_scale = d * static_cast<float>(scale);
    for (int i = 16 * j; i < 16 * (j + 1); ++i) {
      if (group_scale != 0) {
        q[i] = static_cast<uint8_t>(std::clamp(nearest(x[i] / group_scale), -32, 31) + 32);
      }
      const int stored = q[i], place = i % 128;
      uint8_t& low = out[i / 128 * 64 + place % 64];
      uint8_t& high = out[128 + i / 128 * 32 + place % 32];
      low = static_cast<uint8_t>(low | (stored & 15) << (place / 64 * 4));
      high = static_cast<uint8_t>(high | stored >> 4 << (place / 32 * 2));
    }
  }
}

void quantize_q8_0(const float* x, uint8_t* out) {
  float magnitude = 0;
  for (int i = 0; i < 32; ++i) magnitude = std::max(magnitude, std::fabs(x[i]));
  const float d = magnitude / 127, inverse = d != 0 ? 1 / d : 0;
  store_half(d, out);
  for (int i = 0; i < 32; ++i) {
    out[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(std::round(x[i] * inverse)));
  }
}

// Writes 32 values of 4 or 5 bits: fifth bits (4 bytes, where there are any), then nibbles.
void store_bits(const int* q, bool five_bits, uint8_t* out) {
  if (five_bits) {
    uint32_t fifth = 0;
    for (int i = 0; i < 32; ++i) fifth |= static_cast<uint32_t>(q[i] >> 4 & 1) << i;
    std::memcpy(out, &fifth, 4);
    out += 4;
  }
  for (int i = 0; i < 16; ++i) {
    out[i] = static_cast<uint8_t>((q[i] & 15) | (q[i + 16] & 15) << 4);
  }
}

// Q4_0 and Q5_0: the value of the largest magnitude becomes −limit.
void quantize_symmetric(const float* x, const float* importance, bool five_bits, uint8_t* out) {
  const int limit = five_bits ? 16 : 8;
  float magnitude = 0, extreme = 0;
  for (int i = 0; i < 32; ++i) {
    if (magnitude < std::fabs(x[i])) {
      magnitude = std::fabs(x[i]);
      extreme = x[i];
    }
  }
  float d = extreme / static_cast<float>(-limit);
  if (importance != nullptr) {
    float weights[32];
    importance_weights(x, importance, root_mean_square(x, 32), 32, weights);
    uint8_t unused[32];
    d = fit_scale(x, weights, 32, limit, unused);
  }
  const float inverse = d != 0 ? 1.0f / d : 0;
  store_half(d, out);
  int q[32];
  for (int i = 0; i < 32; ++i) {
    const int up = static_cast<int>(x[i] * inverse + (static_cast<float>(limit) + 0.5f));
    q[i] = std::clamp(up, 0, 2 * limit - 1);
  }
  store_bits(q, five_bits, out + 2);
}

// Q4_1 and Q5_1: from the minimum to the maximum.
void quantize_with_min(const float* x, bool five_bits, uint8_t* out) {
  const auto [low, high] = std::minmax_element(x, x + 32);
  const int max_q = five_bits ? 31 : 15;
  const float d = (*high - *low) / static_cast<float>(max_q), inverse = d != 0 ? 1.0f / d : 0;
  store_half(d, out);
  store_half(*low, out + 2);
  int q[32];
  for (int i = 0; i < 32; ++i) {
    q[i] = std::min(max_q, static_cast<int>((x[i] - *low) * inverse + 0.5f));
  }
  store_bits(q, five_bits, out + 4);
}

void quantize_block(DType dtype, const float* x, const float* importance, uint8_t* out) {
  switch (dtype) {
    case DType::kF32:
      std::memcpy(out, x, 4);
      return;
    case DType::kF16:
      store_half(*x, out);
      return;
    case DType::kBF16: {
      const uint16_t bits = float_to_bf16(*x);
      std::memcpy(out, &bits, 2);
      return;
    }
    case DType::kQ8_0:
      return quantize_q8_0(x, out);
    case DType::kQ4_0:
    case DType::kQ5_0:
      return quantize_symmetric(x, importance, dtype == DType::kQ5_0, out);
    case DType::kQ4_1:
    case DType::kQ5_1:
      return quantize_with_min(x, dtype == DType::kQ5_1, out);
    case DType::kQ4_K:
    case DType::kQ5_K:
      return quantize_min_block(x, importance, dtype == DType::kQ5_K, out);
    case DType::kQ6_K:
      return quantize_q6_k(x, importance, out);
    default:
      CHECK(can_quantize(dtype));
  }
}

}  // namespace

bool can_quantize(DType dtype) { return dtype != DType::kQ2_K && dtype != DType::kQ3_K; }

void quantize_row(DType dtype, const float* values, int64_t count, const float* importance,
                  uint8_t* out) {
  const TypeInfo& type = type_info(dtype);
  for (int64_t i = 0; i < count; i += type.values) {
    quantize_block(dtype, values + i, importance == nullptr ? nullptr : importance + i, out);
    out += type.bytes;
  }
}

}  // namespace assay
