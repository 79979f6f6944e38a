// A model's weights under the names that the transformer uses, whatever file they came from.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/model/config.h"
#include "engine/model/gguf.h"
#include "engine/model/safetensors.h"
#include "engine/tensor.h"
#include "harness/base/result.h"

namespace assay {

struct LayerWeights {
  std::vector<float> attention_norm, ffn_norm;  // [width]
  Weight q, k, v, output;  // [heads·head_dim, width], …, [width, heads·head_dim]
  std::vector<float> q_bias, k_bias, v_bias;  // empty without biases
  std::vector<float> q_norm, k_norm;          // [head_dim]; empty without QK-norm
  Weight gate, up, down;                      // [ffn_width, width] ×2, [width, ffn_width]
};

struct ModelWeights {
  Weight embedding;  // [vocab_size, width]
  std::vector<LayerWeights> layers;
  std::vector<float> output_norm;  // [width]
  Weight lm_head;                  // [vocab_size, width]; the embedding when tied
  // Tells the system that the files' pages need not stay in memory; null if there are no files.
  std::function<void()> drop_pages;
};

struct ModelSize {
  int64_t parameters = 0;
  uint64_t weights_bytes = 0;  // as stored; a tied embedding once
  uint64_t file_bytes = 0;
  double bits_per_weight() const {
    return 8.0 * static_cast<double>(weights_bytes) / static_cast<double>(parameters);
  }
};

// A model on disk: a .gguf file or a Hugging Face folder. Owns the mapping that weights point into.
struct ModelFiles {
  std::string path;
  std::string name;  // for reports: the file or folder name
  ModelConfig config;
  ModelWeights weights;
  std::unique_ptr<GgufFile> gguf;  // one of the two
  std::unique_ptr<SafetensorsModel> safetensors;

  static Result<ModelFiles> open(const std::string& path);
  ModelSize size() const;
  // SHA-256 over the weight files in order.
  std::string weights_sha256() const;
};

}  // namespace assay
