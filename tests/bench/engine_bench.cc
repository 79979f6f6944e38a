// Tokens a second of a whole model, as llama.cpp's llama-batched-bench counts them: one prompt that
// all sequences share, then steps in which every sequence gets one token, sampled at T 0.6, top-p
// 0.95. Arguments: sequences, prompt tokens, generated tokens, and tokens that each sequence has of
// its own when it begins, which are copies of the prompt's.
//   ASSAY_BENCH_MODEL=model.gguf [ASSAY_BENCH_DEVICE=cpu|cuda|simt] [ASSAY_BENCH_ACTIVATIONS=…]
//   [ASSAY_BENCH_KV=…] [ASSAY_BENCH_THREADS=2] assay_bench --benchmark_filter=Engine
// The model may be R1-Distill-Qwen-1.5B:Q4_K, of random weights in a published model's shape.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>

#include "engine/cpu/cpu_ops.h"
#include "engine/cuda/cuda_ops.h"
#include "engine/runtime/kv_cache.h"
#include "engine/runtime/local_engine.h"
#include "harness/base/resources.h"
#include "tests/bench/shape_model.h"

namespace assay {
namespace {

std::string setting(const char* name, const std::string& fallback) {
  const char* value = std::getenv(name);
  return value == nullptr ? fallback : value;
}

template <typename Enum>
Enum choice(const char* name, const char* fallback, std::span<const std::string_view> names) {
  const std::string value = setting(name, fallback);
  return static_cast<Enum>(std::find(names.begin(), names.end(), value) - names.begin());
}

struct Bench {
  Bench() {
    const std::string name = setting("ASSAY_BENCH_MODEL", find_resource("engine/builtin").value());
    const std::string device = setting("ASSAY_BENCH_DEVICE", "cpu");
    shape = testing::ShapeModel::named(name);
    if (!shape) model = std::move(LocalModel::open(name)).value();
    const bool cpu = device == "cpu";
    const auto activations = choice<Activations>("ASSAY_BENCH_ACTIVATIONS",
                                                 cpu ? "fixed16" : "bf16x2", kActivationNames);
    if (cpu) {
      const int threads = std::stoi(setting("ASSAY_BENCH_THREADS", "2"));
      ops = std::move(make_cpu_ops({threads, "auto", activations})).value();
    } else {
      auto runtime =
          device == "simt" ? make_simt_runtime() : std::move(make_gpu_runtime(0)).value();
      ops = make_cuda_ops(std::move(runtime), activations);
    }
    transformer = std::make_unique<Transformer>(
        shape ? shape->config : model->files.config, shape ? shape->weights : model->files.weights,
        *ops, choice<KvType>("ASSAY_BENCH_KV", cpu ? "fixed16" : "bf16", kKvTypeNames));
    transformer->load();
  }
  static Bench& get() {
    static Bench bench;
    return bench;
  }

  std::optional<testing::ShapeModel> shape;
  std::unique_ptr<LocalModel> model;
  std::unique_ptr<Ops> ops;
  std::unique_ptr<Transformer> transformer;
};

std::vector<BatchRow> prompt_rows(const PageTable& pages, int count, int vocab_size) {
  std::vector<BatchRow> rows;
  for (int i = 0; i < count; ++i) rows.push_back({(i * 7919 + 11) % vocab_size, i, pages.data()});
  return rows;
}

void EngineDecode(benchmark::State& state) {
  Bench& bench = Bench::get();
  const int sequences = static_cast<int>(state.range(0)), prompt = static_cast<int>(state.range(1)),
            generated = static_cast<int>(state.range(2)), own = static_cast<int>(state.range(3));
  const int vocab_size = bench.transformer->config().vocab_size;
  KvCache cache(*bench.ops, bench.transformer->page_bytes(), 1 << 24);
  PageTable shared(cache);
  shared.grow_to(prompt);
  const auto logits = bench.ops->allocate(static_cast<size_t>(sequences) * vocab_size);
  const int last = prompt - 1;
  bench.transformer->forward(prompt_rows(shared, prompt, vocab_size), std::span(&last, 1),
                             logits.get());
  const SamplingParams sampling;
  std::vector<int> wanted(static_cast<size_t>(sequences));
  std::vector<SampledToken> tokens(wanted.size());
  std::vector<SampleRow> samples;
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<PageTable> tables;
    std::vector<BatchRow> rows;
    for (int s = 0; s < sequences; ++s) {
      wanted[s] = s;
      tokens[s].token = s % vocab_size;
      PageTable& table = tables.emplace_back(cache);
      table.share_prefix(shared, prompt);
      table.grow_to(prompt + own);
      for (int page = shared.size(); page < table.size(); ++page) {
        bench.ops->copy(shared.data()[page % shared.size()], bench.transformer->page_bytes(),
                        table.data()[page]);
      }
    }
    state.ResumeTiming();
    for (int step = 0; step < generated; ++step) {
      rows.clear();
      samples.clear();
      for (int s = 0; s < sequences; ++s) {
        const int position = prompt + own + step;
        tables[s].grow_to(position + 1);
        rows.push_back({tokens[s].token, position, tables[s].data()});
        samples.push_back(
            {&sampling, {1, 2}, static_cast<uint32_t>(step), static_cast<uint32_t>(s)});
      }
      bench.transformer->forward(rows, wanted, logits.get());
      bench.ops->sample(logits.get(), vocab_size, samples);
      if (!bench.ops->runs_ahead()) {
        bench.ops->collect(tokens);
      } else {  // as the scheduler does it: one step is always in flight
        if (step > 0) bench.ops->collect(tokens);
        for (int s = 0; s < sequences; ++s) tokens[s].token = token_of_draw(s);
      }
    }
    if (bench.ops->runs_ahead()) bench.ops->collect(tokens);
  }
  state.SetItemsProcessed(state.iterations() * sequences * generated);
}
BENCHMARK(EngineDecode)
    ->Args({1, 128, 128, 0})
    ->Args({8, 128, 128, 0})
    ->Args({64, 128, 128, 0})
    ->Args({64, 128, 512, 0})
    ->Args({64, 128, 2048, 0})
    ->Args({64, 128, 32, 1024})
    ->Args({256, 128, 128, 0})
    ->Args({8, 16, 4, 0})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

void EnginePrefill(benchmark::State& state) {
  Bench& bench = Bench::get();
  const int prompt = static_cast<int>(state.range(0));
  const int vocab_size = bench.transformer->config().vocab_size;
  KvCache cache(*bench.ops, bench.transformer->page_bytes(), 1 << 24);
  PageTable pages(cache);
  pages.grow_to(prompt);
  const auto logits = bench.ops->allocate(static_cast<size_t>(vocab_size));
  const int last = prompt - 1;
  for (auto _ : state) {
    bench.transformer->forward(prompt_rows(pages, prompt, vocab_size), std::span(&last, 1),
                               logits.get());
  }
  state.SetItemsProcessed(state.iterations() * prompt);
}
BENCHMARK(EnginePrefill)->Arg(128)->Arg(512)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace assay
