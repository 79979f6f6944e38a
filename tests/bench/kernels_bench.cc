// Costs of a decode step's parts: `assay_bench --benchmark_filter=…`.
#include <benchmark/benchmark.h>

#include <random>

#include "engine/cpu/cpu_ops.h"
#include "engine/cpu/int_rows.h"
#include "engine/cpu/sampler.h"

namespace assay {
namespace {

// One row of logits as a language model gives them: few likely tokens in a large vocabulary.
void sample_row(benchmark::State& state) {
  const Sampler sampler(*cpu_kernels("auto"));
  std::mt19937 rng(1);
  std::normal_distribution<float> normal(0, 2.5f);
  std::vector<float> logits(static_cast<size_t>(state.range(0)));
  for (float& logit : logits) logit = normal(rng);
  SamplingParams params;
  Sampler::Scratch scratch;
  uint32_t position = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(sampler.sample(logits.data(), static_cast<int>(logits.size()),
                                            {&params, {1, 2}, position++, 0}, scratch));
  }
}
BENCHMARK(sample_row)->Arg(49152)->Arg(151936)->Unit(benchmark::kMicrosecond);

// Multiply-adds of one thread: rows of activations against one unpacked tile.
void product_f32(benchmark::State& state) {
  const CpuKernels& kernels = *cpu_kernels("auto");
  const int rows = static_cast<int>(state.range(0)), count = 256;
  const std::vector<float> w(static_cast<size_t>(32 * count), 1),
      x(static_cast<size_t>(rows * count), 1);
  std::vector<float> out(static_cast<size_t>(32 * rows));
  const F32Tile two[] = {{w.data(), DType::kF32}, {w.data() + 16 * count, DType::kF32}};
  const std::span<const F32Tile> tiles(two);
  for (auto _ : state) {
    kernels.product_f32(tiles, x.data(), count, rows, count, out.data(), 32, false, {});
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * rows * count * 32);
}
BENCHMARK(product_f32)->Arg(1)->Arg(8)->Arg(64);

void product_int(benchmark::State& state) {
  const CpuKernels& kernels = *cpu_kernels("auto");
  const int rows = static_cast<int>(state.range(0)), count = static_cast<int>(state.range(3));
  const bool bf16 = state.range(2) == 0;
  const std::vector<int16_t> q(static_cast<size_t>(32 * count), 1);
  const std::vector<float> scales(static_cast<size_t>(count), 1), x(static_cast<size_t>(count), 1);
  const std::vector<uint8_t> exponents(static_cast<size_t>(count));
  std::vector<float> out(static_cast<size_t>(32 * rows));
  IntRowsBuffer buffer;
  const IntRows& int_rows = buffer.shape(rows, count, state.range(2) != 8, bf16);
  for (int r = 0; r < rows; ++r) kernels.quantize_row(x.data(), r, int_rows);
  const auto group = static_cast<int>(state.range(1));
  const IntTile first = {q.data(), scales.data(), nullptr, group,
                         bf16 ? exponents.data() : nullptr};
  IntTile second = first;
  second.q = q.data() + 16 * count;
  const IntTile two[] = {first, second};
  const std::span<const IntTile> tiles(two);
  for (auto _ : state) {
    kernels.product_int(tiles, int_rows, rows, 0, count, out.data(), 32, false, {});
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * rows * count * 32);
}
// rows, values of a group, bits of an activation (0: 16 for BF16 weights), values of k
BENCHMARK(product_int)
    ->Args({1, 32, 16, 512})
    ->Args({8, 32, 16, 512})
    ->Args({64, 32, 16, 512})
    ->Args({64, 16, 16, 512})
    ->Args({64, 32, 8, 512})
    ->Args({1, 32, 0, 512})
    ->Args({64, 32, 0, 512})
    ->Args({64, 32, 0, 256})
    ->Args({64, 32, 0, 576})
    ->Args({128, 32, 0, 288})
    ->Args({128, 32, 0, 576});

void quantize_row(benchmark::State& state) {
  const CpuKernels& kernels = *cpu_kernels("auto");
  const int64_t columns = 1536;
  std::mt19937 rng(1);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<size_t>(columns));
  for (float& value : x) value = normal(rng);
  IntRowsBuffer buffer;
  const IntRows& rows = buffer.shape(1, columns, state.range(0) == 16);
  for (auto _ : state) {
    kernels.quantize_row(x.data(), 0, rows);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * columns);
}
BENCHMARK(quantize_row)->Arg(16)->Arg(8);

}  // namespace
}  // namespace assay
