#include "engine/model/config.h"

#include <fmt/format.h>

#include "harness/base/json.h"
#include "harness/base/text.h"

namespace assay {
namespace {

constexpr int kMaxSide = 1 << 20;

Status check_config(const ModelConfig& config, const std::string& path) {
  const auto positive = [](int value) { return value >= 1 && value <= kMaxSide; };
  if (!positive(config.layers) || !positive(config.width) || !positive(config.ffn_width) ||
      !positive(config.heads) || !positive(config.kv_heads) || !positive(config.head_dim) ||
      config.vocab_size < 1 || config.context_length < 1) {
    return Error{path +
                 ": the model's sizes (layers, width, heads, vocabulary, context) must be "
                 "positive and sane; the file is damaged"};
  }
  if (config.heads % config.kv_heads != 0) {
    return Error{fmt::format("{}: {} attention heads cannot share {} KV heads", path, config.heads,
                             config.kv_heads)};
  }
  if (config.head_dim % 2 != 0 || config.head_dim > 1024) {
    return Error{fmt::format("{}: head dimension {} is not supported (even, at most 1024)", path,
                             config.head_dim)};
  }
  if (!(config.rope_theta > 0) || !(config.norm_eps >= 0)) {
    return Error{path + ": rope theta and norm epsilon must be positive"};
  }
  return {};
}

Error unsupported_architecture(const std::string& path, const std::string& name) {
  return Error{fmt::format("{}: architecture {} is not supported; supported are llama and qwen2",
                           path, quote_for_message(name))};
}

Result<int> to_int(Result<int64_t> value, const std::string& path, std::string_view key) {
  if (!value.ok()) return value.error();
  if (*value < 0 || *value > INT32_MAX) {
    return Error{fmt::format("{}: {} is {}, out of range", path, key, *value)};
  }
  return static_cast<int>(*value);
}

}  // namespace

Result<ModelConfig> config_from_gguf(const GgufFile& file) {
  ModelConfig config;
  ASSAY_TRY(config.architecture, file.text("general.architecture"));
  if (config.architecture != "llama" && config.architecture != "qwen2") {
    return unsupported_architecture(file.path(), config.architecture);
  }
  const std::string prefix = config.architecture + ".";
  const auto get = [&](const std::string& name) {
    return to_int(file.integer(prefix + name), file.path(), prefix + name);
  };
  ASSAY_TRY(config.layers, get("block_count"));
  ASSAY_TRY(config.width, get("embedding_length"));
  ASSAY_TRY(config.ffn_width, get("feed_forward_length"));
  ASSAY_TRY(config.heads, get("attention.head_count"));
  ASSAY_TRY(config.context_length, get("context_length"));
  config.kv_heads = config.heads;
  if (file.has(prefix + "attention.head_count_kv")) {
    ASSAY_TRY(config.kv_heads, get("attention.head_count_kv"));
  }
  config.head_dim = config.heads > 0 ? config.width / config.heads : 0;
  if (file.has(prefix + "attention.key_length")) {
    ASSAY_TRY(config.head_dim, get("attention.key_length"));
  }
  ASSAY_TRY(const double eps, file.number(prefix + "attention.layer_norm_rms_epsilon"));
  config.norm_eps = static_cast<float>(eps);
  if (file.has(prefix + "rope.freq_base")) {
    ASSAY_TRY(config.rope_theta, file.number(prefix + "rope.freq_base"));
  }
  if (file.has(prefix + "rope.dimension_count")) {
    ASSAY_TRY(const int rotated, get("rope.dimension_count"));
    if (rotated != config.head_dim) {
      return Error{
          fmt::format("{}: partial rotary embedding ({} of {} dimensions) is not supported",
                      file.path(), rotated, config.head_dim)};
    }
  }
  const auto scaling = file.text(prefix + "rope.scaling.type");
  if ((scaling.ok() && *scaling != "none") || file.has_tensor("rope_freqs.weight")) {
    return Error{fmt::format("{}: rope scaling ({}) is not supported yet", file.path(),
                             scaling.ok() ? *scaling : "rope_freqs.weight")};
  }
  ASSAY_TRY(const GgufArray tokens, file.array("tokenizer.ggml.tokens"));
  config.vocab_size = static_cast<int>(std::min<uint64_t>(tokens.count, INT32_MAX));
  // llama.cpp's converter permutes the q and k rows of llama models for this rotation.
  config.rope_pairs = config.architecture == "llama" ? RopePairs::kNeighbours : RopePairs::kHalves;
  ASSAY_TRY_STATUS(check_config(config, file.path()));
  return config;
}

Result<ModelConfig> config_from_json(const std::string& path) {
  ASSAY_TRY(const Json json, read_json_file(path));
  JsonReader reader(json, path);
  ASSAY_TRY_STATUS(reader.must_be_object());
  ModelConfig config;
  ASSAY_TRY(config.architecture, reader.text("model_type"));
  if (config.architecture != "llama" && config.architecture != "qwen2") {
    return unsupported_architecture(path, config.architecture);
  }
  const auto get = [&](const std::string& key) { return to_int(reader.integer(key), path, key); };
  ASSAY_TRY(config.layers, get("num_hidden_layers"));
  ASSAY_TRY(config.width, get("hidden_size"));
  ASSAY_TRY(config.ffn_width, get("intermediate_size"));
  ASSAY_TRY(config.heads, get("num_attention_heads"));
  ASSAY_TRY(config.vocab_size, get("vocab_size"));
  ASSAY_TRY(config.context_length, get("max_position_embeddings"));
  config.kv_heads = config.heads;
  if (reader.has("num_key_value_heads")) {
    ASSAY_TRY(config.kv_heads, get("num_key_value_heads"));
  }
  config.head_dim = config.heads > 0 ? config.width / config.heads : 0;
  if (reader.any("head_dim").is_number()) {
    ASSAY_TRY(config.head_dim, get("head_dim"));
  }
  ASSAY_TRY(const double eps, reader.number("rms_norm_eps"));
  config.norm_eps = static_cast<float>(eps);
  ASSAY_TRY(config.rope_theta, reader.number_or("rope_theta", 10000));
  // transformers 5 writes rope_parameters; earlier versions wrote rope_theta and rope_scaling.
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const Json& rope = reader.any(key);
    if (rope.is_null()) continue;
    JsonReader rope_reader(rope, fmt::format("{}: {}", path, key));
    ASSAY_TRY_STATUS(rope_reader.must_be_object());
    ASSAY_TRY(config.rope_theta, rope_reader.number_or("rope_theta", config.rope_theta));
    ASSAY_TRY(std::string type, rope_reader.text_or("rope_type", ""));
    if (type.empty()) {
      ASSAY_TRY(type, rope_reader.text_or("type", "default"));
    }
    if (type != "default") {
      return Error{fmt::format("{}: {} of type {} is not supported yet", path, key,
                               quote_for_message(type))};
    }
  }
  ASSAY_TRY(const std::string activation, reader.text_or("hidden_act", "silu"));
  if (activation != "silu") {
    return Error{fmt::format("{}: hidden_act {} is not supported; silu is", path,
                             quote_for_message(activation))};
  }
  ASSAY_TRY(const bool sliding, reader.boolean_or("use_sliding_window", false));
  if (sliding) return Error{path + ": sliding-window attention is not supported"};
  ASSAY_TRY_STATUS(check_config(config, path));
  return config;
}

}  // namespace assay
