#include "engine/cpu/cpu_ops.h"

#include <fmt/format.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <new>
#include <thread>
#include <vector>

#include "engine/cpu/kernels.h"
#include "harness/base/check.h"

namespace assay {
namespace {

// Scratch of one thread; grows to the largest size asked for.
float* thread_scratch(size_t count) {
  thread_local std::vector<float> scratch;
  if (scratch.size() < count) scratch.resize(count);
  return scratch.data();
}

class CpuOps : public Ops {
 public:
  CpuOps(const CpuKernels& kernels, int threads) : kernels_(kernels), arena_(threads) {}

  Buffer allocate(size_t count) override {
    constexpr std::align_val_t kAlignment{64};
    auto* data = static_cast<float*>(::operator new(count * sizeof(float), kAlignment));
    return Buffer(data, [](float* at) { ::operator delete(at, kAlignment); });
  }

  void embed(const Weight& table, std::span<const BatchRow> rows, float* out) override {
    for (size_t r = 0; r < rows.size(); ++r) {
      CHECK(rows[r].token >= 0 && rows[r].token < table.rows);
      kernels_.dequantize(table.dtype, table.row(rows[r].token), table.columns,
                          out + r * table.columns);
    }
  }

  void rms_norm(const float* x, const float* scale, float eps, int rows, int width,
                float* out) override {
    over_rows(rows, width, [=, this](int64_t r) {
      kernels_.rms_norm(x + r * width, scale, eps, width, out + r * width);
    });
  }

  void matmul(const float* x, int rows, const Weight& weight, const float* bias,
              float* out) override {
    // A tile of widened weight rows stays in the second-level cache while all x rows pass by.
    constexpr int64_t kTileRows = 24;
    const int64_t columns = weight.columns;
    parallel((weight.rows + kTileRows - 1) / kTileRows, [=, this, &weight](int64_t tile) {
      const int64_t first = tile * kTileRows;
      const int64_t count = std::min(kTileRows, weight.rows - first);
      float* widened = thread_scratch(static_cast<size_t>(kTileRows * columns));
      for (int64_t j = 0; j < count; ++j) {
        kernels_.dequantize(weight.dtype, weight.row(first + j), columns, widened + j * columns);
      }
      kernels_.dot_tile(widened, static_cast<int>(count), columns, x, rows, columns, columns,
                        out + first, weight.rows);
      if (bias == nullptr) return;
      for (int r = 0; r < rows; ++r) {
        kernels_.add(out + r * weight.rows + first, bias + first, count);
      }
    });
  }

  void add(float* x, const float* y, int rows, int width) override {
    over_rows(rows, width,
              [=, this](int64_t r) { kernels_.add(x + r * width, y + r * width, width); });
  }

  void swiglu(float* gate, const float* up, int rows, int width) override {
    over_rows(rows, int64_t{width} * 8,
              [=, this](int64_t r) { kernels_.swiglu(gate + r * width, up + r * width, width); });
  }

  void rope(float* q, float* k, std::span<const BatchRow> rows, int heads, int kv_heads,
            int head_dim, double theta, RopePairs pairs) override {
    const int half = head_dim / 2;
    over_rows(static_cast<int64_t>(rows.size()), int64_t{heads + kv_heads} * head_dim * 4,
              [=](int64_t r) {
                float* angles = thread_scratch(static_cast<size_t>(head_dim));
                fill_angles(rows[r].position, half, theta, angles);
                for (int h = 0; h < heads + kv_heads; ++h) {
                  float* head = h < heads ? q + (r * heads + h) * head_dim
                                          : k + (r * kv_heads + h - heads) * head_dim;
                  rotate(head, angles, half, pairs);
                }
              });
  }

  void store_kv(const float* k, const float* v, std::span<const BatchRow> rows,
                const KvView& kv) override {
    for (size_t r = 0; r < rows.size(); ++r) {
      float* page = rows[r].pages[rows[r].position / kPageTokens] + kv.layer_offset;
      for (int h = 0; h < kv.kv_heads; ++h) {
        const size_t from = (r * kv.kv_heads + h) * kv.head_dim;
        const size_t to =
            static_cast<size_t>(h * kPageTokens + rows[r].position % kPageTokens) * kv.head_dim;
        std::copy_n(k + from, kv.head_dim, page + to);
        std::copy_n(v + from, kv.head_dim, page + kv.values_offset() + to);
      }
    }
  }

  void attention(const float* q, std::span<const BatchRow> rows, int heads, const KvView& kv,
                 float* out) override {
    const int64_t tasks = static_cast<int64_t>(rows.size()) * kv.kv_heads;
    parallel(tasks, [=, this, &kv](int64_t task) {
      // Rows that follow each other share pages, so they run one after the other for a KV head.
      const int64_t r = task % static_cast<int64_t>(rows.size());
      const int kv_head = static_cast<int>(task / static_cast<int64_t>(rows.size()));
      attend(q, rows[r], r, heads, kv, kv_head, out);
    });
  }

  double exp_sum(const float* x, int count, float shift, float factor, float* out) override {
    return kernels_.exp_sum(x, count, shift, factor, out);
  }

  float max(const float* x, int count) override { return kernels_.max(x, count); }

  void for_each(int count, const std::function<void(int)>& body) override {
    parallel(count, [&body](int64_t i) { body(static_cast<int>(i)); });
  }

 private:
  template <typename Body>
  void parallel(int64_t count, const Body& body) {
    if (count <= 1 || arena_.max_concurrency() == 1) {
      for (int64_t i = 0; i < count; ++i) body(i);
      return;
    }
    arena_.execute([&] { tbb::parallel_for(int64_t{0}, count, body); });
  }

  // Element-wise work; too little of it is not worth waking threads for.
  template <typename Body>
  void over_rows(int64_t rows, int64_t work_per_row, const Body& body) {
    constexpr int64_t kWorthThreads = 16384;
    if (rows * work_per_row < kWorthThreads) {
      for (int64_t r = 0; r < rows; ++r) body(r);
    } else {
      parallel(rows, body);
    }
  }

  static void fill_angles(int position, int half, double theta, float* angles) {
    for (int i = 0; i < half; ++i) {
      const double angle = position * std::pow(theta, -static_cast<double>(i) / half);
      angles[2 * i] = static_cast<float>(std::cos(angle));
      angles[2 * i + 1] = static_cast<float>(std::sin(angle));
    }
  }

  static void rotate(float* head, const float* angles, int half, RopePairs pairs) {
    for (int i = 0; i < half; ++i) {
      float& a = pairs == RopePairs::kHalves ? head[i] : head[2 * i];
      float& b = pairs == RopePairs::kHalves ? head[i + half] : head[2 * i + 1];
      const float cosine = angles[2 * i], sine = angles[2 * i + 1];
      const float rotated = a * cosine - b * sine;
      b = a * sine + b * cosine;
      a = rotated;
    }
  }

  // All query heads of one row that share one KV head.
  void attend(const float* q, const BatchRow& row, int64_t r, int heads, const KvView& kv,
              int kv_head, float* out) const {
    const int group = heads / kv.kv_heads, dim = kv.head_dim;
    const int64_t length = int64_t{row.position} + 1;
    const int64_t stride = (length + kPageTokens - 1) / kPageTokens * kPageTokens;
    float* scores = thread_scratch(static_cast<size_t>(group * stride));
    const int64_t first_head = r * heads + int64_t{kv_head} * group;
    const size_t keys = kv.layer_offset + static_cast<size_t>(kv_head) * kPageTokens * dim;
    for (int64_t t = 0; t < length; t += kPageTokens) {
      const int count = static_cast<int>(std::min<int64_t>(kPageTokens, length - t));
      kernels_.dot_tile(row.pages[t / kPageTokens] + keys, count, dim, q + first_head * dim, group,
                        dim, dim, scores + t, stride);
    }
    const float factor = 1.0f / std::sqrt(static_cast<float>(dim));
    for (int g = 0; g < group; ++g) {
      float* p = scores + g * stride;
      float* head_out = out + (first_head + g) * dim;
      const double total = kernels_.exp_sum(p, length, kernels_.max(p, length), factor, p);
      kernels_.weighted_values(p, length, row.pages, keys + kv.values_offset(), dim, head_out);
      const float scale = static_cast<float>(1.0 / total);
      for (int d = 0; d < dim; ++d) head_out[d] *= scale;
    }
  }

  const CpuKernels& kernels_;
  tbb::task_arena arena_;
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
  return std::unique_ptr<Ops>(new CpuOps(*kernels, threads));
}

}  // namespace assay
