#include "engine/cpu/cpu_ops.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <thread>

#include "engine/cpu/attention.h"
#include "engine/cpu/kernels.h"
#include "engine/cpu/matmul.h"
#include "engine/cpu/team.h"
#include "harness/base/check.h"

namespace assay {
namespace {

class CpuOps : public Ops {
 public:
  CpuOps(const CpuKernels& kernels, int threads, Activations activations)
      : kernels_(kernels),
        team_(threads),
        matmul_(kernels, team_, activations),
        attention_(kernels, team_) {}

  Buffer allocate(size_t count) override {
    constexpr std::align_val_t kAlignment{64};
    auto* data = static_cast<float*>(::operator new(count * sizeof(float), kAlignment));
    std::memset(data, 0, count * sizeof(float));
    return Buffer(data, [](float* at) { ::operator delete(at, kAlignment); });
  }

  std::unique_ptr<PackedWeight> pack(const Weight& weight) override {
    return std::make_unique<CpuWeight>(weight, arena_, team_);
  }

  size_t packed_bytes(const Weight& weight) const override {
    return CpuWeight::size_bytes(PackFormat(weight.dtype), weight.rows, weight.columns);
  }

  void embed(const Weight& table, std::span<const BatchRow> rows, float* out) override {
    for (size_t r = 0; r < rows.size(); ++r) {
      CHECK(rows[r].token >= 0 && rows[r].token < table.rows);
      dequantize(table.dtype, table.row(rows[r].token), table.columns, out + r * table.columns);
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

  void add(float* x, const float* y, int rows, int width) override {
    over_rows(rows, width,
              [=, this](int64_t r) { kernels_.add(x + r * width, y + r * width, width); });
  }

  void swiglu(float* gate, const float* up, int rows, int width) override {
    over_rows(rows, int64_t{width} * 8,
              [=, this](int64_t r) { kernels_.swiglu(gate + r * width, up + r * width, width); });
  }

  void rope(float* q, float* k, const float* angles, int rows, int heads, int kv_heads,
            int head_dim, RopePairs pairs) override {
    over_rows(rows, int64_t{heads + kv_heads} * head_dim * 4, [=](int64_t r) {
      for (int h = 0; h < heads + kv_heads; ++h) {
        float* head =
            h < heads ? q + (r * heads + h) * head_dim : k + (r * kv_heads + h - heads) * head_dim;
        rotate(head, angles + r * head_dim, head_dim / 2, pairs);
      }
    });
  }

  void store_kv(const float* k, const float* v, std::span<const BatchRow> rows, const KvLayout& kv,
                size_t layer_offset) override {
    attention_.store(k, v, rows, kv, layer_offset);
  }

  void attention(const float* q, std::span<const BatchRow> rows, int heads, const KvLayout& kv,
                 size_t layer_offset, float* out) override {
    attention_.run(q, rows, heads, kv, layer_offset, out);
  }

  double exp_sum(const float* x, int count, float shift, float factor, float* out) override {
    return kernels_.exp_sum(x, count, shift, factor, out);
  }

  float max(const float* x, int count) override { return kernels_.max(x, count); }

  void for_each(int count, const std::function<void(int)>& body) override {
    team_.for_each(count, [&body](int64_t i) { body(static_cast<int>(i)); });
  }

 private:
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
  Matmul matmul_;
  CpuAttention attention_;
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
