// Any bytes as model.safetensors beside a config.json that fits the seeds.
#include "engine/model/weights.h"
#include "tests/fuzz/fuzz_folder.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const assay::FuzzFolder folder;
  static const bool once = [] {
    const std::string config =
        R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4,
            "intermediate_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2,
            "num_key_value_heads": 1, "vocab_size": 3, "max_position_embeddings": 8,
            "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true})";
    folder.write("config.json", reinterpret_cast<const uint8_t*>(config.data()), config.size());
    return true;
  }();
  (void)once;
  folder.write("model.safetensors", data, size);
  (void)assay::ModelFiles::open(folder.path());
  return 0;
}
