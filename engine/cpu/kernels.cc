#include "engine/cpu/kernels.h"

// Without fused multiply-add a target cannot give the same bits; the baseline becomes "portable".
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/cpu/kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "engine/cpu/dequantize-inl.h"
#include "engine/cpu/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace assay {
namespace HWY_NAMESPACE {

// Registers for accumulators: the tile of x rows by w rows that the target can hold.
#if HWY_TARGET <= HWY_AVX3
constexpr int kTileX = 4, kTileW = 6, kTileWForOneRow = 8;
#elif HWY_TARGET <= HWY_AVX2
constexpr int kTileX = 2, kTileW = 3, kTileWForOneRow = 6;
#else
constexpr int kTileX = 1, kTileW = 1, kTileWForOneRow = 1;
#endif

template <int kX, int kW>
HWY_INLINE void dot_block(const float* w, int64_t w_stride, const float* x, int64_t x_stride,
                          int64_t count, float* out, int64_t out_stride) {
  constexpr int kSums = kX * kW;
  Part sums[kSums][kParts];
  for (int s = 0; s < kSums; ++s) {
    for (int p = 0; p < kParts; ++p) sums[s][p] = part_zero();
  }
  int64_t k = 0;
  for (; k + kLanes <= count; k += kLanes) {
    for (int p = 0; p < kParts; ++p) {
      Part xs[kX];
      for (int i = 0; i < kX; ++i) xs[i] = part_load(x + i * x_stride + k + p * kPartLanes);
      for (int j = 0; j < kW; ++j) {
        Part ws = part_load(w + j * w_stride + k + p * kPartLanes);
        part_keep(ws);
        for (int i = 0; i < kX; ++i) {
          sums[i * kW + j][p] = part_fma(xs[i], ws, sums[i * kW + j][p]);
        }
      }
    }
  }
  if (k < count) {
    for (int p = 0; p < kParts; ++p) {
      const int64_t at = k + p * kPartLanes;
      for (int j = 0; j < kW; ++j) {
        const Part ws = part_load_n(w + j * w_stride + at, count - at);
        for (int i = 0; i < kX; ++i) {
          const Part xs = part_load_n(x + i * x_stride + at, count - at);
          sums[i * kW + j][p] = part_fma(xs, ws, sums[i * kW + j][p]);
        }
      }
    }
  }
  float totals[(kSums + 3) / 4 * 4];
  for (int s = 0; s < kSums; s += 4) {
    const auto at = [s](int i) HWY_ATTR { return s + i < kSums ? s + i : s; };
    reduce_4(sums[s], sums[at(1)], sums[at(2)], sums[at(3)], totals + s);
  }
  for (int i = 0; i < kX; ++i) {
    for (int j = 0; j < kW; ++j) out[i * out_stride + j] = totals[i * kW + j];
  }
}

template <int kX, int kW>
HWY_INLINE void dot_rows(const float* w, int w_rows, int64_t w_stride, const float* x, int x_rows,
                         int64_t x_stride, int64_t count, float* out, int64_t out_stride) {
  int j = 0;
  for (; j + kW <= w_rows; j += kW) {
    int i = 0;
    for (; i + kX <= x_rows; i += kX) {
      dot_block<kX, kW>(w + j * w_stride, w_stride, x + i * x_stride, x_stride, count,
                        out + i * out_stride + j, out_stride);
    }
    for (; i < x_rows; ++i) {
      dot_block<1, kW>(w + j * w_stride, w_stride, x + i * x_stride, x_stride, count,
                       out + i * out_stride + j, out_stride);
    }
  }
  for (; j < w_rows; ++j) {
    int i = 0;
    for (; i + kX <= x_rows; i += kX) {
      dot_block<kX, 1>(w + j * w_stride, w_stride, x + i * x_stride, x_stride, count,
                       out + i * out_stride + j, out_stride);
    }
    for (; i < x_rows; ++i) {
      dot_block<1, 1>(w + j * w_stride, w_stride, x + i * x_stride, x_stride, count,
                      out + i * out_stride + j, out_stride);
    }
  }
}

void dot_tile(const float* w, int w_rows, int64_t w_stride, const float* x, int x_rows,
              int64_t x_stride, int64_t count, float* out, int64_t out_stride) {
  if (x_rows == 1) {
    dot_rows<1, kTileWForOneRow>(w, w_rows, w_stride, x, 1, x_stride, count, out, out_stride);
  } else {
    dot_rows<kTileX, kTileW>(w, w_rows, w_stride, x, x_rows, x_stride, count, out, out_stride);
  }
}

void rms_norm(const float* x, const float* scale, float eps, int width, float* out) {
  Part sums[kParts];
  for (int p = 0; p < kParts; ++p) sums[p] = part_zero();
  for (int64_t i = 0; i < width; i += kLanes) {
    for (int p = 0; p < kParts; ++p) {
      const int64_t at = i + p * kPartLanes;
      const Part value = part_load_n(x + at, width - at);
      sums[p] = part_fma(value, value, sums[p]);
    }
  }
  const float mean = reduce_1(sums) / static_cast<float>(width);
  const float factor = 1.0f / std::sqrt(mean + eps);
  for (int64_t i = 0; i < width; i += kPartLanes) {
    const int64_t left = width - i;
    const Part scaled = part_mul(part_load_n(x + i, left), part_set(factor));
    part_store_n(part_mul(scaled, part_load_n(scale + i, left)), out + i, left);
  }
}

void add(float* x, const float* y, int64_t count) {
  for (int64_t i = 0; i < count; i += kPartLanes) {
    const int64_t left = count - i;
    part_store_n(part_add(part_load_n(x + i, left), part_load_n(y + i, left)), x + i, left);
  }
}

void swiglu(float* gate, const float* up, int64_t count) {
  for (int64_t i = 0; i < count; i += kPartLanes) {
    const int64_t left = count - i;
    const Part g = part_load_n(gate + i, left);
    const Part negative = part_sub(part_zero(), g);
    const Part silu = part_div(g, part_add(part_set(1.0f), part_exp(negative)));
    part_store_n(part_mul(silu, part_load_n(up + i, left)), gate + i, left);
  }
}

double exp_sum(const float* x, int64_t count, float shift, float factor, float* out) {
  constexpr int64_t kBlock = 1024;  // short f32 sums keep the total's error below 1e-6
  double total = 0;
  for (int64_t start = 0; start < count; start += kBlock) {
    const int64_t end = std::min(count, start + kBlock);
    Part sums[kParts];
    for (int p = 0; p < kParts; ++p) sums[p] = part_zero();
    for (int64_t i = start; i < end; i += kLanes) {
      for (int p = 0; p < kParts; ++p) {
        const int64_t at = i + p * kPartLanes, left = end - at;
        if (left <= 0) break;
        const Part value = part_exp(
            part_mul(part_sub(part_load_n(x + at, left), part_set(shift)), part_set(factor)));
        part_store_n(value, out + at, left);
        sums[p] = part_add(sums[p], part_load_n(out + at, left));
      }
    }
    total += reduce_1(sums);
  }
  return total;
}

float max(const float* x, int64_t count) {
  Part best[kParts];
  for (int p = 0; p < kParts; ++p) best[p] = part_set(x[0]);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int p = 0; p < kParts; ++p) best[p] = part_max(part_load(x + i + p * kPartLanes), best[p]);
  }
  float lanes[kLanes];
  for (int p = 0; p < kParts; ++p) part_store(best[p], lanes + p * kPartLanes);
  float result = lanes[0];
  for (const float lane : lanes) result = lane > result ? lane : result;
  for (; i < count; ++i) result = x[i] > result ? x[i] : result;
  return result;
}

// kBlocks · kLanes output dimensions at once, so that enough sums are under way to hide latency.
template <int kBlocks>
HWY_INLINE void weighted_values_block(const float* p, int64_t length, float* const* pages,
                                      size_t offset, int head_dim, int start, float* out) {
  Part sums[kBlocks * kParts];
  for (int b = 0; b < kBlocks * kParts; ++b) sums[b] = part_zero();
  for (int64_t t = 0; t < length; ++t) {
    const float* values = pages[t / kPageTokens] + offset + (t % kPageTokens) * head_dim + start;
    const Part weight = part_set(p[t]);
    for (int b = 0; b < kBlocks * kParts; ++b) {
      const int at = b * kPartLanes;
      const Part value =
          kBlocks > 1 ? part_load(values + at) : part_load_n(values + at, head_dim - start - at);
      sums[b] = part_fma(weight, value, sums[b]);
    }
  }
  for (int b = 0; b < kBlocks * kParts; ++b) {
    const int at = b * kPartLanes;
    part_store_n(sums[b], out + start + at, head_dim - start - at);
  }
}

void weighted_values(const float* p, int64_t length, float* const* pages, size_t offset,
                     int head_dim, float* out) {
  int start = 0;
  for (; start + 4 * kLanes <= head_dim; start += 4 * kLanes) {
    weighted_values_block<4>(p, length, pages, offset, head_dim, start, out);
  }
  for (; start < head_dim; start += kLanes) {
    weighted_values_block<1>(p, length, pages, offset, head_dim, start, out);
  }
}

const CpuKernels* kernel_table() {
#if HWY_TARGET <= HWY_AVX3
  constexpr const char* kIsa = "avx512";
#elif HWY_TARGET <= HWY_AVX2
  constexpr const char* kIsa = "avx2";
#else
  constexpr const char* kIsa = "portable";
#endif
  static constexpr CpuKernels kTable = {kIsa,   dequantize, dot_tile, rms_norm,       add,
                                        swiglu, exp_sum,    max,      weighted_values};
  return &kTable;
}

}  // namespace HWY_NAMESPACE
}  // namespace assay
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace assay {

std::vector<const CpuKernels*> available_cpu_kernels() {
  std::vector<const CpuKernels*> tables;
  const int64_t supported = hwy::SupportedTargets();
#if HWY_TARGETS & HWY_AVX3
  if (supported & HWY_AVX3) tables.push_back(N_AVX3::kernel_table());
#endif
#if HWY_TARGETS & HWY_AVX2
  if (supported & HWY_AVX2) tables.push_back(N_AVX2::kernel_table());
#endif
  (void)supported;
  const CpuKernels* baseline = HWY_STATIC_DISPATCH(kernel_table)();
  if (tables.empty() || tables.back() != baseline) tables.push_back(baseline);
  return tables;
}

const CpuKernels* cpu_kernels(std::string_view isa) {
  for (const CpuKernels* table : available_cpu_kernels()) {
    if (isa == "auto" || isa == table->isa) return table;
  }
  return nullptr;
}

}  // namespace assay
#endif
