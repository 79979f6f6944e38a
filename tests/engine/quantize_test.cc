// Files of other types: byte for byte what llama.cpp writes, and the same model as before.
#include "engine/quantize/quantize.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cmath>
#include <random>

#include "engine/blocks.h"
#include "engine/quantize/importance.h"
#include "engine/quantize/quantize_row.h"
#include "engine/runtime/forced.h"
#include "harness/base/file.h"
#include "harness/base/hash.h"
#include "tests/support.h"

namespace assay {
namespace {

TEST(Quantize, WritesTheFilesThatLlamaQuantizeWrites) {
  if (access(testing::smollm2_path().c_str(), R_OK) != 0) {
    GTEST_SKIP() << "scripts/fetch_smollm2 brings the model";
  }
  const Json cases = testing::load_json(testing::tests_path("cases/quantize.json"));
  const auto model = LocalModel::open(testing::smollm2_path());
  ASSERT_OK(model);
  for (const auto& [type, sha256] : cases["sha256"].items()) {
    if (!testing::kOptimized && type != "q4_k_m" && type != "q6_k") continue;
    const testing::TemporaryFolder folder;
    QuantizeOptions options;
    options.type = type;
    options.allow_requantize = true;
    const auto summary = quantize_model(**model, folder / "out.gguf", options);
    ASSERT_OK(summary);
    const auto written = sha256_file(folder / "out.gguf");
    ASSERT_OK(written);
    EXPECT_EQ(*written, sha256.get<std::string>()) << type;
    const auto bytes = MappedFile::open(folder / "out.gguf");
    ASSERT_OK(bytes);
    EXPECT_EQ(bytes->bytes().size(), summary->size_bytes);
  }
}

std::vector<float> logprobs_of(const std::string& path) {
  const auto model = LocalModel::open(path);
  EXPECT_TRUE(model.ok()) << path;
  LocalEngineOptions options;
  options.threads = 2;
  options.activations = Activations::kF32;
  options.kv_cache = KvType::kF32;
  options.kv_cache_gib = 0.2;
  auto engine = LocalEngine::create(**model, options);
  EXPECT_TRUE(engine.ok());
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 40; ++i) tokens.push_back(i * 7 % 250);
  return (*engine)->logprobs(tokens).value();
}

class QuantizeFolders : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Architectures, QuantizeFolders,
                         ::testing::Values("llama_llama3", "llama_linear", "mistral", "qwen2_yarn",
                                           "qwen3"),
                         [](const auto& tested) { return std::string(tested.param); });

TEST_P(QuantizeFolders, AFolderAsAGgufFileIsTheSameModel) {
  const std::string path = testing::tests_path(std::string("cases/models/") + GetParam());
  const testing::TemporaryFolder folder;
  const auto model = LocalModel::open(path);
  ASSERT_OK(model);
  for (const char* type : {"f32", "bf16"}) {
    QuantizeOptions options;
    options.type = type;
    ASSERT_OK(quantize_model(**model, folder / "out.gguf", options));
    const std::vector<float> before = logprobs_of(path), after = logprobs_of(folder / "out.gguf");
    ASSERT_EQ(before.size(), after.size());
    for (size_t i = 0; i < before.size(); ++i) {
      ASSERT_NEAR(before[i], after[i], 2e-5) << type << " " << i;
    }
    const auto again = LocalModel::open(folder / "out.gguf");
    ASSERT_OK(again);
    const std::string text = "What is 12 + 30? <think>\n";
    EXPECT_EQ((*again)->tokenizer.encode(text, true), (*model)->tokenizer.encode(text, true));
    EXPECT_EQ((*again)->tokenizer.chat_template(), (*model)->tokenizer.chat_template());
    EXPECT_EQ((*again)->tokenizer.stop_tokens(), (*model)->tokenizer.stop_tokens());
  }
}

TEST(Quantize, ValuesComeBackWithinHalfAStep) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> values(1024), back(1024);
  for (float& value : values) value = normal(random);
  const std::pair<DType, double> limits[] = {
      {DType::kQ8_0, 0.006}, {DType::kQ6_K, 0.025}, {DType::kQ5_K, 0.045}, {DType::kQ5_1, 0.05},
      {DType::kQ5_0, 0.06},  {DType::kQ4_K, 0.09},  {DType::kQ4_1, 0.1},   {DType::kQ4_0, 0.12}};
  for (const auto& [dtype, limit] : limits) {
    const TypeInfo& type = type_info(dtype);
    std::vector<uint8_t> bytes(values.size() / type.values * type.bytes);
    quantize_row(dtype, values.data(), 1024, nullptr, bytes.data());
    dequantize(dtype, bytes.data(), 1024, back.data());
    double squares = 0;
    for (size_t i = 0; i < values.size(); ++i) squares += std::pow(values[i] - back[i], 2);
    EXPECT_LT(std::sqrt(squares / 1024), limit) << type.name;
    EXPECT_GT(std::sqrt(squares / 1024), limit / 4) << type.name;
  }
}

TEST(Quantize, ZerosAndExtremesAreKept) {
  for (const TypeInfo& type : kTypes) {
    if (!can_quantize(type.dtype)) continue;
    std::vector<float> values(256, 0.0f), back(256, 1.0f);
    std::vector<uint8_t> bytes(static_cast<size_t>(256 / type.values * type.bytes));
    quantize_row(type.dtype, values.data(), 256, nullptr, bytes.data());
    dequantize(type.dtype, bytes.data(), 256, back.data());
    EXPECT_EQ(back, values) << type.name;
    values[17] = -3.0f;
    quantize_row(type.dtype, values.data(), 256, nullptr, bytes.data());
    dequantize(type.dtype, bytes.data(), 256, back.data());
    EXPECT_NEAR(back[17], -3.0f, 0.02f) << type.name;
  }
}

TEST(Quantize, ImportanceMovesTheErrorToColumnsThatCountLess) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> values(4096), importance(4096), plain(4096), weighted(4096);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = normal(random);
    importance[i] = i % 8 == 0 ? 50.0f : 1.0f;
  }
  for (const DType dtype : {DType::kQ4_K, DType::kQ5_K, DType::kQ6_K, DType::kQ4_0, DType::kQ5_0}) {
    const TypeInfo& type = type_info(dtype);
    std::vector<uint8_t> bytes(values.size() / type.values * type.bytes);
    const auto error_of = [&](const float* given, std::vector<float>& back) {
      quantize_row(dtype, values.data(), 4096, given, bytes.data());
      dequantize(dtype, bytes.data(), 4096, back.data());
      double error = 0;
      for (size_t i = 0; i < values.size(); ++i) {
        error += importance[i] * std::pow(values[i] - back[i], 2);
      }
      return error;
    };
    const double before = error_of(nullptr, plain), after = error_of(importance.data(), weighted);
    EXPECT_LT(after, 0.95 * before) << type.name;
  }
}

TEST(Quantize, TheImportanceMatrixHasTheInputsOfEveryMatrix) {
  const auto model = LocalModel::open(testing::tests_path("cases/models/qwen3"));
  ASSERT_OK(model);
  LocalEngineOptions engine_options;
  engine_options.kv_cache_gib = 0.1;
  auto engine = LocalEngine::create(**model, engine_options);
  ASSERT_OK(engine);
  const auto importance = measure_importance(**engine, {{1, 2, 3, 4, 5}, {9, 8, 7}});
  ASSERT_OK(importance);
  EXPECT_EQ(importance->size(), 2u * 7 + 1);
  EXPECT_EQ(importance->at("blk.0.ffn_down.weight").size(), 80u);
  EXPECT_EQ(importance->at("blk.1.attn_q.weight"), importance->at("blk.1.attn_v.weight"));
  for (const auto& [name, columns] : *importance) {
    for (const float value : columns) ASSERT_GT(value, 0) << name;
  }
  QuantizeOptions options;
  options.type = "q4_0";
  options.importance = &*importance;
  const testing::TemporaryFolder folder;
  ASSERT_OK(quantize_model(**model, folder / "out.gguf", options));
  Importance other = *importance;
  other["blk.0.attn_q.weight"].pop_back();
  options.importance = &other;
  const auto refused = quantize_model(**model, folder / "other.gguf", options);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, ::testing::HasSubstr("another model"));
  EXPECT_FALSE(file_exists(folder / "other.gguf"));
}

TEST(Quantize, WhatIsQuantizedAlreadyIsRefused) {
  const auto model = LocalModel::open(testing::tests_path("cases/models/qwen3"));
  ASSERT_OK(model);
  const testing::TemporaryFolder folder;
  QuantizeOptions options;
  options.type = "q8_0";
  ASSERT_OK(quantize_model(**model, folder / "q8.gguf", options));
  const auto small = LocalModel::open(folder / "q8.gguf");
  ASSERT_OK(small);
  options.type = "q4_0";
  const auto refused = quantize_model(**small, folder / "q4.gguf", options);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, ::testing::HasSubstr("--allow-requantize"));
  options.type = "q3";
  EXPECT_FALSE(quantize_model(**model, folder / "q3.gguf", options).ok());
}

TEST(ForcedSequences, InPartsGiveWhatTheWholeGives) {
  const auto model = LocalModel::open(testing::tests_path("cases/models/qwen3"));
  ASSERT_OK(model);
  LocalEngineOptions options;
  options.kv_cache_gib = 0.1;
  auto engine = LocalEngine::create(**model, options);
  ASSERT_OK(engine);
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 50; ++i) tokens.push_back(i * 11 % 280);
  const std::vector<float> whole = (*engine)->logprobs(tokens).value();
  const size_t vocab = whole.size() / tokens.size();
  auto sequence = ForcedSequence::start(**engine, tokens);
  ASSERT_OK(sequence);
  ASSERT_OK(sequence->skip(10));
  size_t at = 10;
  while (sequence->remaining() > 0) {
    const int count = std::min(7, sequence->remaining());
    const auto logits = sequence->next(7);
    ASSERT_OK(logits);
    std::vector<double> given(static_cast<size_t>(count));
    std::vector<int32_t> next(static_cast<size_t>(count), 3);
    (*engine)->ops().token_logprobs(*logits, static_cast<int>(vocab), next, given.data());
    for (int i = 0; i < count; ++i, ++at) {
      EXPECT_NEAR(given[static_cast<size_t>(i)], whole[at * vocab + 3], 1e-4);
    }
  }
  EXPECT_FALSE(ForcedSequence::start(**engine, {1, 99999}).ok());
}

}  // namespace
}  // namespace assay
