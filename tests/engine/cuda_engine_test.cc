// Whole models on the CUDA device's kernels, emulated and on a GPU if there is one, beside the CPU.
#include <gmock/gmock.h>

#include <CLI/CLI.hpp>  // what the commands link with

#include <algorithm>
#include <cmath>
#include <sstream>
#include <thread>

#include "engine/cuda/runtime.h"
#include "engine/cuda/simt/block.h"
#include "engine/runtime/local_engine.h"
#include "harness/base/resources.h"
#include "harness/commands.h"
#include "results/export.h"
#include "tests/engine/engine_fixture.h"
#include "tests/support.h"

namespace assay {
namespace {

using testing::generate;
using testing::make_prompt;
using testing::make_requests;

std::unique_ptr<LocalEngine> engine_on(const LocalModel& model, const std::string& device,
                                       int batch_size = 64,
                                       std::optional<Activations> activations = std::nullopt) {
  LocalEngineOptions options;
  options.device = device;
  options.batch_size = batch_size;
  options.kv_cache_gib = 0.1;
  options.activations = activations;
  options.kv_cache = KvType::kBF16;
  auto engine = LocalEngine::create(model, options);
  EXPECT_TRUE(engine.ok());
  return std::move(engine).value();
}

std::string question(int index) {
  const auto rows =
      testing::load_jsonl(testing::tests_path("../datasets/samples/arithmetic.jsonl"));
  return "<|im_start|>user\n" + rows[static_cast<size_t>(index)]["question"].get<std::string>() +
         "\nPlease reason step by step, and put your final answer within \\boxed{}.<|im_end|>\n"
         "<|im_start|>assistant\n<think>\n";
}

struct Difference {
  double largest = 0, rms = 0;
};

// Of all log-probabilities over 1e-4, where they matter, at every position.
Difference difference(LocalEngine& a, LocalEngine& b, std::span<const int32_t> tokens) {
  const auto first = a.logprobs(tokens), second = b.logprobs(tokens);
  EXPECT_TRUE(first.ok()) << (first.ok() ? "" : first.error().message);
  EXPECT_TRUE(second.ok()) << (second.ok() ? "" : second.error().message);
  Difference result;
  if (!first.ok() || !second.ok()) return {INFINITY, INFINITY};
  double squares = 0;
  int64_t count = 0;
  for (size_t i = 0; i < first->size(); ++i) {
    if ((*first)[i] < -9.2f) continue;
    const double d = std::abs((*first)[i] - (*second)[i]);
    if (std::isnan(d)) return {INFINITY, INFINITY};
    result.largest = std::max(result.largest, d);
    squares += d * d;
    ++count;
  }
  result.rms = std::sqrt(squares / static_cast<double>(count));
  return result;
}

const LocalModel& builtin_model() {
  static const std::unique_ptr<LocalModel> model =
      std::move(LocalModel::open(*find_resource("engine/builtin"))).value();
  return *model;
}

// Skips where there is no GPU.
#define ASSAY_NEED_DEVICE(device)                                                       \
  if (const auto gpu = make_gpu_runtime(0); std::string(device) == "cuda" && !gpu.ok()) \
  GTEST_SKIP() << gpu.error().message

class CudaEngine : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Device, CudaEngine, ::testing::Values("simt", "cuda"),
                         [](const auto& tested) { return std::string(tested.param); });

TEST_P(CudaEngine, TheBuiltInModelsLogitsAreWithinTheMarginOfTheCpusAtEveryStep) {
  ASSAY_NEED_DEVICE(GetParam());
  const auto cpu = engine_on(builtin_model(), "cpu");
  auto requests = make_requests({make_prompt(builtin_model().tokenizer, question(0))}, 1, {});
  const auto completions = generate(*cpu, requests);
  auto tokens = requests[0].prompt->token_ids;
  const auto& answer = completions.begin()->second.token_ids;
  tokens.insert(tokens.end(), answer.begin(), answer.end());
  ASSERT_GT(answer.size(), 20u);
  for (const auto& [activations, margin] :
       {std::pair(Activations::kBF16x2, 0.02), std::pair(Activations::kBF16, 0.3)}) {
    const auto simt = engine_on(builtin_model(), GetParam(), 64, activations);
    const Difference d = difference(*cpu, *simt, tokens);
    std::printf("%s: %zu positions, largest difference %.1e, rms %.1e\n",
                std::string(kActivationNames[static_cast<int>(activations)]).c_str(), tokens.size(),
                d.largest, d.rms);
    EXPECT_LT(d.largest, margin);
    if (std::string(GetParam()) == "cuda") {
      const auto emulated = engine_on(builtin_model(), "simt", 64, activations);
      const Difference between = difference(*emulated, *simt, tokens);
      std::printf("and from the emulator's, largest difference %.1e, rms %.1e\n", between.largest,
                  between.rms);
      EXPECT_LT(between.largest, margin);
    }
  }
}

TEST(SimtEngine, TwoReplicasShareTheWorkAndGiveTheSameTokens) {
  SamplingParams sampling;
  sampling.max_tokens = 4;
  const auto requests = make_requests({make_prompt(builtin_model().tokenizer, question(0)),
                                       make_prompt(builtin_model().tokenizer, question(3))},
                                      9, sampling);
  const auto one = generate(*engine_on(builtin_model(), "simt", 4), requests);
  const auto engine = engine_on(builtin_model(), "simt:2", 4);
  EXPECT_EQ(engine->replicas(), 2);
  const auto two = generate(*engine, requests);
  ASSERT_EQ(two.size(), 18u);
  for (const auto& [id, completion] : one) {
    EXPECT_EQ(completion.token_ids, two.at(id).token_ids);
    EXPECT_EQ(completion.logprob, two.at(id).logprob);
  }
  // Each prefilled both prompts: both had work.
  EXPECT_GE(engine->stats().prefill_tokens, 2 * requests[0].prompt->token_ids.size());
  EXPECT_EQ(engine->stats().active_sequences, 0u);
}

// Ranks of one model. Each rank's part of a sum is rounded by itself, so the bits are not those of
// one device, but every batch has the same.
TEST(SimtEngine, RanksThatShareAModelAgreeWithOneDeviceAndWithThemselves) {
  LocalEngineOptions options;
  options.device = "simt";
  options.kv_cache_gib = 0.05;
  std::vector<int32_t> tokens;
  for (int i = 0; i < (testing::kOptimized ? 40 : 10); ++i) tokens.push_back(11 * i % 500 + 3);
  const auto one = std::move(LocalEngine::create(builtin_model(), options)).value();
  SamplingParams sampling;
  sampling.max_tokens = testing::kOptimized ? 8 : 3;
  auto prompt = std::make_shared<Prompt>();
  prompt->token_ids = tokens;
  auto other = std::make_shared<Prompt>();
  other->token_ids = {5, 6, 7};
  const auto requests = make_requests({prompt, other}, 3, sampling);
  for (const int ranks : {2, 4}) {
    options.tensor_parallel = ranks;
    const auto shared = std::move(LocalEngine::create(builtin_model(), options)).value();
    EXPECT_EQ(shared->tensor_parallel(), ranks);
    EXPECT_LT(shared->weights_bytes(), one->weights_bytes());
    EXPECT_EQ(shared->kv_cache_bytes(0, 16) * 2, one->kv_cache_bytes(0, 16));  // it has 2 KV heads
    const Difference d = difference(*one, *shared, tokens);
    std::printf("%d ranks: largest difference %.1e, rms %.1e\n", ranks, d.largest, d.rms);
    // Sums differ in their last bits, and a value between two bf16 keys can go either way.
    EXPECT_LT(d.largest, 1e-3);
    EXPECT_LT(d.rms, 2e-4);
    const auto all = generate(*shared, requests);
    EXPECT_EQ(shared->stats().active_sequences, 0u);
    options.batch_size = 2;
    const auto narrow = std::move(LocalEngine::create(builtin_model(), options)).value();
    const auto some = generate(*narrow, requests);
    options.batch_size = 64;
    ASSERT_EQ(all.size(), 6u);
    uint64_t count = 0;
    for (const auto& [id, completion] : all) {
      EXPECT_EQ(completion.token_ids, some.at(id).token_ids);
      EXPECT_EQ(completion.logprob, some.at(id).logprob);
      count += completion.token_ids.size();
    }
    EXPECT_EQ(shared->stats().generated_tokens, count);  // once, not by each rank
  }
}

TEST(SimtEngine, ARankThatFailsOrIsStoppedEndsTheRunOfAll) {
  LocalEngineOptions options;
  options.device = "simt";
  options.kv_cache_gib = 0.05;
  options.tensor_parallel = 2;
  SamplingParams sampling;
  sampling.max_tokens = 1000;
  auto prompt = std::make_shared<Prompt>();
  prompt->token_ids = {5, 6, 7};
  const auto requests = make_requests({prompt}, 3, sampling);
  struct FailingSink : CompletionSink {
    Status accept(Completion) override { return Error{"the disk is full"}; }
  };
  {
    auto few = sampling;
    few.max_tokens = 2;
    const auto engine = std::move(LocalEngine::create(builtin_model(), options)).value();
    testing::ListSource source(make_requests({prompt}, 3, few));
    FailingSink sink;
    const std::atomic<bool> stop{false};
    const Status status = engine->generate(source, sink, stop);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().message, "the disk is full");
  }
  const auto engine = std::move(LocalEngine::create(builtin_model(), options)).value();
  testing::ListSource source(requests);
  testing::MapSink sink;
  std::atomic<bool> stop{false};
  std::thread stopper([&] {
    while (engine->stats().generated_tokens < 6) std::this_thread::yield();
    stop = true;
  });
  EXPECT_TRUE(engine->generate(source, sink, stop).ok());
  stopper.join();
  EXPECT_TRUE(sink.completions.empty());
}

TEST(SimtEngine, WhatCannotBeDividedAmongRanksIsAnError) {
  LocalEngineOptions options;
  options.device = "simt";
  options.tensor_parallel = 64;
  auto engine = LocalEngine::create(builtin_model(), options);
  ASSERT_FALSE(engine.ok());
  EXPECT_THAT(engine.error().message, ::testing::HasSubstr("--tensor-parallel 64: the model's "));
  options.device = "cpu";
  engine = LocalEngine::create(builtin_model(), options);
  ASSERT_FALSE(engine.ok());
  EXPECT_THAT(engine.error().message, ::testing::HasSubstr("needs --device cuda"));
}

// Every kernel of a forward pass and of sampling, in orders of warps and lanes that differ between
// any two barriers.
TEST(SimtEngine, EveryKernelGivesTheSameBitsInEveryOrderOfThreads) {
  SamplingParams sampling;
  sampling.max_tokens = 3;
  const auto requests =
      make_requests({make_prompt(builtin_model().tokenizer, question(2))}, 5, sampling);
  std::optional<std::map<SampleId, Completion>> first;
  std::vector<float> first_logprobs;
  for (uint64_t seed = 0; seed < 5; ++seed) {
    simt::set_order_seed(seed);
    const auto engine = engine_on(builtin_model(), "simt");
    const auto completions = generate(*engine, requests);
    const auto logprobs = engine->logprobs(requests[0].prompt->token_ids);
    ASSERT_TRUE(logprobs.ok()) << logprobs.error().message;
    if (!first) {
      first = completions;
      first_logprobs = *logprobs;
    }
    EXPECT_TRUE(*logprobs == first_logprobs) << "seed " << seed;
    for (const auto& [id, completion] : completions) {
      EXPECT_EQ(completion.token_ids, first->at(id).token_ids) << "seed " << seed;
      EXPECT_EQ(completion.logprob, first->at(id).logprob) << "seed " << seed;
    }
  }
  simt::set_order_seed(0);
}

TEST_P(CudaEngine, SixtyFourSamplesAreTheSameForEveryBatchLimit) {
  ASSAY_NEED_DEVICE(GetParam());
  SamplingParams sampling;
  sampling.max_tokens = testing::kOptimized ? 10 : 3;
  const int samples = testing::kOptimized ? 64 : 8;
  const auto requests =
      make_requests({make_prompt(builtin_model().tokenizer, question(1))}, samples, sampling);
  const auto all = generate(*engine_on(builtin_model(), GetParam(), 64), requests);
  ASSERT_EQ(all.size(), static_cast<size_t>(samples));
  for (const int batch_size : {1, 7}) {
    const auto some = generate(*engine_on(builtin_model(), GetParam(), batch_size), requests);
    for (const auto& [id, completion] : all) {
      EXPECT_EQ(completion.token_ids, some.at(id).token_ids) << "batches of " << batch_size;
      EXPECT_EQ(completion.logprob, some.at(id).logprob);
    }
  }
}

// Greedy tokens are the largest logit's, sampled ones those of the same random numbers: where the
// devices first differ, their distributions must be the same within the margin, and the two
// tokens' probabilities of a greedy choice too.
TEST_P(CudaEngine, TokensAreTheCpusUpToANearTie) {
  ASSAY_NEED_DEVICE(GetParam());
  const auto cpu = engine_on(builtin_model(), "cpu");
  const auto device = engine_on(builtin_model(), GetParam());
  constexpr double kMargin = 0.02;
  for (const double temperature : {0.0, 0.6}) {
    SamplingParams sampling;
    sampling.temperature = temperature;
    sampling.max_tokens = testing::kOptimized ? 24 : 4;
    std::vector<std::shared_ptr<const Prompt>> prompts;
    for (int i = 0; i < 2; ++i) {
      prompts.push_back(make_prompt(builtin_model().tokenizer, question(i)));
    }
    const auto requests = make_requests(prompts, temperature == 0 ? 1 : 4, sampling);
    const auto expected = generate(*cpu, requests), got = generate(*device, requests);
    ASSERT_EQ(got.size(), requests.size());
    size_t same = 0;
    for (const Request& request : requests) {
      const auto &a = expected.at(request.id).token_ids, &b = got.at(request.id).token_ids;
      const size_t parted = static_cast<size_t>(
          std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
      if (parted == a.size() || parted == b.size()) {
        EXPECT_EQ(a, b);
        ++same;
        continue;
      }
      auto tokens = request.prompt->token_ids;
      tokens.insert(tokens.end(), a.begin(), a.begin() + static_cast<std::ptrdiff_t>(parted));
      EXPECT_LT(difference(*cpu, *device, tokens).largest, kMargin);
      const auto logprobs = cpu->logprobs(tokens);
      ASSERT_TRUE(logprobs.ok());
      const float* last = logprobs->data() + logprobs->size() - logprobs->size() / tokens.size();
      if (temperature == 0) {
        EXPECT_NEAR(last[a[parted]], last[b[parted]], 2 * kMargin);
      }
    }
    std::printf("temperature %.1f: %zu of %zu samples have the CPU's tokens\n", temperature, same,
                requests.size());
    // Near ties are rare.
    EXPECT_GE(2 * same, requests.size());
  }
}

// Samples that were finished before are in the store, nothing of what came after; the run goes on
// from there.
TEST(SimtEngine, ADeviceThatIsLostEndsTheRunWithWhatWasFinished) {
  const testing::TemporaryFolder folder;
  RunOptions options;
  options.model = "builtin";
  options.tasks = {"arithmetic"};
  options.device = "simt";
  options.limit = 2;
  options.num_samples = 3;
  options.max_tokens = 3;
  options.batch_size = 2;
  options.kv_cache_gib = 0.05;
  options.output_dir = folder / "whole";
  const int64_t before = simt::launch_count();
  ASSERT_EQ(run_job(options), kExitDone);
  const int64_t launches = simt::launch_count() - before;
  const auto samples_of = [](const std::string& run) {
    auto store = RunStore::open(run, RunStore::Mode::kRead);
    std::ostringstream out;
    EXPECT_TRUE(store.ok() && export_jsonl(*store, out).ok());
    return out.str();
  };
  const std::string whole = samples_of(options.output_dir);
  options.output_dir = folder / "lost";
  simt::lose_device_after(launches * 2 / 3);
  const auto lost = complete_run(options);
  simt::lose_device_after(-1);
  ASSERT_FALSE(lost.ok());
  EXPECT_THAT(lost.error().message, ::testing::HasSubstr("the device was lost"));
  auto store = RunStore::open(options.output_dir, RunStore::Mode::kRead);
  ASSERT_OK(store);
  const size_t finished = store->sample_ids()->size();
  EXPECT_GE(finished, 1u);
  EXPECT_LT(finished, 6u);
  std::istringstream lines(samples_of(options.output_dir));
  for (std::string line; std::getline(lines, line);) {
    EXPECT_THAT(whole, ::testing::HasSubstr(line + "\n"));
  }
  ASSERT_EQ(run_job(options), kExitDone);
  EXPECT_EQ(samples_of(options.output_dir), whole);
}

TEST(SimtEngine, WhatADeviceDoesNotHaveIsAnErrorThatSaysWhatItHas) {
  LocalEngineOptions options;
  options.device = "simt";
  options.activations = Activations::kInt8;
  auto engine = LocalEngine::create(builtin_model(), options);
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.error().message, "--activations int8: the device simt has bf16x2, bf16");
  options.activations.reset();
  options.kv_cache_gib = 100;
  engine = LocalEngine::create(builtin_model(), options);
  ASSERT_FALSE(engine.ok());
  EXPECT_THAT(engine.error().message,
              ::testing::HasSubstr("the KV cache at least 100.0, of 3.6 GiB that --gpu-memory 0.9 "
                                   "allows of 4.0 free"));
  options.kv_cache_gib = 0;
  options.device = "gpu";
  engine = LocalEngine::create(builtin_model(), options);
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.error().message,
            "--device gpu: must be auto, cpu, cuda, cuda:N, cuda:all, simt or simt:N");
}

// All thirteen types of weights in one model.
TEST_P(CudaEngine, AgreesWithTheCpuOnAModelOfAllTypes) {
  ASSAY_NEED_DEVICE(GetParam());
  const auto model = LocalModel::open(testing::tests_path("cases/mixed/model.gguf"));
  ASSERT_OK(model);
  const Json expected = testing::load_json(testing::tests_path("cases/mixed/expected.json"));
  auto tokens = expected["ids"].get<std::vector<int32_t>>();
  tokens.resize(testing::kOptimized ? 64 : 8);
  const auto cpu = engine_on(**model, "cpu", 64, Activations::kF32);
  const auto simt = engine_on(**model, GetParam());
  const Difference d = difference(*cpu, *simt, tokens);
  std::printf("largest difference %.1e, rms %.1e\n", d.largest, d.rms);
  EXPECT_LT(d.largest, 0.03);
}

TEST_P(CudaEngine, OnSmolLM2IsWithinTheMarginOfTheCpu) {
  ASSAY_NEED_DEVICE(GetParam());
  ASSAY_NEED_SMOLLM2();
  if (!testing::kOptimized) GTEST_SKIP() << "too slow with sanitizers";
  const auto model = LocalModel::open(testing::smollm2_path());
  ASSERT_OK(model);
  const auto tokens = (*model)->tokenizer.encode("The capital of France is Paris.", false);
  const auto cpu = engine_on(**model, "cpu", 64, Activations::kF32);
  const auto simt = engine_on(**model, GetParam());
  const Difference d = difference(*cpu, *simt, tokens);
  std::printf("%zu positions, largest difference %.1e, rms %.1e\n", tokens.size(), d.largest,
              d.rms);
  EXPECT_LT(d.largest, 0.1);
}

}  // namespace
}  // namespace assay
