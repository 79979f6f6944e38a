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

// Multiply-adds of one thread for x rows against a tile of widened weights.
void dot_tile(benchmark::State& state) {
  const CpuKernels& kernels = *cpu_kernels("auto");
  const int rows = static_cast<int>(state.range(0)), width = static_cast<int>(state.range(1));
  std::vector<float> w(static_cast<size_t>(24 * width), 1), x(static_cast<size_t>(rows * width), 1),
      out(static_cast<size_t>(24 * rows));
  for (auto _ : state) {
    kernels.dot_tile(w.data(), 24, width, x.data(), rows, width, width, out.data(), 24);
    benchmark::ClobberMemory();
  }
  state.counters["mac/s"] = benchmark::Counter(
      24.0 * rows * width * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}
BENCHMARK(dot_tile)->Args({1, 576})->Args({64, 576})->Args({64, 1536});

}  // namespace
}  // namespace assay
