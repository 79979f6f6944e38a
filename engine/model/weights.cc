#include "engine/model/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>

#include "engine/half.h"
#include "harness/base/hash.h"

namespace assay {
namespace {

using FindTensor = std::function<Result<Weight>(const std::string&)>;
using HasTensor = std::function<bool(const std::string&)>;

struct Names {
  const char* embedding;
  const char* output_norm;
  const char* lm_head;
  const char* layer;  // prefix with {} for the index
  const char *attention_norm, *ffn_norm, *q, *k, *v, *output, *gate, *up, *down, *q_norm, *k_norm;
};

constexpr Names kGgufNames = {"token_embd.weight",
                              "output_norm.weight",
                              "output.weight",
                              "blk.{}.",
                              "attn_norm",
                              "ffn_norm",
                              "attn_q",
                              "attn_k",
                              "attn_v",
                              "attn_output",
                              "ffn_gate",
                              "ffn_up",
                              "ffn_down",
                              "attn_q_norm",
                              "attn_k_norm"};
constexpr Names kHfNames = {"model.embed_tokens.weight",
                            "model.norm.weight",
                            "lm_head.weight",
                            "model.layers.{}.",
                            "input_layernorm",
                            "post_attention_layernorm",
                            "self_attn.q_proj",
                            "self_attn.k_proj",
                            "self_attn.v_proj",
                            "self_attn.o_proj",
                            "mlp.gate_proj",
                            "mlp.up_proj",
                            "mlp.down_proj",
                            "self_attn.q_norm",
                            "self_attn.k_norm"};

class Loader {
 public:
  Loader(const ModelConfig& config, const Names& names, std::string path, FindTensor find,
         HasTensor has)
      : config_(config),
        names_(names),
        path_(std::move(path)),
        find_(std::move(find)),
        has_(std::move(has)) {}

  Result<ModelWeights> load() {
    ModelWeights weights;
    ASSAY_TRY(weights.embedding, matrix(names_.embedding, config_.vocab_size, config_.width));
    ASSAY_TRY(weights.output_norm, vector(names_.output_norm, config_.width));
    weights.lm_head = weights.embedding;
    if (has_(names_.lm_head)) {
      ASSAY_TRY(weights.lm_head, matrix(names_.lm_head, config_.vocab_size, config_.width));
    }
    for (int i = 0; i < config_.layers; ++i) {
      ASSAY_TRY(LayerWeights layer, load_layer(fmt::format(fmt::runtime(names_.layer), i)));
      weights.layers.push_back(std::move(layer));
    }
    return weights;
  }

 private:
  Result<LayerWeights> load_layer(const std::string& prefix) {
    LayerWeights layer;
    const int64_t width = config_.width, ffn = config_.ffn_width;
    const int64_t q_width = int64_t{config_.heads} * config_.head_dim;
    const int64_t kv_width = int64_t{config_.kv_heads} * config_.head_dim;
    const auto named = [&prefix](const char* name) { return prefix + name + ".weight"; };
    ASSAY_TRY(layer.attention_norm, vector(named(names_.attention_norm), width));
    ASSAY_TRY(layer.ffn_norm, vector(named(names_.ffn_norm), width));
    ASSAY_TRY(layer.q, matrix(named(names_.q), q_width, width));
    ASSAY_TRY(layer.k, matrix(named(names_.k), kv_width, width));
    ASSAY_TRY(layer.v, matrix(named(names_.v), kv_width, width));
    ASSAY_TRY(layer.output, matrix(named(names_.output), width, q_width));
    ASSAY_TRY(layer.gate, matrix(named(names_.gate), ffn, width));
    ASSAY_TRY(layer.up, matrix(named(names_.up), ffn, width));
    ASSAY_TRY(layer.down, matrix(named(names_.down), width, ffn));
    ASSAY_TRY(layer.q_bias, bias(prefix + names_.q, q_width));
    ASSAY_TRY(layer.k_bias, bias(prefix + names_.k, kv_width));
    ASSAY_TRY(layer.v_bias, bias(prefix + names_.v, kv_width));
    if (config_.architecture == "qwen3") {
      ASSAY_TRY(layer.q_norm, vector(named(names_.q_norm), config_.head_dim));
      ASSAY_TRY(layer.k_norm, vector(named(names_.k_norm), config_.head_dim));
    }
    for (const char* other : {names_.output, names_.gate, names_.up, names_.down}) {
      const std::string name = prefix + other + ".bias";
      if (has_(name)) return Error{fmt::format("{}: tensor {} is not supported", path_, name)};
    }
    return layer;
  }

  Result<Weight> matrix(const std::string& name, int64_t rows, int64_t columns) {
    ASSAY_TRY(const Weight weight, find_(name));
    if (weight.rows != rows || weight.columns != columns) {
      return Error{
          fmt::format("{}: tensor {} is {}×{} where the configuration says {}×{}; the file "
                      "is damaged or of another model",
                      path_, name, weight.rows, weight.columns, rows, columns)};
    }
    return weight;
  }

  Result<std::vector<float>> bias(const std::string& name, int64_t width) {
    if (!has_(name + ".bias")) return std::vector<float>{};
    return vector(name + ".bias", width);
  }

  // Small vectors are widened to f32 once.
  Result<std::vector<float>> vector(const std::string& name, int64_t width) {
    ASSAY_TRY(const Weight weight, matrix(name, 1, width));
    std::vector<float> values(static_cast<size_t>(width));
    for (size_t i = 0; i < values.size(); ++i) {
      if (weight.dtype == DType::kF32) {
        std::memcpy(&values[i], weight.data + 4 * i, 4);
      } else if (weight.dtype == DType::kBF16 || weight.dtype == DType::kF16) {
        uint16_t bits = 0;
        std::memcpy(&bits, weight.data + 2 * i, 2);
        values[i] = weight.dtype == DType::kBF16 ? bf16_to_float(bits) : half_to_float(bits);
      } else {
        return Error{
            fmt::format("{}: tensor {} has type {}; F32, F16 or BF16 is expected for a "
                        "vector",
                        path_, name, to_string(weight.dtype))};
      }
      if (!std::isfinite(values[i])) {
        return Error{
            fmt::format("{}: tensor {} holds a value that is not finite; the file is "
                        "damaged",
                        path_, name)};
      }
    }
    return values;
  }

  const ModelConfig& config_;
  const Names& names_;
  std::string path_;
  FindTensor find_;
  HasTensor has_;
};

// Llama-3's scaling as llama.cpp's converter writes it: what each frequency is divided by.
Result<std::vector<float>> rope_divisors(const GgufFile& file, int head_dim) {
  ASSAY_TRY(const Weight weight, file.tensor("rope_freqs.weight"));
  std::vector<float> divisors(static_cast<size_t>(head_dim / 2));
  const bool right_shape = weight.dtype == DType::kF32 && weight.rows == 1 &&
                           weight.columns == static_cast<int64_t>(divisors.size());
  if (right_shape) std::memcpy(divisors.data(), weight.data, divisors.size() * sizeof(float));
  const auto usable = [](float value) { return value > 0 && std::isfinite(value); };
  if (!right_shape || !std::all_of(divisors.begin(), divisors.end(), usable)) {
    return Error{file.path() +
                 ": tensor rope_freqs.weight must hold a positive F32 for every second dimension "
                 "of a head; the file is damaged"};
  }
  return divisors;
}

}  // namespace

Result<ModelFiles> ModelFiles::open(const std::string& path) {
  ModelFiles files;
  files.path = path;
  const std::filesystem::path as_path(path);
  files.name = as_path.has_filename() ? as_path.filename().string()
                                      : as_path.parent_path().filename().string();
  if (is_directory(path)) {
    ASSAY_TRY(files.config, config_from_json(path + "/config.json"));
    ASSAY_TRY(auto safetensors, SafetensorsModel::open(path));
    files.safetensors = std::make_unique<SafetensorsModel>(std::move(safetensors));
    const SafetensorsModel& source = *files.safetensors;
    ASSAY_TRY(
        files.weights,
        Loader(
            files.config, kHfNames, path,
            [&source](const std::string& tensor_name) { return source.tensor(tensor_name); },
            [&source](const std::string& tensor_name) { return source.has_tensor(tensor_name); })
            .load());
    files.weights.drop_pages = [&source] {
      for (const MappedFile* file : source.files()) file->drop_pages();
    };
    return files;
  }
  ASSAY_TRY(auto gguf, GgufFile::open(path));
  files.gguf = std::make_unique<GgufFile>(std::move(gguf));
  const GgufFile& source = *files.gguf;
  ASSAY_TRY(files.config, config_from_gguf(source));
  ASSAY_TRY(
      files.weights,
      Loader(
          files.config, kGgufNames, path,
          [&source](const std::string& tensor_name) { return source.tensor(tensor_name); },
          [&source](const std::string& tensor_name) { return source.has_tensor(tensor_name); })
          .load());
  files.weights.drop_pages = [&source] {
    for (const MappedFile& file : source.files()) file.drop_pages();
  };
  if (source.has_tensor("rope_freqs.weight")) {
    ASSAY_TRY(files.config.rope.divisors, rope_divisors(source, files.config.head_dim));
  }
  return files;
}

ModelSize ModelFiles::size() const {
  ModelSize size;
  const auto add = [&](const Weight& weight) {
    size.parameters += weight.rows * weight.columns;
    size.weights_bytes += weight.size_bytes();
  };
  // Vectors are stored as F32 in nearly all files.
  const auto add_vector = [&](const std::vector<float>& values) {
    size.parameters += static_cast<int64_t>(values.size());
    size.weights_bytes += values.size() * sizeof(float);
  };
  add(weights.embedding);
  if (weights.lm_head.data != weights.embedding.data) add(weights.lm_head);
  add_vector(weights.output_norm);
  for (const LayerWeights& layer : weights.layers) {
    for (const Weight* weight :
         {&layer.q, &layer.k, &layer.v, &layer.output, &layer.gate, &layer.up, &layer.down}) {
      add(*weight);
    }
    for (const std::vector<float>* values :
         {&layer.attention_norm, &layer.ffn_norm, &layer.q_norm, &layer.k_norm, &layer.q_bias,
          &layer.k_bias, &layer.v_bias}) {
      add_vector(*values);
    }
  }
  if (gguf) {
    for (const MappedFile& file : gguf->files()) size.file_bytes += file.bytes().size();
  } else {
    for (const MappedFile* file : safetensors->files()) size.file_bytes += file->bytes().size();
  }
  return size;
}

std::string ModelFiles::weights_sha256() const {
  if (gguf && gguf->files().size() == 1) return sha256_hex(gguf->files()[0].bytes());
  Sha256 all;
  if (gguf) {
    for (const MappedFile& part : gguf->files()) all.update(sha256_hex(part.bytes()));
    return all.hex();
  }
  for (const std::string& path_of_file : safetensors->paths()) {
    const auto digest = sha256_file(path_of_file);
    all.update(digest.ok() ? *digest : "unreadable");
  }
  return all.hex();
}

}  // namespace assay
