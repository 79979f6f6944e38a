// The forward pass, written once against ops.h: pre-norm decoder with grouped-query attention,
// rotary positions and SwiGLU (Llama 2/3, Mistral, Qwen2, Qwen3).
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/model/config.h"
#include "engine/model/weights.h"
#include "engine/ops.h"

namespace assay {

class Transformer {
 public:
  // All three must outlive the transformer.
  Transformer(const ModelConfig& config, const ModelWeights& weights, Ops& ops, KvType kv_type);

  // Packs the weights for the device, unless that is done; forward() does it when nobody has.
  void load();
  // What load() takes.
  size_t packed_bytes() const;

  // Runs the rows, in any mix of sequences; rows of one sequence are in order of position. Their
  // keys and values go into their pages. logits[i] [vocab_size] are those of rows[wanted[i]].
  void forward(std::span<const BatchRow> rows, std::span<const int> wanted, float* logits);

  // Called with the input x [rows, width] of each matrix in turn, in the device's memory, and the
  // matrix's name in GGUF files; the lm_head's, and in the last layer all but q, k and v's, is that
  // of the rows that are wanted.
  using Observer =
      std::function<void(const std::string& name, const float* x, int rows, int width)>;
  void observe(Observer observer) { observer_ = std::move(observer); }

  const ModelConfig& config() const { return config_; }
  // Of a page of the KV cache, all layers.
  size_t page_bytes() const { return kv_.size_bytes() * config_.layers; }

 private:
  using Packed = std::unique_ptr<PackedWeight>;
  struct PackedLayer {
    Packed q, k, v, output, gate, up, down;
    // Null where the model has none.
    const float *attention_norm, *ffn_norm, *q_norm, *k_norm, *q_bias, *k_bias, *v_bias;
  };

  bool shares_embedding() const { return weights_.embedding.data == weights_.lm_head.data; }
  void drop_pages() const;
  const float* upload(const std::vector<float>& values);
  void run_layers(int rows, int wanted, float* logits);
  void attend(int index, int rows);          // from normed to attended
  void take_wanted();                        // attended and x become those rows'
  void output_and_ffn(int index, int rows);  // from attended and x to x and the next normed
  void reserve(int rows);
  void observed(int layer, std::initializer_list<const char*> names, const float* x, int rows,
                int width) const;

  const ModelConfig& config_;
  const ModelWeights& weights_;
  Ops& ops_;
  KvLayout kv_;
  RopeTable rope_;
  std::vector<PackedLayer> layers_;
  Packed lm_head_;
  Packed own_embedding_;  // unless it is the lm_head, or read from the file
  const PackedWeight* embedding_ = nullptr;
  const float* output_norm_ = nullptr;
  std::vector<Ops::Buffer> vectors_;  // norms and biases
  std::vector<float> host_angles_;
  Observer observer_;
  mutable size_t packed_bytes_ = 0;  // 0: not known yet
  int capacity_ = 0;
  // x, normed, projected [rows, width]; q, attended [rows, heads·head_dim];
  // k, v [rows, kv_heads·head_dim]; gate, up [rows, ffn_width]; angles [rows, head_dim]
  std::vector<Ops::Buffer> buffers_;
  float *x_ = nullptr, *normed_ = nullptr, *projected_ = nullptr, *q_ = nullptr,
        *attended_ = nullptr, *k_ = nullptr, *v_ = nullptr, *gate_ = nullptr, *up_ = nullptr,
        *angles_ = nullptr;
};

}  // namespace assay
