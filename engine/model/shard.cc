#include "engine/model/shard.h"

#include <fmt/format.h>

#include <algorithm>

namespace assay {
namespace {

struct Part {
  int64_t index, count;

  int64_t first(int64_t whole) const { return whole / count * index; }
};

Weight rows_of(Weight weight, const Part& part) {
  weight.data = weight.row(part.first(weight.rows));
  weight.rows /= part.count;
  return weight;
}

Weight columns_of(Weight weight, const Part& part) {
  const TypeInfo& type = type_info(weight.dtype);
  weight.stride_bytes = weight.row_bytes();
  weight.data += part.first(weight.columns) / type.values * type.bytes;
  weight.columns /= part.count;
  return weight;
}

std::vector<float> part_of(const std::vector<float>& values, const Part& part) {
  const auto size = static_cast<int64_t>(values.size());
  const auto first = values.begin() + part.first(size);
  return {first, first + size / part.count};
}

Status check_divides(const char* what, int64_t whole, int64_t ranks, int64_t unit = 1) {
  if (whole % (ranks * unit) == 0) return {};
  return Error{fmt::format(
      "--tensor-parallel {}: the model's {} {} cannot be divided{}; take fewer ranks", ranks, whole,
      what, unit == 1 ? "" : fmt::format(" into whole blocks of {}", unit))};
}

}  // namespace

Result<ModelShard> shard_model(const ModelConfig& config, const ModelWeights& weights, int rank,
                               int ranks) {
  ASSAY_TRY_STATUS(check_divides("heads", config.heads, ranks));
  // With more ranks than KV heads, several have the same one.
  const int kv_parts = std::min(ranks, config.kv_heads);
  ASSAY_TRY_STATUS(check_divides("KV heads", std::max(ranks, config.kv_heads), kv_parts));
  for (const LayerWeights& layer : weights.layers) {
    ASSAY_TRY_STATUS(check_divides("attention outputs", layer.output.columns, ranks,
                                   type_info(layer.output.dtype).values));
    ASSAY_TRY_STATUS(
        check_divides("FFN values", layer.down.columns, ranks, type_info(layer.down.dtype).values));
  }
  const Part part{rank, ranks}, kv_part{rank / (ranks / kv_parts), kv_parts};
  ModelShard shard{config, weights};
  shard.config.heads /= ranks;
  shard.config.kv_heads /= kv_parts;
  shard.config.ffn_width /= ranks;
  for (LayerWeights& layer : shard.weights.layers) {
    for (Weight* weight : {&layer.q, &layer.gate, &layer.up}) *weight = rows_of(*weight, part);
    for (Weight* weight : {&layer.k, &layer.v}) *weight = rows_of(*weight, kv_part);
    for (Weight* weight : {&layer.output, &layer.down}) *weight = columns_of(*weight, part);
    layer.q_bias = part_of(layer.q_bias, part);
    layer.k_bias = part_of(layer.k_bias, kv_part);
    layer.v_bias = part_of(layer.v_bias, kv_part);
  }
  return shard;
}

}  // namespace assay
