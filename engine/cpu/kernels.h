// The CPU device's kernels: one table of functions for each instruction set, all built into the
// program and chosen at run time.
//
// All tables give the same bits. A sum over k runs in sixteen virtual lanes (lane = k mod 16), each
// with one fused multiply-add per step, and the lanes are added in one fixed tree: i with i + 8,
// i + 4, i + 2, i + 1. AVX-512 holds the lanes in one register, AVX2 in two, the portable table in
// sixteen floats.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/ops.h"
#include "engine/tensor.h"

namespace assay {

struct CpuKernels {
  const char* isa;  // "avx512", "avx2", "portable"

  // Widens `count` values of a row, exactly; count is a multiple of the block's values.
  void (*dequantize)(DType dtype, const uint8_t* row, int64_t count, float* out);
  // out[x · out_stride + w] = Σ_k x[x][k] · w[w][k]
  void (*dot_tile)(const float* w, int w_rows, int64_t w_stride, const float* x, int x_rows,
                   int64_t x_stride, int64_t count, float* out, int64_t out_stride);
  void (*rms_norm)(const float* x, const float* scale, float eps, int width, float* out);
  void (*add)(float* x, const float* y, int64_t count);
  void (*swiglu)(float* gate, const float* up, int64_t count);
  // out[i] = exp((x[i] - shift) · factor) to 2 ulp, 0 below the normal floats; returns the sum.
  double (*exp_sum)(const float* x, int64_t count, float shift, float factor, float* out);
  float (*max)(const float* x, int64_t count);
  // out[d] = Σ_t p[t] · values[t][d], in order of t. `length` positions, page by page: the values
  // of page i begin at pages[i] + offset, [kPageTokens, head_dim].
  void (*weighted_values)(const float* p, int64_t length, float* const* pages, size_t offset,
                          int head_dim, float* out);
};

// The tables that this machine can run, best first; "portable" is always there.
std::vector<const CpuKernels*> available_cpu_kernels();
// By name; null if this machine cannot run it. "auto" is the best one.
const CpuKernels* cpu_kernels(std::string_view isa);

}  // namespace assay
