// Small random-weight models of every architecture, rope and tensor type, against transformers in
// float64 (scripts/make_model_cases.py).
#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>

#include "engine/blocks.h"
#include "engine/cpu/kernels.h"
#include "engine/runtime/local_engine.h"
#include "tests/engine/engine_fixture.h"
#include "tests/support.h"

namespace assay {
namespace {

std::unique_ptr<LocalEngine> make_engine(const LocalModel& model, Activations activations,
                                         KvType kv_cache, int threads = 2,
                                         const std::string& isa = "auto", int batch_size = 64) {
  LocalEngineOptions options;
  options.threads = threads;
  options.cpu_isa = isa;
  options.activations = activations;
  options.kv_cache = kv_cache;
  options.kv_cache_gib = 0.2;
  options.batch_size = batch_size;
  return std::move(LocalEngine::create(model, options)).value();
}

// The largest difference from the recorded log-probabilities.
double worst_difference(LocalEngine& engine, const Json& expected) {
  const auto ids = expected["ids"].get<std::vector<int32_t>>();
  const auto logprobs = engine.logprobs(ids);
  EXPECT_TRUE(logprobs.ok());
  if (!logprobs.ok()) return INFINITY;
  const size_t vocab_size = logprobs->size() / ids.size();
  double worst = 0;
  const Json& positions = expected["positions"];
  for (size_t i = 0; i < positions.size(); ++i) {
    const float* row = logprobs->data() + positions[i].get<size_t>() * vocab_size;
    for (const Json& entry : expected["top8"][i]) {
      const double difference = std::abs(row[entry[0].get<size_t>()] - entry[1].get<double>());
      worst = std::isnan(difference) ? INFINITY : std::max(worst, difference);
    }
  }
  return worst;
}

class ModelCases : public ::testing::TestWithParam<const char*> {
 protected:
  std::string folder() const {
    return testing::tests_path(std::string("cases/models/") + GetParam());
  }
};

INSTANTIATE_TEST_SUITE_P(Architectures, ModelCases,
                         ::testing::Values("llama_llama3", "llama_linear", "mistral", "qwen2_yarn",
                                           "qwen3"),
                         [](const auto& tested) { return std::string(tested.param); });

TEST_P(ModelCases, SafetensorsAndGgufGiveTheLogprobsOfTransformersInContextsTo8192) {
  Json expected = testing::load_json(folder() + "/expected.json");
  if (!testing::kOptimized) {  // sanitizers: the positions up to the first thousand
    Json short_case = {{"ids", Json::array()}, {"positions", Json::array()}, {"top8", {}}};
    for (int i = 0; i < 1100; ++i) short_case["ids"].push_back(expected["ids"][i]);
    for (size_t i = 0; expected["positions"][i] < 1100; ++i) {
      short_case["positions"].push_back(expected["positions"][i]);
      short_case["top8"].push_back(expected["top8"][i]);
    }
    expected = short_case;
  }
  for (const std::string& path : {folder(), folder() + "/model.gguf"}) {
    const auto model = LocalModel::open(path);
    ASSERT_OK(model);
    const auto engine = make_engine(**model, Activations::kF32, KvType::kF32);
    const double worst = worst_difference(*engine, expected);
    std::printf("%s: largest difference %.2e\n", path.ends_with("gguf") ? "GGUF" : "safetensors",
                worst);
    EXPECT_LT(worst, 2e-4);
  }
}

struct Mode {
  Activations activations;
  KvType kv_cache;
  double tolerance;  // of log-probabilities
};

class MixedTypes : public ::testing::TestWithParam<Mode> {
 protected:
  static void SetUpTestSuite() {
    auto model = LocalModel::open(testing::tests_path("cases/mixed/model.gguf"));
    ASSERT_OK(model);
    model_ = std::move(model).value().release();
  }
  static LocalModel* model_;
};
LocalModel* MixedTypes::model_ = nullptr;

INSTANTIATE_TEST_SUITE_P(Modes, MixedTypes,
                         ::testing::Values(Mode{Activations::kF32, KvType::kF32, 2e-5},
                                           Mode{Activations::kFixed16, KvType::kF32, 1e-3},
                                           Mode{Activations::kFixed16, KvType::kFixed16, 2e-3},
                                           Mode{Activations::kInt8, KvType::kFixed16, 0.3}),
                         [](const auto& tested) {
                           const Mode& mode = tested.param;
                           return std::string(
                                      kActivationNames[static_cast<int>(mode.activations)]) +
                                  "_kv_" +
                                  std::string(kKvTypeNames[static_cast<int>(mode.kv_cache)]);
                         });

TEST_P(MixedTypes, AFileWithEveryTensorTypeGivesTheLogprobsOfItsDequantizedValues) {
  const Json expected = testing::load_json(testing::tests_path("cases/mixed/expected.json"));
  const auto engine = make_engine(*model_, GetParam().activations, GetParam().kv_cache);
  const double worst = worst_difference(*engine, expected);
  std::printf("largest difference %.2e\n", worst);
  EXPECT_LT(worst, GetParam().tolerance);
}

TEST_P(MixedTypes, SamplesDoNotDependOnThreadsBatchOrInstructionSet) {
  std::vector<std::shared_ptr<const Prompt>> prompts;
  for (const char* text : {"the cat sat on", "a dog", "the mat and the dog did not sit"}) {
    prompts.push_back(testing::make_prompt(model_->tokenizer, text, false));
  }
  SamplingParams sampling;
  sampling.max_tokens = testing::kOptimized ? 48 : 12;
  const auto requests = testing::make_requests(prompts, 9, sampling);
  const auto run = [&](int threads, const std::string& isa, int batch_size) {
    const auto engine =
        make_engine(*model_, GetParam().activations, GetParam().kv_cache, threads, isa, batch_size);
    std::map<SampleId, std::pair<std::vector<int32_t>, double>> samples;
    for (const auto& [id, completion] : testing::generate(*engine, requests)) {
      samples[id] = {completion.token_ids, completion.logprob};
    }
    return samples;
  };
  const auto reference = run(1, "auto", 64);
  EXPECT_EQ(run(2, "auto", 64), reference);
  EXPECT_EQ(run(2, "auto", 1), reference);
  EXPECT_EQ(run(3, "auto", 7), reference);
  for (const CpuKernels* kernels : available_cpu_kernels()) {
    EXPECT_EQ(run(2, kernels->isa, 5), reference) << kernels->isa;
  }
}

TEST(Blocks, DequantizeBitForBitAsTheGgufPackage) {
  std::set<std::string> seen;
  for (const Json& row : testing::load_jsonl(testing::tests_path("cases/blocks.jsonl"))) {
    if (!row.contains("type")) continue;
    const std::string name = row["type"];
    seen.insert(name);
    const auto bytes = [](const std::string& hex) {
      std::vector<uint8_t> out;
      for (size_t i = 0; i < hex.size(); i += 2) {
        out.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
      }
      return out;
    };
    const TypeInfo* type = nullptr;
    for (const TypeInfo& info : kTypes) type = info.name == name ? &info : type;
    ASSERT_NE(type, nullptr) << name;
    const std::vector<uint8_t> stored = bytes(row["bytes"]), expected = bytes(row["f32"]);
    std::vector<float> values(expected.size() / 4);
    dequantize(type->dtype, stored.data(), static_cast<int64_t>(values.size()), values.data());
    EXPECT_EQ(std::memcmp(values.data(), expected.data(), expected.size()), 0) << name;
  }
  EXPECT_EQ(seen.size(), std::size(kTypes));
}

}  // namespace
}  // namespace assay
