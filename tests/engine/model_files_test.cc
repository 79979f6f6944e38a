// GGUF and safetensors files as hostile input: every damage is one clear error, never a crash.
#include <gmock/gmock.h>

#include <cstring>

#include "engine/model/weights.h"
#include "harness/base/file.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

// Writes a GGUF file of version 3, as ggml/docs/gguf.md lays it out.
class GgufWriter {
 public:
  void text(const std::string& key, const std::string& value) {
    string(metadata_, key);
    number<uint32_t>(metadata_, 8);
    string(metadata_, value);
    ++metadata_count_;
  }
  void u32(const std::string& key, uint32_t value) {
    string(metadata_, key);
    number<uint32_t>(metadata_, 4);
    number(metadata_, value);
    ++metadata_count_;
  }
  void u16(const std::string& key, uint16_t value) {
    string(metadata_, key);
    number<uint32_t>(metadata_, 2);
    number(metadata_, value);
    ++metadata_count_;
  }
  void f32(const std::string& key, float value) {
    string(metadata_, key);
    number<uint32_t>(metadata_, 6);
    number(metadata_, value);
    ++metadata_count_;
  }
  void texts(const std::string& key, const std::vector<std::string>& values) {
    string(metadata_, key);
    number<uint32_t>(metadata_, 9);
    number<uint32_t>(metadata_, 8);
    number<uint64_t>(metadata_, values.size());
    for (const std::string& value : values) string(metadata_, value);
    ++metadata_count_;
  }
  void tensor(const std::string& name, std::vector<uint64_t> shape, uint32_t type, size_t bytes) {
    string(tensors_, name);
    number<uint32_t>(tensors_, static_cast<uint32_t>(shape.size()));
    for (const uint64_t side : shape) number(tensors_, side);
    number(tensors_, type);
    number<uint64_t>(tensors_, data_bytes_);
    data_bytes_ += (bytes + 31) / 32 * 32;
    ++tensor_count_;
  }
  std::string file() const {
    std::string out = "GGUF";
    number<uint32_t>(out, 3);
    number<uint64_t>(out, tensor_count_);
    number<uint64_t>(out, metadata_count_);
    out += metadata_ + tensors_;
    out.resize((out.size() + 31) / 32 * 32, '\0');
    out.resize(out.size() + data_bytes_, '\x11');
    return out;
  }

 private:
  template <typename T>
  static void number(std::string& out, T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof(T));
  }
  static void string(std::string& out, const std::string& value) {
    number<uint64_t>(out, value.size());
    out += value;
  }
  std::string metadata_, tensors_;
  uint64_t metadata_count_ = 0, tensor_count_ = 0, data_bytes_ = 0;
};

constexpr uint32_t kF32 = 0, kIQ2_XXS = 16;

enum class Part { kWhole, kFirst, kSecond };

// A model's metadata and all tensors; of a split one, those of one part.
GgufWriter tiny_llama(uint32_t matrix_type = kF32, const std::string& architecture = "llama",
                      Part part = Part::kWhole) {
  GgufWriter w;
  if (part != Part::kSecond) {
    w.text("general.architecture", architecture);
    const std::string p = architecture + ".";
    w.u32(p + "block_count", 1);
    w.u32(p + "embedding_length", 32);
    w.u32(p + "feed_forward_length", 64);
    w.u32(p + "attention.head_count", 2);
    w.u32(p + "attention.head_count_kv", 1);
    w.u32(p + "context_length", 64);
    w.f32(p + "attention.layer_norm_rms_epsilon", 1e-5f);
    w.texts("tokenizer.ggml.tokens", {"a", "b", "c", "d"});
    w.tensor("token_embd.weight", {32, 4}, kF32, 32 * 4 * 4);
    w.tensor("output_norm.weight", {32}, kF32, 32 * 4);
    w.tensor("blk.0.attn_norm.weight", {32}, kF32, 32 * 4);
    w.tensor("blk.0.ffn_norm.weight", {32}, kF32, 32 * 4);
    w.tensor("blk.0.attn_q.weight", {32, 32}, matrix_type, 32 * 32 * 4);
    w.tensor("blk.0.attn_k.weight", {32, 16}, kF32, 32 * 16 * 4);
  }
  if (part != Part::kFirst) {
    w.tensor("blk.0.attn_v.weight", {32, 16}, kF32, 32 * 16 * 4);
    w.tensor("blk.0.attn_output.weight", {32, 32}, kF32, 32 * 32 * 4);
    w.tensor("blk.0.ffn_gate.weight", {32, 64}, kF32, 32 * 64 * 4);
    w.tensor("blk.0.ffn_up.weight", {32, 64}, kF32, 32 * 64 * 4);
    w.tensor("blk.0.ffn_down.weight", {64, 32}, kF32, 32 * 64 * 4);
  }
  return w;
}

class ModelFile : public ::testing::Test {
 protected:
  Result<ModelFiles> open(const std::string& bytes) {
    EXPECT_TRUE(write_file_atomically(path_, bytes).ok());
    return ModelFiles::open(path_);
  }
  std::string error(const std::string& bytes) {
    const auto files = open(bytes);
    EXPECT_FALSE(files.ok());
    return files.ok() ? "" : files.error().message;
  }
  testing::TemporaryFolder folder_;
  std::string path_ = folder_ / "m.gguf";
};

TEST_F(ModelFile, AWholeGgufOpens) {
  const auto files = open(tiny_llama().file());
  ASSERT_OK(files);
  EXPECT_EQ(files->config.head_dim, 16);
  EXPECT_EQ(files->weights.layers.size(), 1u);
  EXPECT_EQ(files->weights.lm_head.data, files->weights.embedding.data) << "tied embeddings";
}

TEST_F(ModelFile, EveryTruncationIsAnError) {
  const std::string whole = tiny_llama().file();
  for (size_t size = 0; size < whole.size(); size += size < 1200 ? 1 : 97) {
    const std::string message = error(whole.substr(0, size));
    EXPECT_THAT(message, HasSubstr("m.gguf")) << size;
  }
}

TEST_F(ModelFile, NoChangedHeaderByteCrashes) {
  const std::string whole = tiny_llama().file();
  for (size_t at = 0; at < 1400; ++at) {
    for (const int value : {0x00, 0x7F, 0x80, 0xFF}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(value);
      const auto files = open(damaged);
      if (!files.ok()) {
        EXPECT_THAT(files.error().message, HasSubstr("m.gguf"));
      }
    }
  }
}

TEST_F(ModelFile, AnUnsupportedTensorTypeIsNamed) {
  EXPECT_THAT(
      error(tiny_llama(kIQ2_XXS).file()),
      HasSubstr("tensor blk.0.attn_q.weight has type IQ2_XXS (16), which is not supported"));
}

TEST_F(ModelFile, AnUnsupportedArchitectureIsNamed) {
  EXPECT_THAT(error(tiny_llama(kF32, "mamba").file()),
              HasSubstr("architecture \"mamba\" is not supported"));
}

TEST_F(ModelFile, AnotherFileIsNotAGguf) {
  EXPECT_THAT(error("PK\x03\x04 something else entirely"), HasSubstr("not a GGUF file"));
  EXPECT_THAT(error(""), HasSubstr("not a GGUF file"));
}

TEST_F(ModelFile, AMatrixOfAnotherShapeIsNamedWithBothShapes) {
  GgufWriter w = tiny_llama();
  w.u32("llama.attention.key_length", 8);
  EXPECT_THAT(error(w.file()),
              HasSubstr("attn_q.weight is 32×32 where the configuration says 16×32"));
}

TEST_F(ModelFile, RopeScalingThatIsUnknownOrIncompleteIsAClearError) {
  GgufWriter w = tiny_llama();
  w.text("llama.rope.scaling.type", "longrope");
  EXPECT_THAT(error(w.file()), HasSubstr("rope scaling \"longrope\" is not supported"));
  w = tiny_llama();
  w.text("llama.rope.scaling.type", "yarn");
  EXPECT_THAT(error(w.file()), HasSubstr("the original context length"));
  w = tiny_llama();
  w.tensor("rope_freqs.weight", {4}, kF32, 16);
  EXPECT_THAT(error(w.file()), HasSubstr("rope_freqs.weight must hold"));
}

TEST_F(ModelFile, TensorsThatOverlapAreNamed) {
  GgufWriter w = tiny_llama();
  w.tensor("first", {64, 2}, kF32, 64);  // claims 512 bytes, the next begins after 64
  w.tensor("second", {64}, kF32, 256);
  EXPECT_THAT(error(w.file()), HasSubstr("tensors \"first\" and \"second\" overlap"));
}

TEST_F(ModelFile, ASplitModelIsReadFromAllItsParts) {
  const std::string name = folder_ / "model-";
  GgufWriter first = tiny_llama(kF32, "llama", Part::kFirst),
             second = tiny_llama(kF32, "llama", Part::kSecond);
  first.u16("split.count", 2);
  ASSERT_OK(write_file_atomically(name + "00001-of-00002.gguf", first.file()));
  EXPECT_THAT(ModelFiles::open(name + "00001-of-00002.gguf").error().message,
              HasSubstr("model-00002-of-00002.gguf: cannot open"));
  ASSERT_OK(write_file_atomically(name + "00002-of-00002.gguf", second.file()));
  const auto model = ModelFiles::open(name + "00001-of-00002.gguf");
  ASSERT_OK(model);
  EXPECT_EQ(model->weights.layers.size(), 1u);
  EXPECT_EQ(model->weights_sha256().size(), 64u);
  ASSERT_OK(write_file_atomically(folder_ / "renamed.gguf", first.file()));
  EXPECT_THAT(ModelFiles::open(folder_ / "renamed.gguf").error().message,
              HasSubstr("split into 2 files; name the first one, NAME-00001-of-00002.gguf"));
}

class SafetensorsFolder : public ::testing::Test {
 protected:
  SafetensorsFolder() {
    for (const char* name : {"config.json", "tokenizer.json", "model.safetensors"}) {
      const auto bytes = read_file(testing::tests_path(std::string("cases/tiny_qwen2/") + name));
      EXPECT_TRUE(bytes.ok());
      files_[name] = *bytes;
      EXPECT_TRUE(write_file_atomically(folder_ / name, *bytes).ok());
    }
  }
  std::string error_with(const std::string& name, const std::string& bytes) {
    EXPECT_TRUE(write_file_atomically(folder_ / name, bytes).ok());
    const auto files = ModelFiles::open(folder_.path());
    EXPECT_TRUE(write_file_atomically(folder_ / name, files_[name]).ok());
    return files.ok() ? "" : files.error().message;
  }
  testing::TemporaryFolder folder_;
  std::map<std::string, std::string> files_;
};

TEST_F(SafetensorsFolder, EveryTruncationIsAnError) {
  const std::string& whole = files_["model.safetensors"];
  for (size_t size = 0; size < whole.size(); size += size < 400 ? 7 : 9973) {
    EXPECT_THAT(error_with("model.safetensors", whole.substr(0, size)),
                HasSubstr("model.safetensors"))
        << size;
  }
}

TEST_F(SafetensorsFolder, OffsetsBeyondTheFileAreAnError) {
  std::string bytes = files_["model.safetensors"];
  const size_t at = bytes.find("\"data_offsets\":[");
  ASSERT_NE(at, std::string::npos);
  bytes.replace(at + 16, 1, "9999999999999,9");
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  header += 14;
  std::memcpy(bytes.data(), &header, 8);
  EXPECT_THAT(error_with("model.safetensors", bytes), HasSubstr("model.safetensors"));
}

TEST_F(SafetensorsFolder, WrongConfigurationsAreNamed) {
  const Json config = Json::parse(files_["config.json"]);
  const auto changed = [&](const std::string& key, const Json& value) {
    Json copy = config;
    copy[key] = value;
    return error_with("config.json", copy.dump());
  };
  EXPECT_THAT(changed("model_type", "gemma3"),
              HasSubstr("architecture \"gemma3\" is not supported"));
  EXPECT_THAT(changed("num_hidden_layers", -1), HasSubstr("num_hidden_layers is -1"));
  EXPECT_THAT(changed("num_hidden_layers", 4), HasSubstr("model.layers.3"));
  EXPECT_THAT(changed("num_attention_heads", 0), HasSubstr("must be positive"));
  EXPECT_THAT(changed("num_key_value_heads", 4), HasSubstr("cannot share 4 KV heads"));
  EXPECT_THAT(changed("hidden_size", "wide"), HasSubstr("must be a whole number"));
  EXPECT_THAT(changed("hidden_act", "gelu"), HasSubstr("hidden_act"));
  EXPECT_THAT(changed("use_sliding_window", true), HasSubstr("sliding"));
  EXPECT_THAT(changed("rope_parameters", {{"rope_type", "longrope"}}), HasSubstr("\"longrope\""));
  EXPECT_THAT(changed("rope_parameters", {{"rope_type", "yarn"}, {"factor", -1}}),
              HasSubstr("positive factor"));
  EXPECT_THAT(error_with("config.json", "{"), HasSubstr("not valid JSON"));
}

}  // namespace
}  // namespace assay
