#include "engine/model/transformer.h"

#include <algorithm>

namespace assay {
namespace {

const float* data_or_null(const std::vector<float>& values) {
  return values.empty() ? nullptr : values.data();
}

}  // namespace

Transformer::Transformer(const ModelConfig& config, const ModelWeights& weights, Ops& ops,
                         KvType kv_type)
    : config_(config),
      weights_(weights),
      ops_(ops),
      kv_{kv_type, config.kv_heads, config.head_dim},
      rope_(make_rope_table(config.rope, config.head_dim)) {}

void Transformer::load() {
  if (lm_head_) return;
  const auto drop_pages = [this] {
    if (weights_.drop_pages) weights_.drop_pages();
  };
  for (const LayerWeights& layer : weights_.layers) {
    layers_.push_back({ops_.pack(layer.q), ops_.pack(layer.k), ops_.pack(layer.v),
                       ops_.pack(layer.output), ops_.pack(layer.gate), ops_.pack(layer.up),
                       ops_.pack(layer.down)});
    drop_pages();
  }
  lm_head_ = ops_.pack(weights_.lm_head);
  drop_pages();
}

size_t Transformer::packed_bytes() const {
  size_t bytes = ops_.packed_bytes(weights_.lm_head);
  for (const LayerWeights& layer : weights_.layers) {
    for (const Weight* weight :
         {&layer.q, &layer.k, &layer.v, &layer.output, &layer.gate, &layer.up, &layer.down}) {
      bytes += ops_.packed_bytes(*weight);
    }
  }
  return bytes;
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
}

void Transformer::forward(std::span<const BatchRow> rows, std::span<const int> wanted,
                          float* logits) {
  const int count = static_cast<int>(rows.size());
  load();
  reserve(count);
  for (int r = 0; r < count; ++r) {
    rope_.fill(rows[r].position, angles_ + int64_t{r} * config_.head_dim);
  }
  ops_.embed(weights_.embedding, rows, x_);  // x [rows, width]
  for (int i = 0; i < config_.layers; ++i) {
    attention_block(i, rows);
    ffn_block(i, count);
  }
  if (wanted.empty()) return;
  const int width = config_.width;
  for (size_t i = 0; i < wanted.size(); ++i) {  // gather the rows that somebody reads
    std::copy_n(x_ + int64_t{wanted[i]} * width, width, projected_ + i * width);
  }
  const int out_rows = static_cast<int>(wanted.size());
  ops_.rms_norm(projected_, weights_.output_norm.data(), config_.norm_eps, out_rows, width,
                normed_);
  const Product head[] = {{lm_head_.get(), nullptr, logits}};  // [wanted, vocab_size]
  ops_.matmul(normed_, out_rows, head);
}

void Transformer::attention_block(int index, std::span<const BatchRow> rows) {
  const LayerWeights& layer = weights_.layers[index];
  const PackedLayer& packed = layers_[index];
  const int count = static_cast<int>(rows.size());
  const int heads = config_.heads, kv_heads = config_.kv_heads, dim = config_.head_dim;
  const size_t offset = kv_.size_bytes() * index;
  ops_.rms_norm(x_, layer.attention_norm.data(), config_.norm_eps, count, config_.width, normed_);
  const Product qkv[] = {
      {packed.q.get(), data_or_null(layer.q_bias), q_},  // [rows, heads·head_dim]
      {packed.k.get(), data_or_null(layer.k_bias), k_},  // [rows, kv_heads·head_dim]
      {packed.v.get(), data_or_null(layer.v_bias), v_}};
  ops_.matmul(normed_, count, qkv);
  if (!layer.q_norm.empty()) {  // each head by itself
    ops_.rms_norm(q_, layer.q_norm.data(), config_.norm_eps, count * heads, dim, q_);
    ops_.rms_norm(k_, layer.k_norm.data(), config_.norm_eps, count * kv_heads, dim, k_);
  }
  ops_.rope(q_, k_, angles_, count, heads, kv_heads, dim, config_.rope_pairs);
  ops_.store_kv(k_, v_, rows, kv_, offset);
  ops_.attention(q_, rows, heads, kv_, offset, attended_);
  const Product output[] = {{packed.output.get(), nullptr, projected_}};  // [rows, width]
  ops_.matmul(attended_, count, output);
  ops_.add(x_, projected_, count, config_.width);
}

void Transformer::ffn_block(int index, int rows) {
  const PackedLayer& packed = layers_[index];
  ops_.rms_norm(x_, weights_.layers[index].ffn_norm.data(), config_.norm_eps, rows, config_.width,
                normed_);
  const Product gate_up[] = {{packed.gate.get(), nullptr, gate_},  // [rows, ffn_width]
                             {packed.up.get(), nullptr, up_}};
  ops_.matmul(normed_, rows, gate_up);
  ops_.swiglu(gate_, up_, rows, config_.ffn_width);
  const Product down[] = {{packed.down.get(), nullptr, projected_}};  // [rows, width]
  ops_.matmul(gate_, rows, down);
  ops_.add(x_, projected_, rows, config_.width);
}

}  // namespace assay
