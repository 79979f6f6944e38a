// Storage types and weight matrices. Activations are f32, row-major, contiguous.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace assay {

enum class DType {
  kF32,
  kF16,
  kBF16,
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
};

// A block is the unit of storage: `values` consecutive values of a row in `bytes` bytes; blocks.h
// says what is in it. `gguf_code` is ggml_type's number.
struct TypeInfo {
  DType dtype;
  std::string_view name;
  uint32_t gguf_code;
  int values;
  int bytes;
};

constexpr TypeInfo kTypes[] = {
    {DType::kF32, "F32", 0, 1, 4},        {DType::kF16, "F16", 1, 1, 2},
    {DType::kBF16, "BF16", 30, 1, 2},     {DType::kQ8_0, "Q8_0", 8, 32, 34},
    {DType::kQ4_0, "Q4_0", 2, 32, 18},    {DType::kQ4_1, "Q4_1", 3, 32, 20},
    {DType::kQ5_0, "Q5_0", 6, 32, 22},    {DType::kQ5_1, "Q5_1", 7, 32, 24},
    {DType::kQ2_K, "Q2_K", 10, 256, 84},  {DType::kQ3_K, "Q3_K", 11, 256, 110},
    {DType::kQ4_K, "Q4_K", 12, 256, 144}, {DType::kQ5_K, "Q5_K", 13, 256, 176},
    {DType::kQ6_K, "Q6_K", 14, 256, 210},
};

constexpr const TypeInfo& type_info(DType dtype) { return kTypes[static_cast<int>(dtype)]; }
constexpr std::string_view to_string(DType dtype) { return type_info(dtype).name; }

constexpr std::optional<DType> dtype_from_gguf(uint32_t code) {
  for (const TypeInfo& type : kTypes) {
    if (type.gguf_code == code) return type.dtype;
  }
  return std::nullopt;
}

// A weight matrix [rows, columns] as a file stores it, or a part of one; rows are output features.
// A vector has rows = 1. Does not own its bytes: the model's mapped file does.
struct Weight {
  const uint8_t* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t columns = 0;
  size_t stride_bytes = 0;  // from row to row; 0: row_bytes()

  bool empty() const { return data == nullptr; }
  size_t row_bytes() const {
    const TypeInfo& type = type_info(dtype);
    return static_cast<size_t>(columns / type.values) * type.bytes;
  }
  size_t size_bytes() const { return row_bytes() * static_cast<size_t>(rows); }
  const uint8_t* row(int64_t index) const {
    return data + (stride_bytes == 0 ? row_bytes() : stride_bytes) * index;
  }
};

}  // namespace assay
