// Norms, gated units, sampling and log-probabilities on every device. References are plain loops in
// f64.
#include <algorithm>
#include <cmath>

#include "engine/cpu/sampler.h"
#include "engine/cuda/simt/block.h"
#include "tests/engine/ops_fixture.h"

namespace assay {
namespace {

using testing::OpsTest;
using testing::random_floats;
using testing::random_weight;

INSTANTIATE_TEST_SUITE_P(Device, OpsTest, ::testing::ValuesIn(testing::kDevices),
                         testing::device_name);

TEST_P(OpsTest, NormsGatedUnitsAndSumsAreThoseOfTheirFormulas) {
  for (const int width : {1, 33, 128, 576, 8259, 16384}) {
    const int rows = 5;
    const size_t size = static_cast<size_t>(rows * width);
    const auto x = random_floats(size, 1), y = random_floats(size, 2, 4);
    const auto scale = random_floats(static_cast<size_t>(width), 3);
    const auto device_x = on_device(x), device_y = on_device(y), device_scale = on_device(scale);
    const auto out = ops_->allocate(size);
    ops_->rms_norm(device_x.get(), device_scale.get(), 1e-5f, rows, width, out.get());
    const auto norm = from_device(out, size);
    const std::vector<int> wanted = {4, 0};
    std::byte* no_pages = nullptr;
    const auto gathered_memory = ops_->allocate(2 * static_cast<size_t>(width));
    const std::vector<BatchRow> no_rows(5, BatchRow{0, 0, &no_pages});
    ops_->begin({no_rows, wanted, 1});
    ops_->gather(device_x.get(), width, gathered_memory.get());
    const auto gathered = from_device(gathered_memory, 2 * static_cast<size_t>(width));
    EXPECT_TRUE(std::equal(gathered.begin(), gathered.begin() + width, x.begin() + 4 * width));
    EXPECT_TRUE(std::equal(gathered.begin() + width, gathered.end(), x.begin()));
    const auto gate = on_device(x);
    ops_->swiglu(gate.get(), device_y.get(), rows, width);
    const auto gated = from_device(gate, size);
    const auto own_x = on_device(x);
    ops_->add_rms_norm(own_x.get(), device_y.get(), device_scale.get(), 1e-5f, rows, width,
                       out.get());
    const auto fused_sum = from_device(own_x, size), fused_norm = from_device(out, size);
    std::vector<float> sum = x;
    for (size_t i = 0; i < size; ++i) sum[i] += y[i];
    ops_->rms_norm(on_device(sum).get(), device_scale.get(), 1e-5f, rows, width, out.get());
    EXPECT_EQ(fused_sum, sum);
    EXPECT_EQ(fused_norm, from_device(out, size));
    for (int r = 0; r < rows; ++r) {
      double squares = 0;
      for (int i = 0; i < width; ++i) squares += double{x[r * width + i]} * x[r * width + i];
      for (int i = 0; i < width; ++i) {
        const int at = r * width + i;
        const double normed = x[at] / std::sqrt(squares / width + 1e-5) * scale[i];
        EXPECT_NEAR(norm[at], normed, 1e-6 * std::abs(normed));
        const double silu = x[at] / (1 + std::exp(-double{x[at]})) * y[at];
        EXPECT_NEAR(gated[at], silu, 1e-6 * std::abs(silu));
        EXPECT_EQ(sum[at], x[at] + y[at]);
      }
    }
  }
}

TEST_P(OpsTest, SamplingDrawsTheTokensOfTheReferenceSampler) {
  const Sampler reference(*cpu_kernels("portable"));
  Sampler::Scratch scratch;
  std::vector<SamplingParams> all;
  const auto add = [&](double temperature, double top_p, int top_k, double min_p) {
    SamplingParams params;
    params.temperature = temperature;
    params.top_p = top_p;
    params.top_k = top_k;
    params.min_p = min_p;
    all.push_back(params);
  };
  add(0, 1, 0, 0);
  add(0.6, 0.95, 0, 0);
  add(1, 1, 0, 0);
  add(1, 0.5, 0, 0);
  add(1.5, 0.9, 40, 0.02);
  add(0.7, 1, 1, 0);
  add(1, 0.999999, 0, 0);
  add(2, 1, 5, 0);
  add(1, 1, 0, 0.3);
  for (const int vocab_size : {5, 512, 3001, 32000, 152064}) {
    if (!testing::kOptimized && vocab_size > 3001) continue;
    const int draws = !testing::kOptimized || vocab_size > 3001 ? 1 : 20;
    for (const float spread : {0.0f, 0.5f, 3.0f}) {  // 0: all equal
      auto logits = random_floats(static_cast<size_t>(vocab_size), 6, spread);
      if (spread == 0.5f) {  // many equal ones
        for (float& logit : logits) logit = std::round(logit * 4) / 4;
      }
      std::vector<SampleRow> rows;
      std::vector<float> repeated;
      for (const SamplingParams& params : all) {
        for (int i = 0; i < draws; ++i) {
          rows.push_back({&params, {1, 2}, static_cast<uint32_t>(i), 3});
          repeated.insert(repeated.end(), logits.begin(), logits.end());
        }
      }
      const auto device_logits = on_device(repeated);
      std::vector<SampledToken> drawn(rows.size());
      ops_->sample(device_logits.get(), vocab_size, rows);
      ops_->collect(drawn);
      for (size_t r = 0; r < rows.size(); ++r) {
        const SampledToken expected = reference.sample(logits.data(), vocab_size, rows[r], scratch);
        const SamplingParams& params = *rows[r].params;
        EXPECT_EQ(drawn[r].token, expected.token)
            << "vocabulary " << vocab_size << ", spread " << spread << ", temperature "
            << params.temperature << ", top_p " << params.top_p << ", top_k " << params.top_k
            << ", min_p " << params.min_p;
        EXPECT_EQ(drawn[r].logprob, expected.logprob);
      }
    }
  }
}

TEST_P(OpsTest, LogitsThatAreNotFiniteGiveNoToken) {
  SamplingParams params;
  const std::vector<SampleRow> rows(3, {&params, {1, 2}, 0, 0});
  std::vector<float> logits(3 * 64, 0.5f);
  logits[10] = NAN;
  logits[64 + 10] = INFINITY;
  std::fill(logits.begin() + 128, logits.end(), -INFINITY);
  std::vector<SampledToken> drawn(3);
  ops_->sample(on_device(logits).get(), 64, rows);
  ops_->collect(drawn);
  for (const SampledToken& one : drawn) EXPECT_EQ(one.token, -1);
}

TEST_P(OpsTest, LogSoftmaxIsNormalised) {
  const int width = 2500;
  const auto x = random_floats(3 * width, 9, 3);
  const auto device_x = on_device(x);
  ops_->log_softmax(device_x.get(), 3, width);
  const auto result = from_device(device_x, x.size());
  for (int r = 0; r < 3; ++r) {
    double total = 0;
    for (int i = 0; i < width; ++i) total += std::exp(double{x[r * width + i]});
    for (int i = 0; i < width; ++i) {
      EXPECT_NEAR(result[r * width + i], x[r * width + i] - std::log(total), 2e-6);
    }
  }
}

TEST_P(OpsTest, TokensLogprobsAreThoseOfTheSoftmax) {
  for (const int width : {1, 1000, 32000}) {
    if (!testing::kOptimized && width > 1000) continue;
    const auto x = random_floats(static_cast<size_t>(3 * width), 9, 3);
    const std::vector<int32_t> tokens = {width - 1, 0, width / 2};
    std::vector<double> logprobs(3);
    ops_->token_logprobs(on_device(x).get(), width, tokens, logprobs.data());
    for (int r = 0; r < 3; ++r) {
      double total = 0;
      for (int i = 0; i < width; ++i) total += std::exp(double{x[r * width + i]});
      EXPECT_NEAR(logprobs[r], x[r * width + tokens[r]] - std::log(total), 1e-6);
    }
  }
}

// From a millionth of a nat, where a sum of p · log(p / q) in f32 would have no right digit, to
// distributions that hardly meet.
TEST_P(OpsTest, TheDivergenceOfTwoRowsIsRightToItsLastDigitsHoweverSmall) {
  const int width = testing::kOptimized ? 32000 : 1000;
  for (const float apart : {0.0f, 1e-3f, 0.1f, 3.0f, 40.0f}) {
    auto x = random_floats(static_cast<size_t>(2 * width), 9, 3);
    const auto noise = random_floats(static_cast<size_t>(2 * width), 10, apart);
    auto y = x;
    for (size_t i = 0; i < y.size(); ++i) y[i] += noise[i] + 5;
    x[10] = -INFINITY;  // neither can be drawn
    y[10] = -200;
    std::vector<LogitsDifference> found(2);
    ops_->compare_logits(on_device(x).get(), on_device(y).get(), width, found);
    for (int r = 0; r < 2; ++r) {
      const float *p = x.data() + r * width, *q = y.data() + r * width;
      long double p_total = 0, q_total = 0, sum = 0;
      for (int i = 0; i < width; ++i) p_total += std::exp(static_cast<long double>(p[i]));
      for (int i = 0; i < width; ++i) q_total += std::exp(static_cast<long double>(q[i]));
      for (int i = 0; i < width; ++i) {
        if (std::isinf(p[i])) continue;
        const long double log_p = p[i] - std::log(p_total), log_q = q[i] - std::log(q_total);
        sum += std::exp(log_p) * (log_p - log_q);
      }
      const auto expected = static_cast<double>(sum);
      EXPECT_NEAR(found[r].kl_divergence, expected, 1e-5 * expected + 1e-12) << apart;
      EXPECT_EQ(found[r].best, std::max_element(p, p + width) - p);
      EXPECT_EQ(found[r].other_best, std::max_element(q, q + width) - q);
    }
  }
}

// Each kernel and each of its types, in four orders.
TEST(Simt, EveryOpIsTheSameInEveryOrderOfThreads) {
  std::vector<std::vector<float>> results;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    simt::set_order_seed(seed);
    const auto ops = make_cuda_ops(make_simt_runtime(), Activations::kBF16x2, true);
    std::vector<float>& result = results.emplace_back();
    const auto keep = [&](const Ops::Buffer& buffer, size_t count) {
      result.resize(result.size() + count);
      ops->download(buffer.get(), count, result.data() + result.size() - count);
    };
    const auto upload = [&](const std::vector<float>& values) {
      Ops::Buffer buffer = ops->allocate(values.size());
      ops->upload(values.data(), values.size(), buffer.get());
      return buffer;
    };
    const auto x = upload(random_floats(9 * 512, 4));
    const auto out = ops->allocate(9 * 512);
    std::byte* no_pages = nullptr;
    const std::vector<BatchRow> embedded = {{3, 0, &no_pages}, {39, 0, &no_pages}};
    for (const TypeInfo& type : kTypes) {
      const auto bytes = random_weight(type.dtype, 40, 512, 3);
      const Weight weight{bytes.data(), type.dtype, 40, 512};
      const auto packed = ops->pack(weight);
      const Product products[] = {{packed.get(), nullptr, out.get()}};
      ops->matmul(x.get(), 9, products);
      keep(out, 9 * 40);
      ops->begin({embedded, {}, 1});
      ops->embed(weight, packed.get(), out.get());
      keep(out, 2 * 512);
    }
    for (const int head_dim : {32, 64, 96, 128}) {
      for (const KvType type : {KvType::kBF16, KvType::kInt8}) {
        const KvLayout kv{type, 2, head_dim};
        const auto pages = ops->allocate(3 * kv.size_bytes() / sizeof(float));
        std::vector<std::byte*> table;
        for (int i = 0; i < 3; ++i) {
          table.push_back(reinterpret_cast<std::byte*>(pages.get()) + kv.size_bytes() * i);
        }
        std::vector<BatchRow> rows;
        for (int t = 0; t < 40; ++t) rows.push_back({0, t, table.data()});
        const size_t width = static_cast<size_t>(2 * head_dim);
        const auto k = upload(random_floats(40 * width, 5)),
                   v = upload(random_floats(40 * width, 6));
        const auto q = upload(random_floats(40 * 2 * width, 7));
        const auto angles = upload(random_floats(40 * static_cast<size_t>(head_dim), 8));
        const auto attended = ops->allocate(40 * 2 * width);
        ops->begin({rows, {}, 2});
        ops->rope_and_store(q.get(), k.get(), v.get(), angles.get(), 4, RopePairs::kHalves, kv, 0);
        ops->attention(q.get(), 4, kv, 0, attended.get());
        keep(attended, 40 * 2 * width);
      }
    }
    SamplingParams params;
    params.top_k = 50;
    params.min_p = 0.01;
    const std::vector<SampleRow> draws(3, {&params, {1, 2}, static_cast<uint32_t>(7), 0});
    std::vector<SampledToken> drawn(3);
    ops->sample(x.get(), 1500, draws);
    ops->collect(drawn);
    for (const SampledToken& token : drawn) result.push_back(static_cast<float>(token.token));
    const std::vector<int32_t> tokens = {0, 700, 1499};
    std::vector<double> logprobs(3);
    ops->token_logprobs(x.get(), 1500, tokens, logprobs.data());
    std::vector<LogitsDifference> differences(1);
    ops->compare_logits(x.get(), x.get() + 2000, 1500, differences);
    for (const double value : logprobs) result.push_back(static_cast<float>(value));
    result.push_back(static_cast<float>(differences[0].kl_divergence));
    ops->log_softmax(x.get(), 3, 1500);
    keep(x, 3 * 1500);
    ASSERT_OK(ops->status());
    EXPECT_EQ(results.back(), results.front()) << "seed " << seed;
  }
  simt::set_order_seed(0);
}

}  // namespace
}  // namespace assay
