// The runtime on the built-in model: the same tokens whatever runs beside them.
#include "engine/runtime/local_engine.h"

#include <gmock/gmock.h>

#include "engine/cpu/kernels.h"
#include "harness/base/resources.h"
#include "tests/engine/engine_fixture.h"

namespace assay {
namespace {

using testing::generate;
using ::testing::HasSubstr;
using testing::make_prompt;
using testing::make_requests;

constexpr int kSamples = testing::kOptimized ? 64 : 4;

class BuiltinEngine : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto model = LocalModel::open(*find_resource("engine/builtin"));
    ASSERT_OK(model);
    model_ = std::move(model).value().release();
  }

  static std::unique_ptr<LocalEngine> engine(int threads = 1, int batch_size = 64,
                                             const std::string& isa = "auto",
                                             double kv_cache_gib = 0.5) {
    LocalEngineOptions options;
    options.threads = threads;
    options.cpu_isa = isa;
    options.batch_size = batch_size;
    options.kv_cache_gib = kv_cache_gib;
    auto created = LocalEngine::create(*model_, options);
    EXPECT_TRUE(created.ok());
    return std::move(created).value();
  }

  static std::vector<std::shared_ptr<const Prompt>> prompts(int count) {
    std::vector<std::shared_ptr<const Prompt>> out;
    for (const Json& row :
         testing::load_jsonl(testing::tests_path("../datasets/samples/arithmetic.jsonl"))) {
      if (static_cast<int>(out.size()) == count) break;
      out.push_back(make_prompt(
          model_->tokenizer, "<|im_start|>user\n" + row["question"].get<std::string>() +
                                 "\nPlease reason step by step, and put your final answer within "
                                 "\\boxed{}.<|im_end|>\n<|im_start|>assistant\n<think>\n"));
    }
    return out;
  }

  static SamplingParams sampling(int max_tokens = 96) {
    SamplingParams params;
    params.max_tokens = max_tokens;
    return params;
  }

  static void expect_same(const std::map<SampleId, Completion>& a,
                          const std::map<SampleId, Completion>& b, const std::string& what) {
    ASSERT_EQ(a.size(), b.size()) << what;
    int different = 0;
    for (const auto& [id, completion] : a) {
      const Completion& other = b.at(id);
      different += completion.token_ids != other.token_ids || completion.text != other.text ||
                   completion.logprob != other.logprob;
    }
    EXPECT_EQ(different, 0) << what;
  }

  static LocalModel* model_;
};
LocalModel* BuiltinEngine::model_ = nullptr;

TEST_F(BuiltinEngine, SixtyFourSamplesOfTenQuestionsDoNotDependOnHowTheyAreRun) {
  const auto requests = make_requests(prompts(10), kSamples, sampling());
  const auto reference = generate(*engine(), requests);
  ASSERT_EQ(reference.size(), 10u * kSamples);
  expect_same(reference, generate(*engine(2), requests), "2 threads");
  expect_same(reference, generate(*engine(1, 1), requests), "batch of 1");
  expect_same(reference, generate(*engine(2, 7), requests), "batch of 7");
  for (const CpuKernels* kernels : available_cpu_kernels()) {
    if (std::string(kernels->isa) == "portable") continue;  // slow; a smaller test has it
    expect_same(reference, generate(*engine(2, 64, kernels->isa), requests), kernels->isa);
  }
  auto reversed = requests;
  std::reverse(reversed.begin(), reversed.end());
  expect_same(reference, generate(*engine(2, 33), reversed), "in reverse order");
}

TEST_F(BuiltinEngine, ThePortableKernelsGiveTheSameTokens) {
  const auto requests = make_requests(prompts(3), 4, sampling(32));
  expect_same(generate(*engine(), requests), generate(*engine(2, 5, "portable"), requests),
              "portable");
}

TEST_F(BuiltinEngine, PreemptedSequencesEndWithTheSameTokens) {
  const auto requests = make_requests(prompts(10), kSamples, sampling());
  const auto reference = generate(*engine(), requests);
  const auto layer_bytes = static_cast<double>(KvLayout{KvType::kFixed16, 2, 32}.size_bytes());
  const double page_gib = 4 * layer_bytes / (1 << 30);
  // Room for a handful of sequences at a time.
  const int pages = testing::kOptimized ? 70 : 20;
  const auto tight = engine(2, 64, "auto", pages * page_gib);
  expect_same(reference, generate(*tight, requests), "few pages");
  EXPECT_GT(tight->stats().preemptions, testing::kOptimized ? 50u : 0u);
  EXPECT_GT(tight->stats().recomputed_tokens, testing::kOptimized ? 1000u : 0u);
  EXPECT_EQ(tight->stats().generated_tokens, [&] {
    uint64_t tokens = 0;
    for (const auto& [id, completion] : reference) tokens += completion.token_ids.size();
    return tokens;
  }());
  std::printf("%d pages: %llu preemptions, %llu tokens recomputed\n", pages,
              static_cast<unsigned long long>(tight->stats().preemptions),
              static_cast<unsigned long long>(tight->stats().recomputed_tokens));
}

TEST_F(BuiltinEngine, APromptIsPrefilledOnceForAllItsSamples) {
  const auto all = prompts(3);
  const auto local = engine();
  generate(*local, make_requests(all, 64, sampling(16)));
  uint64_t tokens = 0;
  for (const auto& prompt : all) tokens += prompt->token_ids.size();
  EXPECT_EQ(local->stats().prefill_tokens, tokens);
}

TEST_F(BuiltinEngine, SamplesDependOnSeedItemAndIndex) {
  const auto local = engine();
  SamplingParams hot = sampling(24);
  hot.temperature = 4;
  hot.top_p = 1;
  const auto first = generate(*local, make_requests(prompts(1), 3, hot, 1));
  const auto second = generate(*local, make_requests(prompts(1), 3, hot, 2));
  EXPECT_NE(first.at({"test", "0", 0}).token_ids, first.at({"test", "0", 1}).token_ids);
  EXPECT_NE(first.at({"test", "0", 0}).token_ids, second.at({"test", "0", 0}).token_ids);
}

TEST_F(BuiltinEngine, TheTokenLimitEndsASequenceAsLength) {
  const auto completions = generate(*engine(), make_requests(prompts(1), 2, sampling(5)));
  for (const auto& [id, completion] : completions) {
    EXPECT_EQ(completion.finish_reason, FinishReason::kLength);
    EXPECT_EQ(completion.token_ids.size(), 5u);
  }
}

TEST_F(BuiltinEngine, TheContextEndsASequenceAsLength) {
  std::string text = "<|im_start|>user\n";
  while (model_->tokenizer.encode(text, true).size() < 1020) text += "7";
  const auto prompt = make_prompt(model_->tokenizer, text);
  const auto completions = generate(*engine(), make_requests({prompt}, 1, sampling(500)));
  const Completion& completion = completions.begin()->second;
  EXPECT_LE(prompt->token_ids.size() + completion.token_ids.size(), 1024u);
}

TEST_F(BuiltinEngine, APromptBeyondTheContextIsAnErrorOfThatSampleAlone) {
  auto all = prompts(1);
  all.push_back(make_prompt(model_->tokenizer, std::string(3000, '7')));
  const auto completions = generate(*engine(), make_requests(all, 1, sampling()));
  EXPECT_EQ(completions.at({"test", "0", 0}).finish_reason, FinishReason::kStop);
  EXPECT_EQ(completions.at({"test", "1", 0}).finish_reason, FinishReason::kError);
  EXPECT_THAT(completions.at({"test", "1", 0}).error, HasSubstr("the model's context is 1024"));
}

TEST_F(BuiltinEngine, AKvCacheTooSmallForOneSequenceIsAnErrorThatSaysWhatToDo) {
  const auto completions =
      generate(*engine(1, 4, "auto", 1e-9), make_requests(prompts(2), 2, sampling()));
  ASSERT_EQ(completions.size(), 4u);
  for (const auto& [id, completion] : completions) {
    EXPECT_EQ(completion.finish_reason, FinishReason::kError);
    EXPECT_THAT(completion.error, HasSubstr("--kv-cache-gib"));
  }
}

TEST_F(BuiltinEngine, StopStringsAreOnlyLookedForAfterTheThought) {
  SamplingParams params = sampling();
  params.temperature = 0;
  const auto plain = generate(*engine(), make_requests(prompts(1), 1, params));
  const std::string text = plain.begin()->second.text;
  ASSERT_THAT(text, HasSubstr("</think>"));
  ASSERT_THAT(text, HasSubstr("answer is"));
  params.stop = {"=", "answer"};  // "=" stands in the thought, "answer" behind it
  const auto stopped = generate(*engine(), make_requests(prompts(1), 1, params));
  const Completion& completion = stopped.begin()->second;
  EXPECT_EQ(completion.finish_reason, FinishReason::kStop);
  EXPECT_EQ(completion.text, text.substr(0, text.find("answer")));
  auto outside = make_prompt(model_->tokenizer, prompts(1)[0]->text, false);
  const auto no_thought = generate(*engine(), make_requests({outside}, 1, params));
  EXPECT_EQ(no_thought.begin()->second.text, text.substr(0, text.find('=')));
}

TEST_F(BuiltinEngine, AStopBetweenStepsDeliversOnlyWholeCompletions) {
  class StoppingSink : public testing::MapSink {
   public:
    explicit StoppingSink(std::atomic<bool>& stop) : stop_(stop) {}
    Status accept(Completion completion) override {
      if (completions.size() == 9) stop_ = true;
      return MapSink::accept(std::move(completion));
    }

   private:
    std::atomic<bool>& stop_;
  };
  const auto requests = make_requests(prompts(4), 16, sampling());
  const auto reference = generate(*engine(), requests);
  std::atomic<bool> stop{false};
  StoppingSink sink(stop);
  testing::ListSource source(requests);
  ASSERT_OK(engine()->generate(source, sink, stop));
  EXPECT_GE(sink.completions.size(), 10u);
  EXPECT_LT(sink.completions.size(), 64u);
  for (const auto& [id, completion] : sink.completions) {
    EXPECT_EQ(completion.token_ids, reference.at(id).token_ids);
  }
}

TEST(TinyQwen2, RandomWeightsFromSafetensorsGiveTheLogprobsOfTransformers) {
  auto model = LocalModel::open(testing::tests_path("cases/tiny_qwen2"));
  ASSERT_OK(model);
  const Json expected = testing::load_json(testing::tests_path("cases/tiny_qwen2/expected.json"));
  const auto ids = expected["ids"].get<std::vector<int32_t>>();
  for (const CpuKernels* kernels : available_cpu_kernels()) {
    LocalEngineOptions options;
    options.threads = 1;
    options.cpu_isa = kernels->isa;
    options.activations = Activations::kF32;
    options.kv_cache = KvType::kF32;
    options.kv_cache_gib = 0.1;
    auto local = LocalEngine::create(**model, options);
    ASSERT_OK(local);
    const auto logprobs = (*local)->logprobs(ids);
    ASSERT_OK(logprobs);
    const size_t vocab_size = logprobs->size() / ids.size();
    double worst = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      worst = std::max(worst, std::abs((*logprobs)[i * vocab_size + ids[i + 1]] -
                                       expected["next_logprobs"][i].get<double>()));
    }
    for (size_t p = 0; p < expected["top20"].size(); ++p) {
      for (const Json& entry : expected["top20"][p]) {
        const double ours = (*logprobs)[10 * p * vocab_size + entry[0].get<size_t>()];
        worst = std::max(worst, std::abs(ours - entry[1].get<double>()));
      }
    }
    std::printf("%s: largest difference %.2e\n", kernels->isa, worst);
    EXPECT_LT(worst, 2e-4);
  }
}

}  // namespace
}  // namespace assay
