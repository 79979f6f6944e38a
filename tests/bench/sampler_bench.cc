// Costs of a decode step's parts: `assay_bench --benchmark_filter=…`.
#include <benchmark/benchmark.h>

#include <random>

#include "engine/cpu/cpu_ops.h"
#include "engine/cpu/kernels.h"
#include "engine/runtime/sampler.h"

namespace assay {
namespace {

// One row of logits as a language model gives them: few likely tokens in a large vocabulary.
void sample_row(benchmark::State& state) {
  const auto ops = make_cpu_ops({1, "auto"});
  const Sampler sampler(**ops);
  std::mt19937 rng(1);
  std::normal_distribution<float> normal(0, 2.5f);
  std::vector<float> logits(static_cast<size_t>(state.range(0)));
  for (float& logit : logits) logit = normal(rng);
  SamplingParams params;
  Sampler::Scratch scratch;
  uint32_t position = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(sampler.sample(logits.data(), static_cast<int>(logits.size()), params,
                                            {1, 2}, position++, 0, scratch));
  }
}
BENCHMARK(sample_row)->Arg(49152)->Arg(151936)->Unit(benchmark::kMicrosecond);

// Multiply-adds of one thread: rows of activations against one unpacked tile.
void product_f32(benchmark::State& state) {
  const CpuKernels& kernels = *cpu_kernels("auto");
  const int rows = static_cast<int>(state.range(0)), count = 256;
  std::vector<float> w(16 * count, 1), x(static_cast<size_t>(rows * count), 1),
      out(static_cast<size_t>(16 * rows));
  for (auto _ : state) {
    kernels.product_f32(w.data(), 16, x.data(), count, rows, count, out.data(), 16, false);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * rows * count * 16);
}
BENCHMARK(product_f32)->Arg(1)->Arg(8)->Arg(64);

void product_int(benchmark::State& state) {
  const CpuKernels& kernels = *cpu_kernels("auto");
  const int rows = static_cast<int>(state.range(0)), count = 512;
  std::vector<int16_t> q(16 * count, 1), a(static_cast<size_t>(rows * count), 1);
  std::vector<float> scales(16 * count / 16, 1), a_scales(a.size() / 16, 1), sums(a.size(), 1),
      out(static_cast<size_t>(16 * rows));
  const IntTile tile = {q.data(), scales.data(), nullptr, static_cast<int>(state.range(1))};
  const IntRows x = {count, a.data(), a_scales.data(), sums.data(), nullptr, nullptr};
  for (auto _ : state) {
    kernels.product_int(tile, x, rows, 0, count, out.data(), 16, false);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * rows * count * 16);
}
BENCHMARK(product_int)->Args({1, 32})->Args({8, 32})->Args({64, 32})->Args({64, 16});

}  // namespace
}  // namespace assay
