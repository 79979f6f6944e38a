// Weights and activations drawn at random.
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "engine/tensor.h"

namespace assay::testing {

inline std::vector<float> random_floats(size_t count, uint32_t seed, float scale = 1) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> out(count);
  for (float& value : out) value = normal(rng);
  return out;
}

// A row of blocks of the type with random bits, but finite fp16 scales.
inline std::vector<uint8_t> random_row(DType dtype, int64_t count, uint32_t seed) {
  const TypeInfo& type = type_info(dtype);
  std::mt19937 rng(seed);
  std::vector<uint8_t> row(static_cast<size_t>(count / type.values * type.bytes));
  for (uint8_t& byte : row) byte = static_cast<uint8_t>(rng());
  if (dtype == DType::kF32) {
    const auto values = random_floats(static_cast<size_t>(count), seed);
    std::memcpy(row.data(), values.data(), row.size());
    return row;
  }
  // Where fp16 (and BF16) values stand in a block; clearing one exponent bit keeps them finite.
  std::vector<int> halves = {0, 2};
  if (dtype == DType::kQ2_K) halves = {80, 82};
  if (dtype == DType::kQ3_K) halves = {108, 108};
  if (dtype == DType::kQ6_K) halves = {208, 208};
  for (size_t at = 0; at < row.size(); at += static_cast<size_t>(type.bytes)) {
    for (const int half : halves) {
      if (half + 1 < type.bytes) row[at + half + 1] &= 0xBB;
    }
  }
  return row;
}

// A matrix of such rows.
inline std::vector<uint8_t> random_weight(DType dtype, int64_t rows, int64_t columns,
                                          uint32_t seed) {
  std::vector<uint8_t> bytes;
  for (int64_t r = 0; r < rows; ++r) {
    const auto row = random_row(dtype, columns, seed + static_cast<uint32_t>(r));
    bytes.insert(bytes.end(), row.begin(), row.end());
  }
  return bytes;
}

}  // namespace assay::testing
