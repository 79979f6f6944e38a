// How the CUDA device asks for its work: graphs of steps, draws that are fed to the next step.
#include "engine/cuda/cuda_ops.h"

#include <gtest/gtest.h>

#include "engine/cuda/device.h"
#include "engine/model/transformer.h"
#include "engine/runtime/kv_cache.h"
#include "engine/runtime/local_engine.h"
#include "harness/base/resources.h"
#include "tests/engine/engine_fixture.h"
#include "tests/support.h"

namespace assay {
namespace {

struct Counts {
  int captured = 0, launched = 0;
};

// The emulated device, counting graphs.
class CountingRuntime : public CudaRuntime {
 public:
  explicit CountingRuntime(Counts& counts) : counts_(counts) {}
  std::string name() const override { return device_->name(); }
  const CudaKernels& kernels() const override { return device_->kernels(); }
  CudaStream stream() const override { return device_->stream(); }
  void* allocate(size_t bytes) override { return device_->allocate(bytes); }
  void release(void* data) override { device_->release(data); }
  uint64_t free_bytes() const override { return device_->free_bytes(); }
  void upload_filled(size_t bytes, size_t unit, const Fill& fill, void* device) override {
    device_->upload_filled(bytes, unit, fill, device);
  }
  void upload(const void* host, size_t bytes, void* device) override {
    device_->upload(host, bytes, device);
  }
  void download(const void* device, size_t bytes, void* host) override {
    device_->download(device, bytes, host);
  }
  void copy(const void* from, size_t bytes, void* to) override { device_->copy(from, bytes, to); }
  void start_download(const void* device, size_t bytes) override {
    device_->start_download(device, bytes);
  }
  void finish_download(size_t bytes, void* host) override { device_->finish_download(bytes, host); }
  void begin_capture() override { device_->begin_capture(); }
  std::unique_ptr<CudaGraph> end_capture() override {
    ++counts_.captured;
    return device_->end_capture();
  }
  void launch(CudaGraph& graph) override {
    ++counts_.launched;
    device_->launch(graph);
  }
  void all_gather(const float* x, size_t count, float* out) override {
    device_->all_gather(x, count, out);
  }
  Status load_gemm() override { return device_->load_gemm(); }
  void gemm(const CudaGemm& gemm) override { device_->gemm(gemm); }
  void leave() override { device_->leave(); }
  Status status() override { return device_->status(); }

 private:
  Counts& counts_;
  std::unique_ptr<CudaRuntime> device_ = make_simt_runtime();
};

const LocalModel& builtin_model() {
  static const std::unique_ptr<LocalModel> model =
      std::move(LocalModel::open(*find_resource("engine/builtin"))).value();
  return *model;
}

// Decodes rows of a few sequences from their first token on.
class Decoder {
 public:
  static constexpr int kMostRows = 3;

  explicit Decoder(std::unique_ptr<CudaRuntime> runtime)
      : ops_(make_cuda_ops(std::move(runtime), Activations::kBF16x2)),
        transformer_(builtin_model().files.config, builtin_model().files.weights, *ops_,
                     KvType::kBF16),
        cache_(*ops_, transformer_.page_bytes(), 100),
        vocab_size_(transformer_.config().vocab_size) {
    for (int i = 0; i < kMostRows; ++i) tables_.emplace_back(cache_);
    logits_ = ops_->allocate(static_cast<size_t>(kMostRows * vocab_size_));
  }

  // The logits of `count` sequences at `position`.
  std::vector<float> step(int count, int position) {
    std::vector<BatchRow> rows;
    std::vector<int> wanted;
    for (int i = 0; i < count; ++i) {
      tables_[i].grow_to(position + 1);
      rows.push_back({(7 * position + i) % vocab_size_, position, tables_[i].data()});
      wanted.push_back(i);
    }
    transformer_.forward(rows, wanted, logits_.get());
    std::vector<float> logits(static_cast<size_t>(count * vocab_size_));
    ops_->download(logits_.get(), logits.size(), logits.data());
    EXPECT_TRUE(ops_->status().ok());
    return logits;
  }
  Ops& ops() { return *ops_; }

 private:
  std::unique_ptr<Ops> ops_;
  Transformer transformer_;
  KvCache cache_;
  int vocab_size_;
  std::vector<PageTable> tables_;
  Ops::Buffer logits_;
};

TEST(CudaGraphs, AStepIsCapturedWhenItComesAgainAndGivesTheSameBits) {
  Counts counts;
  Decoder decoder(std::make_unique<CountingRuntime>(counts)), other(make_simt_runtime());
  const int steps = testing::kOptimized ? 40 : 20;  // a second page and a third
  for (int position = 0; position < steps; ++position) {
    other.ops().allocate(16).reset();  // so the other one never uses a graph
    const auto expected = other.step(3, position);
    EXPECT_EQ(decoder.step(3, position), expected) << position;
  }
  EXPECT_EQ(counts.captured, 1);  // a page more is not another graph
  EXPECT_EQ(counts.launched, steps - 1);
}

TEST(CudaGraphs, OfAnotherNumberOfRowsOrAfterMemoryWasGivenBackAreCapturedAgain) {
  Counts counts;
  Decoder decoder(std::make_unique<CountingRuntime>(counts));
  for (const int rows : {3, 2, 3, 2}) decoder.step(rows, 0);
  EXPECT_EQ(counts.captured, 2);
  decoder.ops().allocate(16).reset();
  decoder.step(3, 1);
  EXPECT_EQ(counts.captured, 2);
  decoder.step(3, 2);
  EXPECT_EQ(counts.captured, 3);
}

TEST(CudaGraphs, OfMemoryThatIsGoneAreAFaultInTheEmulator) {
  const auto runtime = make_simt_runtime();
  auto* x = static_cast<float*>(runtime->allocate(4 * sizeof(float)));
  auto* y = static_cast<float*>(runtime->allocate(4 * sizeof(float)));
  auto* rows = static_cast<int32_t*>(runtime->allocate(4 * sizeof(int32_t)));
  const std::vector<int32_t> order = {3, 0, 2, 1};
  runtime->upload(order.data(), 16, rows);
  runtime->begin_capture();
  runtime->kernels().gather(runtime->stream(), y, rows, 4, 1, x);
  const auto graph = runtime->end_capture();
  for (const float first : {1.0f, 5.0f}) {
    const std::vector<float> values = {first, first + 1, first + 2, first + 3};
    runtime->upload(values.data(), 16, y);
    runtime->launch(*graph);
    std::vector<float> gathered(4);
    runtime->download(x, 16, gathered.data());
    EXPECT_EQ(gathered, (std::vector<float>{first + 3, first, first + 2, first + 1}));
  }
  EXPECT_TRUE(runtime->status().ok());
  runtime->release(y);
  runtime->launch(*graph);
  EXPECT_FALSE(runtime->status().ok());
  runtime->release(x);
  runtime->release(rows);
}

TEST(CudaOps, TokensOfADrawGoIntoTheNextBatchBeforeTheyAreCollected) {
  const auto ops = make_cuda_ops(make_simt_runtime(), Activations::kBF16x2);
  const std::vector<float> table = {0, 10, 20, 30, 40};  // row i is 10 i
  const Weight weight{reinterpret_cast<const uint8_t*>(table.data()), DType::kF32, 5, 1};
  const auto packed = ops->pack(weight);
  std::vector<float> logits(15, 0.0f);
  logits[0 + 3] = logits[5 + 1] = 9;
  std::fill(logits.begin() + 10, logits.end(), NAN);  // no token can be drawn: 0 stands in
  const auto device_logits = ops->allocate(15), out = ops->allocate(4);
  ops->upload(logits.data(), 15, device_logits.get());
  SamplingParams greedy;
  greedy.temperature = 0;
  const std::vector<SampleRow> draws(3, {&greedy, {1, 2}, 0, 0});
  ops->sample(device_logits.get(), 5, draws);
  std::byte* no_pages = nullptr;
  const std::vector<BatchRow> rows = {{token_of_draw(1), 0, &no_pages},
                                      {4, 0, &no_pages},
                                      {token_of_draw(0), 0, &no_pages},
                                      {token_of_draw(2), 0, &no_pages}};
  ops->begin({rows, {}, 1});
  ops->embed(weight, packed.get(), out.get());
  ops->sample(device_logits.get(), 5, std::span(draws).first(1));
  std::vector<SampledToken> first(3), second(1);
  ops->collect(first);
  ops->collect(second);
  std::vector<float> embedded(4);
  ops->download(out.get(), 4, embedded.data());
  EXPECT_EQ(embedded, (std::vector<float>{10, 40, 30, 0}));
  EXPECT_EQ(first[0].token, 3);
  EXPECT_EQ(first[1].token, 1);
  EXPECT_EQ(first[2].token, -1);
  EXPECT_EQ(second[0].token, 3);
  ASSERT_OK(ops->status());
}

// Sequences end at their limit, at a stop string and when pages run out, while a step that they are
// in is under way.
TEST(CudaOps, SequencesThatEndWhileAStepIsUnderWayLeaveTheOthersTokensAsTheyAre) {
  const auto engine = [](double kv_cache_gib, int batch_size) {
    LocalEngineOptions options;
    options.device = "simt";
    options.batch_size = batch_size;
    options.kv_cache_gib = kv_cache_gib;
    return std::move(LocalEngine::create(builtin_model(), options)).value();
  };
  const std::string text =
      "<|im_start|>user\nWhat is 12 + 5?<|im_end|>\n<|im_start|>assistant\n<think>\n</think>\n";
  std::vector<Request> requests;
  const auto prompt = testing::make_prompt(builtin_model().tokenizer, text, false);
  for (const int max_tokens : {1, 2, 18, 50, 54}) {
    SamplingParams sampling;
    sampling.max_tokens = max_tokens;
    if (max_tokens == 18) sampling.stop = {"1", "="};
    for (Request& request : testing::make_requests({prompt}, 2, sampling)) {
      request.id.suite = "limit" + std::to_string(max_tokens);
      requests.push_back(std::move(request));
    }
  }
  const auto expected = testing::generate(*engine(0.1, 10), requests);  // all at once
  ASSERT_EQ(expected.size(), 10u);
  const double page_gib = static_cast<double>(engine(0.1, 1)->kv_cache_bytes(0, 1)) / 0x1p30;
  const auto tight = engine(7 * page_gib, 5);
  const auto found = testing::generate(*tight, requests);
  EXPECT_GT(tight->stats().preemptions, 0u);
  std::map<FinishReason, int> reasons;
  for (const auto& [id, completion] : expected) {
    EXPECT_EQ(completion.token_ids, found.at(id).token_ids) << id.suite;
    EXPECT_EQ(completion.text, found.at(id).text);
    EXPECT_EQ(completion.logprob, found.at(id).logprob);
    EXPECT_EQ(completion.finish_reason, found.at(id).finish_reason);
    ++reasons[completion.finish_reason];
  }
  EXPECT_GE(reasons[FinishReason::kStop], 2);
  EXPECT_GE(reasons[FinishReason::kLength], 4);
}

}  // namespace
}  // namespace assay
