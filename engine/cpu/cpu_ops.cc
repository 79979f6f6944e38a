#include "engine/cpu/cpu_ops.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <new>
#include <sstream>
#include <thread>

#include "engine/cpu/attention.h"
#include "engine/cpu/kernels.h"
#include "engine/cpu/matmul.h"
#include "engine/cpu/sampler.h"
#include "engine/cpu/team.h"
#include "harness/base/check.h"

namespace assay {
namespace {

class CpuOps : public Ops {
 public:
  CpuOps(const CpuKernels& kernels, int threads, Activations activations)
      : kernels_(kernels),
        team_(threads),
        whole_numbers_(activations != Activations::kF32),
        matmul_(kernels, team_, activations),
        attention_(kernels, team_),
        sampler_(kernels),
        scratch_(static_cast<size_t>(team_.threads())) {}

  std::string_view name() const override { return "cpu"; }

  uint64_t free_bytes() const override {
    std::ifstream info("/proc/meminfo");
    std::string line;
    while (std::getline(info, line)) {
      if (!line.starts_with("MemAvailable:")) continue;
      std::istringstream fields(line.substr(13));
      uint64_t kib = 0;
      fields >> kib;
      return kib * 1024;
    }
    return uint64_t{8} << 30;
  }

  Buffer allocate(size_t count) override {
    constexpr std::align_val_t kAlignment{64};
    auto* data = static_cast<float*>(::operator new(count * sizeof(float), kAlignment));
    std::memset(data, 0, count * sizeof(float));
    return Buffer(data, [](float* at) { ::operator delete(at, kAlignment); });
  }

  void upload(const float* from, size_t count, float* to) override { std::copy_n(from, count, to); }
  void download(const float* from, size_t count, float* to) override {
    std::copy_n(from, count, to);
  }
  void copy(const std::byte* from, size_t bytes, std::byte* to) override {
    std::memcpy(to, from, bytes);
  }

  std::unique_ptr<PackedWeight> pack(const Weight& weight) override {
    return std::make_unique<CpuWeight>(weight, whole_numbers_, arena_, team_);
  }

  size_t packed_bytes(const Weight& weight) override {
    const PackFormat format = pack_format(weight, whole_numbers_, team_);
    return CpuWeight::size_bytes(format, weight.rows, weight.columns);
  }

  void reserve(int positions) override { attention_.reserve(positions); }

  void begin(const Batch& batch) override {
    rows_ = batch.rows;
    wanted_ = batch.wanted;
  }

  bool packs_embedding() const override { return false; }  // it is read a row at a time

  void embed(const Weight& table, const PackedWeight* packed, float* out) override {
    const int64_t columns = table.columns;
    // A packed row is unpacked with the fifteen that stand beside it.
    const int64_t values = packed != nullptr ? columns * kTileColumns : columns;
    over_rows(static_cast<int64_t>(rows_.size()), values, [=, this, &table](int64_t r) {
      int32_t token = rows_[r].token;
      if (token < 0) token = std::max(0, drawn_.at(static_cast<size_t>(-1 - token)).token);
      CHECK(token < table.rows);
      float* row = out + r * columns;
      if (packed == nullptr) return dequantize(table.dtype, table.row(token), columns, row);
      static_cast<const CpuWeight*>(packed)->unpack_row(kernels_, token, row);
    });
  }

  void gather(const float* x, int width, float* out) override {
    for (size_t i = 0; i < wanted_.size(); ++i) {
      std::copy_n(x + int64_t{wanted_[i]} * width, width, out + i * width);
    }
  }

  void rms_norm(const float* x, const float* scale, float eps, int rows, int width,
                float* out) override {
    over_rows(rows, width, [=, this](int64_t r) {
      kernels_.rms_norm(x + r * width, scale, eps, width, out + r * width);
    });
  }

  void matmul(const float* x, int rows, std::span<const Product> products) override {
    matmul_.run(x, rows, products);
  }

  void add_rms_norm(float* x, const float* y, const float* scale, float eps, int rows, int width,
                    float* out) override {
    over_rows(rows, int64_t{width} * 2, [=, this](int64_t r) {
      kernels_.add(x + r * width, y + r * width, width);
      kernels_.rms_norm(x + r * width, scale, eps, width, out + r * width);
    });
  }

  void swiglu(float* gate, const float* up, int rows, int width) override {
    over_rows(rows, int64_t{width} * 8,
              [=, this](int64_t r) { kernels_.swiglu(gate + r * width, up + r * width, width); });
  }

  void rope_and_store(float* q, float* k, const float* v, const float* angles, int heads,
                      RopePairs pairs, const KvLayout& kv, size_t layer_offset) override {
    const int dim = kv.head_dim, kv_heads = kv.kv_heads;
    over_rows(static_cast<int64_t>(rows_.size()), int64_t{heads + kv_heads} * dim * 4,
              [=, this, &kv](int64_t r) {
                for (int h = 0; h < heads; ++h) {
                  rotate(q + (r * heads + h) * dim, angles + r * dim, dim / 2, pairs);
                }
                for (int h = 0; h < kv_heads; ++h) {
                  const int64_t at = (r * kv_heads + h) * dim;
                  rotate(k + at, angles + r * dim, dim / 2, pairs);
                  attention_.store(k + at, v + at, rows_[r], h, kv, layer_offset);
                }
              });
  }

  void attention(const float* q, int heads, const KvLayout& kv, size_t layer_offset,
                 float* out) override {
    attention_.run(q, rows_, heads, kv, layer_offset, out);
  }

  void sample(const float* logits, int vocab_size, std::span<const SampleRow> rows) override {
    CHECK(!older_);
    if (waiting_) {
      older_ = true;
      std::swap(drawn_, older_drawn_);
    }
    waiting_ = true;
    drawn_.resize(rows.size());
    for (Scratch& scratch : scratch_) scratch.sampling.reserve(vocab_size);
    team_.for_each(static_cast<int64_t>(rows.size()), [&](int64_t r, int thread) {
      drawn_[r] =
          sampler_.sample(logits + r * vocab_size, vocab_size, rows[r], scratch_[thread].sampling);
    });
  }

  void collect(std::span<SampledToken> out) override {
    CHECK(waiting_);
    const std::vector<SampledToken>& from = older_ ? older_drawn_ : drawn_;
    CHECK(out.size() == from.size());
    std::copy(from.begin(), from.end(), out.begin());
    (older_ ? older_ : waiting_) = false;
  }

  void token_logprobs(const float* logits, int vocab_size, std::span<const int32_t> tokens,
                      double* out) override {
    team_.for_each(static_cast<int64_t>(tokens.size()), [&](int64_t r, int thread) {
      const float* row = logits + r * vocab_size;
      const Softmax softmax = softmax_of(row, vocab_size, scratch_[thread].sampling.weights);
      out[r] = static_cast<double>(row[tokens[r]] - softmax.best) - std::log(softmax.total);
    });
  }

  void compare_logits(const float* base, const float* other, int vocab_size,
                      std::span<LogitsDifference> out) override {
    team_.for_each(static_cast<int64_t>(out.size()), [&](int64_t r, int thread) {
      const float *x = base + r * vocab_size, *y = other + r * vocab_size;
      Scratch& scratch = scratch_[thread];
      const Softmax p = softmax_of(x, vocab_size, scratch.base_weights);
      const Softmax q = softmax_of(y, vocab_size, scratch.sampling.weights);
      const double shift = double{q.best} - double{p.best} + std::log(q.total / p.total);
      double sum = 0;
      for (int i = 0; i < vocab_size; ++i) {
        const double difference = double{x[i]} - double{y[i]} + shift;
        sum += kl_term(p.weights[i] / p.total, q.weights[i] / q.total, difference);
      }
      out[r] = {sum, static_cast<int32_t>(std::find(x, x + vocab_size, p.best) - x),
                static_cast<int32_t>(std::find(y, y + vocab_size, q.best) - y)};
    });
  }

  void log_softmax(float* x, int rows, int width) override {
    team_.for_each(rows, [&](int64_t r, int thread) {
      float* row = x + r * width;
      const Softmax softmax = softmax_of(row, width, scratch_[thread].sampling.weights);
      const double log_total = std::log(softmax.total);
      for (int i = 0; i < width; ++i)
        row[i] = static_cast<float>(row[i] - softmax.best - log_total);
    });
  }

 private:
  struct Softmax {
    float best;
    double total;          // Σ exp(x − best)
    const float* weights;  // exp(x − best)
  };
  Softmax softmax_of(const float* x, int count, std::vector<float>& weights) const {
    weights.resize(static_cast<size_t>(count));
    const float best = kernels_.max(x, count);
    return {best, kernels_.exp_sum(x, count, best, 1.0f, weights.data()), weights.data()};
  }

  struct alignas(64) Scratch {
    Sampler::Scratch sampling;
    std::vector<float> base_weights;
  };

  // Element-wise work; too little of it is not worth waking threads for.
  template <typename Body>
  void over_rows(int64_t rows, int64_t work_per_row, const Body& body) {
    constexpr int64_t kWorthThreads = 16384;
    if (rows * work_per_row < kWorthThreads) {
      for (int64_t r = 0; r < rows; ++r) body(r);
    } else {
      team_.for_each_row(rows, body);
    }
  }

  static void rotate(float* head, const float* angles, int half, RopePairs pairs) {
    const int step = pairs == RopePairs::kHalves ? 1 : 2;
    const int apart = pairs == RopePairs::kHalves ? half : 1;
    for (int i = 0; i < half; ++i) {
      float &a = head[i * step], &b = head[i * step + apart];
      const float cosine = angles[2 * i], sine = angles[2 * i + 1];
      const float rotated = a * cosine - b * sine;
      b = a * sine + b * cosine;
      a = rotated;
    }
  }

  const CpuKernels& kernels_;
  Team team_;
  WeightArena arena_;
  const bool whole_numbers_;
  Matmul matmul_;
  CpuAttention attention_;
  Sampler sampler_;
  std::vector<Scratch> scratch_;  // of each thread
  std::span<const BatchRow> rows_;
  std::span<const int> wanted_;
  // Of the last sample(), and of the one before it; whether they are still to be collected.
  std::vector<SampledToken> drawn_, older_drawn_;
  bool waiting_ = false, older_ = false;
};

Result<const CpuKernels*> find_kernels(const std::string& isa) {
  if (const CpuKernels* kernels = cpu_kernels(isa)) return kernels;
  std::string names;
  for (const CpuKernels* table : available_cpu_kernels()) names += std::string(" ") + table->isa;
  return Error{
      fmt::format("--cpu-isa {}: this machine has{}; choose one of these or auto", isa, names)};
}

}  // namespace

Result<std::string> cpu_isa_name(const std::string& isa) {
  ASSAY_TRY(const CpuKernels* kernels, find_kernels(isa));
  return std::string(kernels->isa);
}

Result<std::unique_ptr<Ops>> make_cpu_ops(const CpuOptions& options) {
  ASSAY_TRY(const CpuKernels* kernels, find_kernels(options.isa));
  const int threads = options.threads > 0
                          ? options.threads
                          : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return std::unique_ptr<Ops>(new CpuOps(*kernels, threads, options.activations));
}

}  // namespace assay
