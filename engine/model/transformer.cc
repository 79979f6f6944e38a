#include "engine/model/transformer.h"

#include <algorithm>

namespace assay {

Transformer::Transformer(const ModelConfig& config, const ModelWeights& weights, Ops& ops,
                         KvType kv_type)
    : config_(config),
      weights_(weights),
      ops_(ops),
      kv_{kv_type, config.kv_heads, config.head_dim},
      rope_(make_rope_table(config.rope, config.head_dim)) {}

void Transformer::load() {
  if (lm_head_) return;
  for (const LayerWeights& layer : weights_.layers) {
    layers_.push_back({ops_.pack(layer.q), ops_.pack(layer.k), ops_.pack(layer.v),
                       ops_.pack(layer.output), ops_.pack(layer.gate), ops_.pack(layer.up),
                       ops_.pack(layer.down), upload(layer.attention_norm), upload(layer.ffn_norm),
                       upload(layer.q_norm), upload(layer.k_norm), upload(layer.q_bias),
                       upload(layer.k_bias), upload(layer.v_bias)});
    drop_pages();
  }
  output_norm_ = upload(weights_.output_norm);
  lm_head_ = ops_.pack(weights_.lm_head);
  if (!shares_embedding() && ops_.packs_embedding()) {
    own_embedding_ = ops_.pack(weights_.embedding);
  }
  embedding_ = shares_embedding() ? lm_head_.get() : own_embedding_.get();
  drop_pages();
}

void Transformer::drop_pages() const {
  if (weights_.drop_pages) weights_.drop_pages();
}

const float* Transformer::upload(const std::vector<float>& values) {
  if (values.empty()) return nullptr;
  vectors_.push_back(ops_.allocate(values.size()));
  ops_.upload(values.data(), values.size(), vectors_.back().get());
  return vectors_.back().get();
}

size_t Transformer::packed_bytes() const {
  if (packed_bytes_ != 0) return packed_bytes_;  // a device may have to read all weights to say
  size_t bytes = ops_.packed_bytes(weights_.lm_head);
  if (!shares_embedding()) {
    bytes += ops_.packs_embedding() ? ops_.packed_bytes(weights_.embedding)
                                    : weights_.embedding.size_bytes();  // as much as is read of it
  }
  for (const LayerWeights& layer : weights_.layers) {
    for (const Weight* weight :
         {&layer.q, &layer.k, &layer.v, &layer.output, &layer.gate, &layer.up, &layer.down}) {
      bytes += ops_.packed_bytes(*weight);
    }
    drop_pages();
  }
  return packed_bytes_ = bytes;
}

void Transformer::reserve(int rows) {
  if (rows <= capacity_) return;
  capacity_ = rows;
  buffers_.clear();
  const auto allocate = [&](int width) {
    buffers_.push_back(ops_.allocate(static_cast<size_t>(rows) * width));
    return buffers_.back().get();
  };
  const int q_width = config_.heads * config_.head_dim;
  const int kv_width = config_.kv_heads * config_.head_dim;
  x_ = allocate(config_.width);
  normed_ = allocate(config_.width);
  projected_ = allocate(config_.width);
  q_ = allocate(q_width);
  attended_ = allocate(q_width);
  k_ = allocate(kv_width);
  v_ = allocate(kv_width);
  gate_ = allocate(config_.ffn_width);
  up_ = allocate(config_.ffn_width);
  angles_ = allocate(config_.head_dim);
  host_angles_.resize(static_cast<size_t>(rows) * config_.head_dim);
}

void Transformer::observed(int layer, std::initializer_list<const char*> names, const float* x,
                           int rows, int width) const {
  if (!observer_) return;
  for (const char* name : names) {
    const std::string prefix = layer < 0 ? "" : "blk." + std::to_string(layer) + ".";
    observer_(prefix + name + ".weight", x, rows, width);
  }
}

void Transformer::forward(std::span<const BatchRow> rows, std::span<const int> wanted,
                          float* logits) {
  const int count = static_cast<int>(rows.size());
  load();
  reserve(count);
  for (int r = 0; r < count; ++r) {
    rope_.fill(rows[r].position, host_angles_.data() + int64_t{r} * config_.head_dim);
  }
  ops_.begin({rows, wanted, config_.heads / config_.kv_heads});
  ops_.upload(host_angles_.data(), static_cast<size_t>(count) * config_.head_dim, angles_);
  const auto layers = [&] { run_layers(count, static_cast<int>(wanted.size()), logits); };
  ops_.run(logits, std::ref(layers));  // a std::function of the lambda itself takes memory
}

void Transformer::run_layers(int rows, int wanted, float* logits) {
  ops_.embed(weights_.embedding, embedding_, x_);  // x [rows, width]
  ops_.rms_norm(x_, layers_[0].attention_norm, config_.norm_eps, rows, config_.width, normed_);
  for (int i = 0; i < config_.layers; ++i) {
    attend(i, rows);
    if (i + 1 == config_.layers) {  // the rest is only for the rows that somebody reads
      if (wanted == 0) return;
      take_wanted();
      rows = wanted;
    }
    output_and_ffn(i, rows);
  }
  observed(-1, {shares_embedding() ? "token_embd" : "output"}, normed_, wanted, config_.width);
  const Product head[] = {{lm_head_.get(), nullptr, logits}};  // [wanted, vocab_size]
  ops_.matmul(normed_, wanted, head);
}

void Transformer::take_wanted() {
  ops_.gather(attended_, config_.heads * config_.head_dim, q_);
  std::swap(attended_, q_);
  ops_.gather(x_, config_.width, normed_);
  std::swap(x_, normed_);
}

void Transformer::attend(int index, int rows) {
  const PackedLayer& layer = layers_[index];
  const int heads = config_.heads, kv_heads = config_.kv_heads, dim = config_.head_dim;
  const size_t offset = kv_.size_bytes() * index;
  const Product qkv[] = {{layer.q.get(), layer.q_bias, q_},  // [rows, heads·head_dim]
                         {layer.k.get(), layer.k_bias, k_},  // [rows, kv_heads·head_dim]
                         {layer.v.get(), layer.v_bias, v_}};
  observed(index, {"attn_q", "attn_k", "attn_v"}, normed_, rows, config_.width);
  ops_.matmul(normed_, rows, qkv);
  if (layer.q_norm != nullptr) {  // each head by itself
    ops_.rms_norm(q_, layer.q_norm, config_.norm_eps, rows * heads, dim, q_);
    ops_.rms_norm(k_, layer.k_norm, config_.norm_eps, rows * kv_heads, dim, k_);
  }
  ops_.rope_and_store(q_, k_, v_, angles_, heads, config_.rope_pairs, kv_, offset);
  ops_.attention(q_, heads, kv_, offset, attended_);
}

void Transformer::output_and_ffn(int index, int rows) {
  const PackedLayer& layer = layers_[index];
  const Product output[] = {{layer.output.get(), nullptr, projected_}};  // [rows, width]
  observed(index, {"attn_output"}, attended_, rows, config_.heads * config_.head_dim);
  ops_.matmul(attended_, rows, output);
  ops_.all_reduce(projected_, rows, config_.width);
  ops_.add_rms_norm(x_, projected_, layer.ffn_norm, config_.norm_eps, rows, config_.width, normed_);
  const Product gate_up[] = {{layer.gate.get(), nullptr, gate_},  // [rows, ffn_width]
                             {layer.up.get(), nullptr, up_}};
  observed(index, {"ffn_gate", "ffn_up"}, normed_, rows, config_.width);
  ops_.matmul(normed_, rows, gate_up);
  ops_.swiglu(gate_, up_, rows, config_.ffn_width);
  const Product down[] = {{layer.down.get(), nullptr, projected_}};  // [rows, width]
  observed(index, {"ffn_down"}, gate_, rows, config_.ffn_width);
  ops_.matmul(gate_, rows, down);
  ops_.all_reduce(projected_, rows, config_.width);
  const bool last = index + 1 == config_.layers;
  const float* next_norm = last ? output_norm_ : layers_[index + 1].attention_norm;
  ops_.add_rms_norm(x_, projected_, next_norm, config_.norm_eps, rows, config_.width, normed_);
}

}  // namespace assay
