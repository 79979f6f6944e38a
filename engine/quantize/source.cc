#include "engine/quantize/source.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <tuple>

namespace assay {
namespace {

int layer_of(const std::string& name) {
  int layer = -1;
  if (name.starts_with("blk.")) {
    std::from_chars(name.data() + 4, name.data() + name.size(), layer);
  }
  return layer;
}

Result<GgufSource> from_gguf(const GgufFile& file) {
  GgufSource source;
  for (const auto& [key, value] : file.entries()) {
    if (!key.starts_with("split.")) source.metadata.set_raw(key, std::string(value));
  }
  if (file.has("general.alignment")) {
    ASSAY_TRY(const int64_t alignment, file.integer("general.alignment"));
    source.alignment = static_cast<uint64_t>(alignment);
  }
  for (const auto& [name, tensor] : file.tensors()) {
    SourceTensor entry;
    entry.name = name;
    ASSAY_TRY(entry.weight, file.tensor(name));
    entry.shape = tensor.shape;
    source.tensors.push_back(std::move(entry));
  }
  return source;
}

class FolderSource {
 public:
  explicit FolderSource(const LocalModel& model)
      : model_(model), config_(model.files.config), weights_(model.files.weights) {
    // GGUF knows Mistral as llama.
    architecture_ = config_.architecture == "mistral" ? "llama" : config_.architecture;
  }

  Result<GgufSource> read() {
    set_shape();
    ASSAY_TRY_STATUS(set_tokenizer());
    add("token_embd.weight", weights_.embedding);
    add("output_norm.weight", weights_.output_norm);
    if (weights_.lm_head.data != weights_.embedding.data) add("output.weight", weights_.lm_head);
    const int q_heads = architecture_ == "llama" ? config_.heads : 0;
    const int k_heads = architecture_ == "llama" ? config_.kv_heads : 0;
    for (size_t i = 0; i < weights_.layers.size(); ++i) {
      const LayerWeights& layer = weights_.layers[i];
      const std::string prefix = fmt::format("blk.{}.", i);
      add(prefix + "attn_norm.weight", layer.attention_norm);
      add(prefix + "ffn_norm.weight", layer.ffn_norm);
      add(prefix + "attn_q.weight", layer.q, q_heads);
      add(prefix + "attn_k.weight", layer.k, k_heads);
      add(prefix + "attn_v.weight", layer.v);
      add(prefix + "attn_output.weight", layer.output);
      add(prefix + "ffn_gate.weight", layer.gate);
      add(prefix + "ffn_up.weight", layer.up);
      add(prefix + "ffn_down.weight", layer.down);
      add(prefix + "attn_q.bias", paired(layer.q_bias, q_heads));
      add(prefix + "attn_k.bias", paired(layer.k_bias, k_heads));
      add(prefix + "attn_v.bias", layer.v_bias);
      add(prefix + "attn_q_norm.weight", layer.q_norm);
      add(prefix + "attn_k_norm.weight", layer.k_norm);
    }
    return std::move(source_);
  }

 private:
  template <typename T>
  void set(const std::string& key, T value) {
    source_.metadata.set(architecture_ + "." + key, value);
  }
  void set_count(const std::string& key, int value) { set(key, static_cast<uint32_t>(value)); }

  // Keys: ggml/docs/gguf.md.
  void set_shape() {
    GgufMetadata& metadata = source_.metadata;
    metadata.set("general.architecture", std::string_view(architecture_));
    metadata.set("general.type", std::string_view("model"));
    metadata.set("general.name", std::string_view(model_.files.name));
    set_count("block_count", config_.layers);
    set_count("context_length", config_.context_length);
    set_count("embedding_length", config_.width);
    set_count("feed_forward_length", config_.ffn_width);
    set_count("attention.head_count", config_.heads);
    set_count("attention.head_count_kv", config_.kv_heads);
    set_count("attention.key_length", config_.head_dim);
    set_count("attention.value_length", config_.head_dim);
    set_count("rope.dimension_count", config_.head_dim);
    set_count("vocab_size", config_.vocab_size);
    set("attention.layer_norm_rms_epsilon", config_.norm_eps);
    const RopeConfig& rope = config_.rope;
    set("rope.freq_base", static_cast<float>(rope.theta));
    if (rope.scaling == RopeScaling::kLinear || rope.scaling == RopeScaling::kYarn) {
      const bool yarn = rope.scaling == RopeScaling::kYarn;
      set("rope.scaling.type", std::string_view(yarn ? "yarn" : "linear"));
      set("rope.scaling.factor", static_cast<float>(rope.factor));
      if (yarn) {
        set_count("rope.scaling.original_context_length", static_cast<int>(rope.original_context));
        set("rope.scaling.yarn_beta_fast", static_cast<float>(rope.beta_fast));
        set("rope.scaling.yarn_beta_slow", static_cast<float>(rope.beta_slow));
        if (rope.attention_factor > 0) {
          set("rope.scaling.attn_factor", static_cast<float>(rope.attention_factor));
        }
      }
    } else if (rope.scaling == RopeScaling::kLlama3) {
      add("rope_freqs.weight", divisors());
    }
  }

  // What Llama-3's scaling divides each frequency by.
  std::vector<float> divisors() const {
    RopeConfig plain = config_.rope;
    plain.scaling = RopeScaling::kNone;
    const RopeTable before = make_rope_table(plain, config_.head_dim);
    const RopeTable after = make_rope_table(config_.rope, config_.head_dim);
    std::vector<float> out;
    for (size_t i = 0; i < before.frequencies.size(); ++i) {
      out.push_back(static_cast<float>(before.frequencies[i] / after.frequencies[i]));
    }
    return out;
  }

  Status set_tokenizer() {
    const Tokenizer& tokenizer = model_.tokenizer;
    ASSAY_TRY(Tokenizer::GgufVocabulary vocabulary, tokenizer.gguf_vocabulary(model_.files.path));
    // Rows of the embedding beyond the tokenizer's vocabulary.
    for (size_t id = vocabulary.tokens.size(); id < static_cast<size_t>(config_.vocab_size); ++id) {
      vocabulary.tokens.push_back(fmt::format("[PAD{}]", id));
      vocabulary.types.push_back(5);
    }
    if (vocabulary.tokens.size() > static_cast<size_t>(config_.vocab_size)) {
      return Error{
          fmt::format("{}: the tokenizer has {} tokens, the model {}; a GGUF file has one "
                      "vocabulary",
                      model_.files.path, vocabulary.tokens.size(), config_.vocab_size)};
    }
    GgufMetadata& metadata = source_.metadata;
    metadata.set("tokenizer.ggml.model", std::string_view("gpt2"));
    metadata.set("tokenizer.ggml.pre", std::string_view(vocabulary.pre));
    metadata.set("tokenizer.ggml.tokens", vocabulary.tokens);
    metadata.set("tokenizer.ggml.token_type", vocabulary.types);
    metadata.set("tokenizer.ggml.merges", vocabulary.merges);
    const auto set_id = [&](const char* key, std::optional<int32_t> id) {
      if (id) metadata.set(key, static_cast<uint32_t>(*id));
    };
    set_id("tokenizer.ggml.bos_token_id", tokenizer.bos());
    set_id("tokenizer.ggml.eos_token_id", tokenizer.eos());
    // The places that there are for further stop tokens: end of turn, end of message.
    std::vector<const char*> places = {"tokenizer.ggml.eom_token_id",
                                       "tokenizer.ggml.eot_token_id"};
    for (const int32_t id : tokenizer.stop_tokens()) {
      if (id == tokenizer.eos()) continue;
      if (places.empty()) {
        return Error{model_.files.path +
                     ": a GGUF file can name three stop tokens, and the model "
                     "has more"};
      }
      set_id(places.back(), id);
      places.pop_back();
    }
    metadata.set("tokenizer.ggml.add_bos_token", tokenizer.adds_bos());
    if (!tokenizer.chat_template().empty()) {
      metadata.set("tokenizer.chat_template", std::string_view(tokenizer.chat_template()));
    }
    return {};
  }

  void add(const std::string& name, const Weight& weight, int heads_to_pair = 0) {
    SourceTensor tensor;
    tensor.name = name;
    tensor.weight = weight;
    tensor.shape = {static_cast<uint64_t>(weight.columns), static_cast<uint64_t>(weight.rows)};
    tensor.heads_to_pair = heads_to_pair;
    source_.tensors.push_back(std::move(tensor));
  }

  void add(const std::string& name, std::vector<float> values) {
    if (values.empty()) return;
    SourceTensor tensor;
    tensor.name = name;
    tensor.shape = {values.size()};
    tensor.values = std::move(values);
    source_.tensors.push_back(std::move(tensor));
  }

  // Row 2r of a head is its row r, row 2r + 1 its row r + head_dim / 2.
  std::vector<float> paired(const std::vector<float>& bias, int heads) const {
    if (heads == 0) return bias;
    std::vector<float> out;
    for (size_t row = 0; row < bias.size(); ++row) {
      out.push_back(
          bias[static_cast<size_t>(row_of_pairs(static_cast<int64_t>(row), config_.head_dim))]);
    }
    return out;
  }

  const LocalModel& model_;
  const ModelConfig& config_;
  const ModelWeights& weights_;
  std::string architecture_;
  GgufSource source_;
};

}  // namespace

int64_t row_of_pairs(int64_t row, int64_t head_dim) {
  const int64_t within = row % head_dim;
  return row - within + within / 2 + (within % 2) * (head_dim / 2);
}

Result<GgufSource> gguf_source(const LocalModel& model) {
  ASSAY_TRY(GgufSource source,
            model.files.gguf ? from_gguf(*model.files.gguf) : FolderSource(model).read());
  for (SourceTensor& tensor : source.tensors) tensor.layer = layer_of(tensor.name);
  std::sort(source.tensors.begin(), source.tensors.end(),
            [](const SourceTensor& a, const SourceTensor& b) {
              return std::tie(a.layer, a.name) < std::tie(b.layer, b.name);
            });
  return source;
}

}  // namespace assay
