#include "engine/model/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "harness/base/json.h"
#include "harness/base/text.h"

namespace assay {
namespace {

constexpr int kMaxSide = 1 << 20;
constexpr std::string_view kGgufArchitectures[] = {"llama", "qwen2", "qwen3"};
constexpr std::string_view kJsonArchitectures[] = {"llama", "mistral", "qwen2", "qwen3"};

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
  const RopeConfig& rope = config.rope;
  if (!(rope.theta > 0) || !(config.norm_eps >= 0)) {
    return Error{path + ": rope theta and norm epsilon must be positive"};
  }
  if (rope.scaling == RopeScaling::kNone) return {};
  const bool stretched = rope.scaling == RopeScaling::kLlama3 || rope.scaling == RopeScaling::kYarn;
  if (!(rope.factor > 0) || !std::isfinite(rope.factor) ||
      (stretched && !(rope.original_context > 0)) ||
      (rope.scaling == RopeScaling::kLlama3 &&
       !(rope.low_freq_factor > 0 && rope.high_freq_factor > rope.low_freq_factor)) ||
      (rope.scaling == RopeScaling::kYarn && !(rope.beta_fast > 0 && rope.beta_slow > 0))) {
    return Error{path +
                 ": rope scaling needs a positive factor, and the original context length for "
                 "llama3 and yarn; the file is damaged"};
  }
  return {};
}

Status check_architecture(const std::string& path, const std::string& name,
                          std::span<const std::string_view> supported) {
  if (std::find(supported.begin(), supported.end(), name) != supported.end()) return {};
  return Error{fmt::format("{}: architecture {} is not supported; supported are {}", path,
                           quote_for_message(name), fmt::join(supported, ", "))};
}

Result<int> to_int(Result<int64_t> value, const std::string& path, std::string_view key) {
  if (!value.ok()) return value.error();
  if (*value < 0 || *value > INT32_MAX) {
    return Error{fmt::format("{}: {} is {}, out of range", path, key, *value)};
  }
  return static_cast<int>(*value);
}

// Scaling by the keys that llama.cpp's converter writes.
Result<RopeConfig> rope_from_gguf(const GgufFile& file, const std::string& prefix) {
  RopeConfig rope;
  const auto number = [&](const char* name, double& value) -> Status {
    const std::string key = prefix + "rope." + name;
    if (!file.has(key)) return {};
    ASSAY_TRY(value, file.number(key));
    return {};
  };
  ASSAY_TRY_STATUS(number("freq_base", rope.theta));
  ASSAY_TRY_STATUS(number("scaling.factor", rope.factor));
  ASSAY_TRY_STATUS(number("scaling.original_context_length", rope.original_context));
  ASSAY_TRY_STATUS(number("scaling.yarn_beta_fast", rope.beta_fast));
  ASSAY_TRY_STATUS(number("scaling.yarn_beta_slow", rope.beta_slow));
  ASSAY_TRY_STATUS(number("scaling.attn_factor", rope.attention_factor));
  std::string type = "none";
  if (file.has(prefix + "rope.scaling.type")) {
    ASSAY_TRY(type, file.text(prefix + "rope.scaling.type"));
  }
  if (type == "linear") {
    rope.scaling = RopeScaling::kLinear;
  } else if (type == "yarn") {
    rope.scaling = RopeScaling::kYarn;
  } else if (type != "none") {
    return Error{fmt::format("{}: rope scaling {} is not supported; linear, yarn and Llama-3's are",
                             file.path(), quote_for_message(type))};
  }
  return rope;
}

Result<RopeConfig> rope_from_json(JsonReader& reader, const std::string& path) {
  RopeConfig rope;
  ASSAY_TRY(rope.theta, reader.number_or("rope_theta", rope.theta));
  // transformers 5 writes rope_parameters; earlier versions wrote rope_theta and rope_scaling.
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const Json& json = reader.any(key);
    if (json.is_null()) continue;
    JsonReader inner(json, fmt::format("{}: {}", path, key));
    ASSAY_TRY_STATUS(inner.must_be_object());
    ASSAY_TRY(rope.theta, inner.number_or("rope_theta", rope.theta));
    ASSAY_TRY(std::string type, inner.text_or("rope_type", ""));
    if (type.empty()) {
      ASSAY_TRY(type, inner.text_or("type", "default"));
    }
    ASSAY_TRY(const double partial, inner.number_or("partial_rotary_factor", 1));
    if (type == "linear") {
      rope.scaling = RopeScaling::kLinear;
    } else if (type == "llama3") {
      rope.scaling = RopeScaling::kLlama3;
    } else if (type == "yarn") {
      rope.scaling = RopeScaling::kYarn;
    } else if (type != "default") {
      return Error{
          fmt::format("{}: {} of type {} is not supported; default, linear, llama3 and yarn are",
                      path, key, quote_for_message(type))};
    }
    if (partial != 1) {
      return Error{fmt::format("{}: {}: partial rotary embedding is not supported", path, key)};
    }
    ASSAY_TRY(rope.factor, inner.number_or("factor", rope.factor));
    ASSAY_TRY(rope.original_context, inner.number_or("original_max_position_embeddings", 0));
    ASSAY_TRY(rope.low_freq_factor, inner.number_or("low_freq_factor", rope.low_freq_factor));
    ASSAY_TRY(rope.high_freq_factor, inner.number_or("high_freq_factor", rope.high_freq_factor));
    ASSAY_TRY(rope.beta_fast, inner.number_or("beta_fast", rope.beta_fast));
    ASSAY_TRY(rope.beta_slow, inner.number_or("beta_slow", rope.beta_slow));
    if (inner.any("attention_factor").is_number()) {
      ASSAY_TRY(rope.attention_factor, inner.number("attention_factor"));
    }
    if (inner.has("mscale") || inner.has("mscale_all_dim")) {
      return Error{fmt::format("{}: {}: mscale is not supported", path, key)};
    }
  }
  if (rope.original_context == 0) {
    ASSAY_TRY(rope.original_context, reader.number_or("max_position_embeddings", 0));
  }
  return rope;
}

}  // namespace

Result<ModelConfig> config_from_gguf(const GgufFile& file) {
  ModelConfig config;
  ASSAY_TRY(config.architecture, file.text("general.architecture"));
  ASSAY_TRY_STATUS(check_architecture(file.path(), config.architecture, kGgufArchitectures));
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
  if (file.has(prefix + "rope.dimension_count")) {
    ASSAY_TRY(const int rotated, get("rope.dimension_count"));
    if (rotated != config.head_dim) {
      return Error{
          fmt::format("{}: partial rotary embedding ({} of {} dimensions) is not supported",
                      file.path(), rotated, config.head_dim)};
    }
  }
  ASSAY_TRY(config.rope, rope_from_gguf(file, prefix));
  if (file.has(prefix + "attention.sliding_window")) {
    ASSAY_TRY(const int window, get("attention.sliding_window"));
    if (window > 0) config.context_length = std::min(config.context_length, window);
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
  ASSAY_TRY_STATUS(check_architecture(path, config.architecture, kJsonArchitectures));
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
  ASSAY_TRY(config.rope, rope_from_json(reader, path));
  ASSAY_TRY(const std::string activation, reader.text_or("hidden_act", "silu"));
  if (activation != "silu") {
    return Error{fmt::format("{}: hidden_act {} is not supported; silu is", path,
                             quote_for_message(activation))};
  }
  ASSAY_TRY(const bool sliding, reader.boolean_or("use_sliding_window", false));
  if (sliding) return Error{path + ": sliding-window attention is not supported"};
  // Mistral's window: up to its length attention is the whole one.
  if (config.architecture == "mistral" && reader.any("sliding_window").is_number()) {
    ASSAY_TRY(const int window, get("sliding_window"));
    config.context_length = std::min(config.context_length, window);
  }
  ASSAY_TRY_STATUS(check_config(config, path));
  return config;
}

}  // namespace assay
