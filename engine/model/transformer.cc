#include "engine/model/transformer.h"

#include <algorithm>

namespace assay {
namespace {

const float* data_or_null(const std::vector<float>& values) {
  return values.empty() ? nullptr : values.data();
}

}  // namespace

Transformer::Transformer(const ModelConfig& config, const ModelWeights& weights, Ops& ops)
    : config_(config), weights_(weights), ops_(ops) {}

size_t Transformer::page_floats() const {
  return size_t{2} * config_.layers * config_.kv_heads * kPageTokens * config_.head_dim;
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
}

void Transformer::forward(std::span<const BatchRow> rows, std::span<const int> wanted,
                          float* logits) {
  const int count = static_cast<int>(rows.size());
  reserve(count);
  ops_.embed(weights_.embedding, rows, x_);  // x [rows, width]
  for (int i = 0; i < config_.layers; ++i) {
    attention_block(weights_.layers[i], i, rows);
    ffn_block(weights_.layers[i], count);
  }
  if (wanted.empty()) return;
  const int width = config_.width;
  for (size_t i = 0; i < wanted.size(); ++i) {  // gather the rows that somebody reads
    std::copy_n(x_ + int64_t{wanted[i]} * width, width, projected_ + i * width);
  }
  const int out_rows = static_cast<int>(wanted.size());
  ops_.rms_norm(projected_, weights_.output_norm.data(), config_.norm_eps, out_rows, width,
                normed_);
  ops_.matmul(normed_, out_rows, weights_.lm_head, nullptr, logits);  // [wanted, vocab_size]
}

void Transformer::attention_block(const LayerWeights& layer, int index,
                                  std::span<const BatchRow> rows) {
  const int count = static_cast<int>(rows.size());
  const KvView kv = {page_floats() / config_.layers * index, config_.kv_heads, config_.head_dim};
  ops_.rms_norm(x_, layer.attention_norm.data(), config_.norm_eps, count, config_.width, normed_);
  ops_.matmul(normed_, count, layer.q, data_or_null(layer.q_bias), q_);  // [rows, heads·head_dim]
  ops_.matmul(normed_, count, layer.k, data_or_null(layer.k_bias),
              k_);  // [rows, kv_heads·head_dim]
  ops_.matmul(normed_, count, layer.v, data_or_null(layer.v_bias), v_);
  ops_.rope(q_, k_, rows, config_.heads, config_.kv_heads, config_.head_dim, config_.rope_theta,
            config_.rope_pairs);
  ops_.store_kv(k_, v_, rows, kv);
  ops_.attention(q_, rows, config_.heads, kv, attended_);
  ops_.matmul(attended_, count, layer.output, nullptr, projected_);  // [rows, width]
  ops_.add(x_, projected_, count, config_.width);
}

void Transformer::ffn_block(const LayerWeights& layer, int rows) {
  ops_.rms_norm(x_, layer.ffn_norm.data(), config_.norm_eps, rows, config_.width, normed_);
  ops_.matmul(normed_, rows, layer.gate, nullptr, gate_);  // [rows, ffn_width]
  ops_.matmul(normed_, rows, layer.up, nullptr, up_);
  ops_.swiglu(gate_, up_, rows, config_.ffn_width);
  ops_.matmul(gate_, rows, layer.down, nullptr, projected_);  // [rows, width]
  ops_.add(x_, projected_, rows, config_.width);
}

}  // namespace assay
