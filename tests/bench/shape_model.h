// Models in the shape of published ones, with random weights, to measure speed without their files.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "engine/model/weights.h"

namespace assay::testing {

struct Shape {
  const char* name;
  int layers, width, ffn_width, heads, kv_heads, head_dim, vocab_size;
};

// From the models' config.json.
constexpr Shape kShapes[] = {
    {"R1-Distill-Qwen-1.5B", 28, 1536, 8960, 12, 2, 128, 151936},
    {"R1-Distill-Qwen-7B", 28, 3584, 18944, 28, 4, 128, 152064},
    {"R1-Distill-Qwen-32B", 64, 5120, 27648, 40, 8, 128, 152064},
};

// Layers share the bytes of their weights; a device keeps each by itself.
class ShapeModel {
 public:
  ShapeModel(const Shape& shape, DType dtype) : dtype_(dtype) {
    config.architecture = "qwen2";
    config.layers = shape.layers;
    config.width = shape.width;
    config.ffn_width = shape.ffn_width;
    config.heads = shape.heads;
    config.kv_heads = shape.kv_heads;
    config.head_dim = shape.head_dim;
    config.vocab_size = shape.vocab_size;
    config.context_length = 131072;
    config.rope.theta = 1e6;
    const int q = shape.heads * shape.head_dim, kv = shape.kv_heads * shape.head_dim;
    const auto ones = [](int n) { return std::vector<float>(static_cast<size_t>(n), 1.0f); };
    const LayerWeights layer = {ones(shape.width),
                                ones(shape.width),
                                weight(q, shape.width),
                                weight(kv, shape.width),
                                weight(kv, shape.width),
                                weight(shape.width, q),
                                ones(q),
                                ones(kv),
                                ones(kv),
                                {},
                                {},
                                weight(shape.ffn_width, shape.width),
                                weight(shape.ffn_width, shape.width),
                                weight(shape.width, shape.ffn_width)};
    weights.layers.assign(static_cast<size_t>(shape.layers), layer);
    weights.output_norm = ones(shape.width);
    weights.embedding = weight(shape.vocab_size, shape.width);
    weights.lm_head = weight(shape.vocab_size, shape.width);
  }

  // "R1-Distill-Qwen-7B:Q4_K"; none for another name.
  static std::optional<ShapeModel> named(const std::string& name) {
    for (const Shape& shape : kShapes) {
      for (const TypeInfo& type : kTypes) {
        if (name == std::string(shape.name) + ":" + std::string(type.name)) {
          return std::optional<ShapeModel>(std::in_place, shape, type.dtype);
        }
      }
    }
    return std::nullopt;
  }

  ModelConfig config;
  ModelWeights weights;

 private:
  // Small values: blocks of a type repeat one block of random bits and small scales.
  Weight weight(int64_t rows, int64_t columns) {
    const TypeInfo& type = type_info(dtype_);
    std::vector<uint8_t>& bytes = bytes_[{rows, columns}];
    bytes.resize(static_cast<size_t>(rows * columns / type.values * type.bytes));
    std::mt19937 rng(1);
    for (size_t at = 0; at < bytes.size(); at += static_cast<size_t>(type.bytes)) {
      for (int i = 0; i < type.bytes; ++i) {
        // A byte of 0x20 at most keeps fp16 and bf16 values under 2^-6.
        bytes[at + i] = static_cast<uint8_t>(rng() & 0x1F);
      }
    }
    return {bytes.data(), dtype_, rows, columns};
  }

  DType dtype_;
  std::map<std::pair<int64_t, int64_t>, std::vector<uint8_t>> bytes_;
};

}  // namespace assay::testing
