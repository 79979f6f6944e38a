// Time, bytes and multiply-adds of each operation on a device, in the shapes of R1-Distill-Qwen-32B
// (small ones on the emulator): what scripts/gpu-check holds against a card's roofline.
//   ASSAY_BENCH_DEVICE=cuda|cpu|simt [ASSAY_BENCH_GEMM=1] assay_bench --benchmark_filter=Device
// Counters: bytes that memory must move and operations (2 a multiply-add), of one call.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdlib>
#include <cstring>

#include "engine/cpu/cpu_ops.h"
#include "engine/cuda/cuda_ops.h"
#include "engine/runtime/kv_cache.h"
#include "tests/engine/random_weights.h"

namespace assay {
namespace {

using testing::random_floats;

std::string setting(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

struct Bench {
  Bench() {
    const std::string device = setting("ASSAY_BENCH_DEVICE");
    small = device == "simt";
    kv_type = device == "cuda" || small ? KvType::kBF16 : KvType::kFixed16;
    if (device == "cuda" || small) {
      auto runtime = small ? make_simt_runtime() : std::move(make_gpu_runtime(0)).value();
      const bool gemm = setting("ASSAY_BENCH_GEMM") == "1" && runtime->load_gemm().ok();
      ops = make_cuda_ops(std::move(runtime), Activations::kBF16x2, gemm);
    } else {
      ops = std::move(make_cpu_ops({0, "auto", Activations::kFixed16})).value();
    }
  }
  static Bench& get() {
    static Bench bench;
    return bench;
  }

  Ops::Buffer floats(size_t count) const {
    Ops::Buffer buffer = ops->allocate(count);
    const auto values = random_floats(std::min<size_t>(count, 1 << 16), 3, 0.5f);
    for (size_t at = 0; at < count; at += values.size()) {
      ops->upload(values.data(), std::min(values.size(), count - at), buffer.get() + at);
    }
    return buffer;
  }
  void wait(const Ops::Buffer& buffer) const {
    float value;
    ops->download(buffer.get(), 1, &value);
  }
  // Calls that are asked for one after the other before anybody waits, so that their launches hide.
  template <typename Body>
  void measure(benchmark::State& state, const Ops::Buffer& out, double bytes, double operations,
               const Body& body) const {
    const int calls = small ? 1 : 20;
    body();
    wait(out);
    for (auto _ : state) {
      const auto begin = std::chrono::steady_clock::now();
      for (int i = 0; i < calls; ++i) body();
      wait(out);
      const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
      state.SetIterationTime(time.count() / calls);
    }
    state.counters["bytes"] = bytes;
    state.counters["operations"] = operations;
    if (const Status status = ops->status(); !status.ok()) {
      state.SkipWithError(status.error().message.c_str());
    }
  }

  std::unique_ptr<Ops> ops;
  bool small;
  KvType kv_type;
};

void DeviceLinear(benchmark::State& state) {
  const Bench& bench = Bench::get();
  const TypeInfo& type = kTypes[state.range(0)];
  const int rows = static_cast<int>(state.range(1));
  const int64_t outputs = bench.small ? 64 : 27648, columns = bench.small ? 512 : 5120;
  state.SetLabel(std::string(type.name));
  // One row's random bits are every row's: only their number matters here.
  const auto row = testing::random_row(type.dtype, columns, 1);
  std::vector<uint8_t> bytes(row.size() * static_cast<size_t>(outputs));
  for (int64_t o = 0; o < outputs; ++o) {
    std::memcpy(bytes.data() + row.size() * o, row.data(), row.size());
  }
  const Weight weight{bytes.data(), type.dtype, outputs, columns};
  const auto packed = bench.ops->pack(weight);
  const auto x = bench.floats(static_cast<size_t>(rows * columns));
  const auto out = bench.ops->allocate(static_cast<size_t>(rows * outputs));
  const Product products[] = {{packed.get(), nullptr, out.get()}};
  const double moved = static_cast<double>(packed->size_bytes()) +
                       4.0 * rows * static_cast<double>(outputs + columns);
  bench.measure(state, out, moved, 2.0 * rows * static_cast<double>(outputs * columns),
                [&] { bench.ops->matmul(x.get(), rows, products); });
}
BENCHMARK(DeviceLinear)
    ->ArgsProduct({{static_cast<int64_t>(DType::kQ4_K), static_cast<int64_t>(DType::kQ6_K),
                    static_cast<int64_t>(DType::kQ8_0), static_cast<int64_t>(DType::kBF16)},
                   {1, 64, 256}})
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

// Sequences that share the first half of their context, as samples of a question share a prompt.
void DeviceAttention(benchmark::State& state) {
  const Bench& bench = Bench::get();
  const int rows = bench.small ? 2 : static_cast<int>(state.range(0));
  const int context = bench.small ? 40 : static_cast<int>(state.range(1));
  const int heads = 40;
  const KvLayout kv{bench.kv_type, 8, 128};
  KvCache cache(*bench.ops, kv.size_bytes(), 1 << 24);
  PageTable shared(cache);
  shared.grow_to(context / 2);
  std::vector<PageTable> tables;
  std::vector<BatchRow> batch;
  for (int r = 0; r < rows; ++r) {
    tables.emplace_back(cache).share_prefix(shared, context / 2);
    tables.back().grow_to(context);
  }
  for (int r = 0; r < rows; ++r) batch.push_back({0, context - 1, tables[r].data()});
  const auto q = bench.floats(static_cast<size_t>(rows * heads * 128));
  const auto out = bench.ops->allocate(static_cast<size_t>(rows * heads * 128));
  const double positions = context / 2.0 + rows * context / 2.0;  // that are read
  bench.ops->begin({batch, {}, heads / kv.kv_heads});
  bench.measure(state, out, positions * 2 * 8 * 128 * static_cast<double>(kv.element_bytes()),
                4.0 * rows * context * heads * 128,
                [&] { bench.ops->attention(q.get(), heads, kv, 0, out.get()); });
}
BENCHMARK(DeviceAttention)
    ->ArgsProduct({{1, 64}, {512, 4096, 16384}})
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

void DeviceAddRmsNorm(benchmark::State& state) {
  const Bench& bench = Bench::get();
  const int rows = static_cast<int>(state.range(0)), width = bench.small ? 512 : 5120;
  const size_t count = static_cast<size_t>(rows * width);
  const auto x = bench.floats(count), y = bench.floats(count);
  const auto scale = bench.floats(static_cast<size_t>(width)), out = bench.ops->allocate(count);
  bench.measure(
      state, out, 16.0 * static_cast<double>(count), 4.0 * static_cast<double>(count), [&] {
        bench.ops->add_rms_norm(x.get(), y.get(), scale.get(), 1e-5f, rows, width, out.get());
      });
}
BENCHMARK(DeviceAddRmsNorm)->Arg(1)->Arg(64)->UseManualTime()->Unit(benchmark::kMicrosecond);

void DeviceSwiglu(benchmark::State& state) {
  const Bench& bench = Bench::get();
  const int rows = static_cast<int>(state.range(0)), width = bench.small ? 512 : 27648;
  const size_t count = static_cast<size_t>(rows * width);
  const auto gate = bench.floats(count), up = bench.floats(count);
  bench.measure(state, gate, 12.0 * static_cast<double>(count), 20.0 * static_cast<double>(count),
                [&] { bench.ops->swiglu(gate.get(), up.get(), rows, width); });
}
BENCHMARK(DeviceSwiglu)->Arg(1)->Arg(64)->UseManualTime()->Unit(benchmark::kMicrosecond);

void DeviceSample(benchmark::State& state) {
  const Bench& bench = Bench::get();
  const int rows = static_cast<int>(state.range(0)), vocab_size = bench.small ? 1000 : 152064;
  const auto logits = bench.floats(static_cast<size_t>(rows) * vocab_size);
  const SamplingParams params;
  const std::vector<SampleRow> draws(static_cast<size_t>(rows), {&params, {1, 2}, 0, 0});
  std::vector<SampledToken> tokens(draws.size());
  // Read once, and the softmax's weights written.
  bench.measure(state, logits, 8.0 * rows * vocab_size, 20.0 * rows * vocab_size, [&] {
    bench.ops->sample(logits.get(), vocab_size, draws);
    bench.ops->collect(tokens);
  });
}
BENCHMARK(DeviceSample)->Arg(1)->Arg(64)->UseManualTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace assay
