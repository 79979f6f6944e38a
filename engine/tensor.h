// Storage types and weight matrices. Activations are f32, row-major, contiguous.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace assay {

enum class DType { kF32, kF16, kBF16, kQ8_0, kQ4_1 };

// A block is the unit of storage: `values` consecutive values of a row in `bytes` bytes.
//   Q8_0: d (fp16), 32 × int8: x = d·q
//   Q4_1: d, m (fp16), 16 bytes: low nibbles are values 0–15, high ones 16–31: x = d·q + m
// Source of the block layouts: ggml's GGUF files.
struct BlockLayout {
  int values;
  int bytes;
};

constexpr BlockLayout block_layout(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return {1, 4};
    case DType::kF16:
      return {1, 2};
    case DType::kBF16:
      return {1, 2};
    case DType::kQ8_0:
      return {32, 34};
    case DType::kQ4_1:
      break;
  }
  return {32, 20};
}

constexpr std::string_view to_string(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "F32";
    case DType::kF16:
      return "F16";
    case DType::kBF16:
      return "BF16";
    case DType::kQ8_0:
      return "Q8_0";
    case DType::kQ4_1:
      break;
  }
  return "Q4_1";
}

// A weight matrix [rows, columns] as a file stores it; rows are output features. A vector has
// rows = 1. Does not own its bytes: the model's mapped file does.
struct Weight {
  const uint8_t* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t columns = 0;

  bool empty() const { return data == nullptr; }
  size_t row_bytes() const {
    const BlockLayout block = block_layout(dtype);
    return static_cast<size_t>(columns / block.values) * block.bytes;
  }
  const uint8_t* row(int64_t index) const { return data + row_bytes() * index; }
};

}  // namespace assay
