// The shape of a model, from GGUF metadata or from a Hugging Face config.json.
#pragma once

#include <string>
#include <vector>

#include "engine/model/gguf.h"
#include "engine/model/rope.h"
#include "engine/ops.h"
#include "harness/base/result.h"

namespace assay {

struct ModelConfig {
  std::string architecture;  // "llama", "qwen2", "qwen3", "mistral"
  int layers = 0;
  int width = 0;      // hidden size
  int ffn_width = 0;  // intermediate size
  int heads = 0;
  int kv_heads = 0;  // divides heads
  int head_dim = 0;  // even
  int vocab_size = 0;
  int context_length = 0;
  RopeConfig rope;
  float norm_eps = 1e-5f;
  RopePairs rope_pairs = RopePairs::kHalves;
};

Result<ModelConfig> config_from_gguf(const GgufFile& file);
// `path` is that of config.json.
Result<ModelConfig> config_from_json(const std::string& path);

}  // namespace assay
