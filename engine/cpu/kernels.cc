#include "engine/cpu/kernels.h"

// Without fused multiply-add a target cannot give the same bits; the baseline becomes "portable".
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4)
#define HWY_WANT_AVX3_DL
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/cpu/kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "engine/cpu/int_rows-inl.h"
#include "engine/cpu/lanes-inl.h"
#include "engine/cpu/pages-inl.h"
#include "engine/cpu/products-inl.h"
#include "engine/cpu/unpack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace assay {
namespace HWY_NAMESPACE {

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
    const auto exp_at = [&](int64_t at, int64_t left) HWY_ATTR {
      return part_exp(
          part_mul(part_sub(part_load_n(x + at, left), part_set(shift)), part_set(factor)));
    };
    int64_t i = start;
    for (; i + kLanes <= end; i += kLanes) {
      for (int p = 0; p < kParts; ++p) {
        const Part value = exp_at(i + p * kPartLanes, kPartLanes);
        part_store(value, out + i + p * kPartLanes);
        sums[p] = part_add(sums[p], value);
      }
    }
    for (int p = 0; p < kParts; ++p) {
      const int64_t at = i + p * kPartLanes, left = end - at;
      if (left <= 0) break;
      part_store_n(exp_at(at, left), out + at, left);
      sums[p] = part_add(sums[p], part_load_n(out + at, left));
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

const CpuKernels* kernel_table() {
#if HWY_TARGET <= HWY_AVX3_DL
  constexpr const char* kIsa = "avx512_vnni";
#elif HWY_TARGET <= HWY_AVX3
  constexpr const char* kIsa = "avx512";
#elif HWY_TARGET <= HWY_AVX2
  constexpr const char* kIsa = "avx2";
#else
  constexpr const char* kIsa = "portable";
#endif
  static constexpr CpuKernels kTable = {
      kIsa, kTiles, unpack_f32, unpack_int, product_f32, product_int, quantize_row, rms_norm,
      add,  swiglu, exp_sum,    max,        score_pages, mix_pages,   to_fixed16};
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
#if HWY_TARGETS & HWY_AVX3_DL
  if ((supported & HWY_AVX3_DL) && __builtin_cpu_supports("avx512vnni")) {
    tables.push_back(N_AVX3_DL::kernel_table());
  }
#endif
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
