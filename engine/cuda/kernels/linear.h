// Products with weights, by mma.m16n8k16 of bf16 with f32 sums: A is the weight, 16 outputs a warp,
// B the activations, 8 rows of the batch a fragment.
//
// Whole numbers q of quantized weights and bf16 weights are exact in bf16, wider weights are sums
// of two or three bf16 values, activations of two: so every product is exact, and what rounds are
// the activations (to 16 bits) and the f32 sums. A row's sums run in order of k within fixed parts
// of k: a function of the weight's shape, not of the number of rows.
#pragma once

#include "engine/cuda/device.h"
#include "engine/cuda/kernels.h"
#include "engine/cuda/kernels/weights.h"

namespace assay::ASSAY_KERNELS {

constexpr int kLinearWarps = 4, kLinearThreads = 32 * kLinearWarps;
constexpr int kLinearRows = 64, kRowTiles = kLinearRows / 8;
constexpr int kRowStride = kCudaChunk + 8;  // rows shifted by 16 bytes: no bank conflicts
constexpr int kPartValues = kLinearRows * kRowStride;
constexpr int kStageValues = 2 * kPartValues;  // high, low
constexpr int kLinearSharedBytes = 2 * kStageValues * 2;

// Asks for a chunk of the rows' activations.
__device__ inline void load_chunk(Shared<uint16_t> stage, Global<const uint16_t> high,
                                  Global<const uint16_t> low, int first_row, int rows, int stride,
                                  int chunk) {
  constexpr int kPieces = kCudaChunk / 8;
  for (int i = static_cast<int>(threadIdx.x); i < kLinearRows * kPieces; i += kLinearThreads) {
    const int row = i / kPieces, piece = i % kPieces * 8;
    const bool valid = first_row + row < rows;
    const int64_t from = valid ? int64_t{first_row + row} * stride + chunk * kCudaChunk + piece : 0;
    copy_async_16(stage + row * kRowStride + piece, high + from, valid);
    if (!(low == nullptr)) {
      copy_async_16(stage + kPartValues + row * kRowStride + piece, low + from, valid);
    }
  }
  commit_copies();
}

// The fragments of a step's activations for row tile n.
__device__ inline void load_rows(uint32_t (&b)[4], Shared<uint16_t> part, int n, int step) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  load_matrices_4(b, part + (n * 8 + lane % 8) * kRowStride + step * 32 + lane / 8 * 8);
}

// report: linear threads 128 shared 36864 occupancy 16
template <DType kType>
__global__ void __launch_bounds__(kLinearThreads, 4)
    linear(Global<const uint8_t> weight, CudaWeightShape shape, Global<const uint16_t> high,
           Global<const uint16_t> low, Global<const float> sums, int stride, int rows,
           int split_chunks, Global<const float> bias, Global<float> out) {
  constexpr CudaWeightFormat kFormat = cuda_weight_format(kType);
  const Shared<uint16_t> memory = ASSAY_DYNAMIC_SHARED(uint16_t);
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const int group = lane / 4, pair = lane % 4 * 2;
  const int tile = static_cast<int>(blockIdx.x) * kLinearWarps + warp;
  const int first_row = static_cast<int>(blockIdx.z) * kLinearRows;
  const int chunks = stride / kCudaChunk;
  const int begin = static_cast<int>(blockIdx.y) * split_chunks;
  const int end = begin + split_chunks < chunks ? begin + split_chunks : chunks;
  const int tiles_of_rows = (rows - first_row + 7) / 8;  // more than kRowTiles: all
  const bool both = !(low == nullptr);

  float acc[kRowTiles][4] = {};
  if (begin < end) load_chunk(memory, high, low, first_row, rows, stride, begin);
  for (int chunk = begin; chunk < end; ++chunk) {
    const Shared<uint16_t> stage = memory + (chunk - begin) % 2 * kStageValues;
    if (chunk + 1 < end) {
      load_chunk(memory + (chunk + 1 - begin) % 2 * kStageValues, high, low, first_row, rows,
                 stride, chunk + 1);
      wait_copies<1>();
    } else {
      wait_copies<0>();
    }
    __syncthreads();
    for (int step = 0; step < kCudaChunk / 32; ++step) {
      const int k = chunk * kCudaChunk + step * 32;
      const int unit = k / kFormat.unit;
      if (tile >= shape.tiles || unit >= shape.units) break;
      const Global<const uint8_t> data =
          weight + (int64_t{tile} * shape.units + unit) * kFormat.tile_bytes();
      const int unit_step = k % kFormat.unit / 32;
      if constexpr (kFormat.quantized) {
        constexpr int kGroups = 32 / kFormat.group, kMmas = 2 / kGroups;
        QuantStep<kType> values;
        values.load(data, unit_step, lane);
        GroupScale<kType> scales[kGroups][2];
        for (int g = 0; g < kGroups; ++g) {
          const int at = unit_step * kGroups + g;
          scales[g][0].load(data, at, group);
          scales[g][1].load(data, at, group + 8);
        }
        uint32_t a[2][4];
        values.fragment(0, a[0]);
        values.fragment(1, a[1]);
        ASSAY_UNROLL
        for (int n = 0; n < kRowTiles; ++n) {
          if (n >= tiles_of_rows) break;
          uint32_t upper[4], lower[4];
          load_rows(upper, stage, n, step);
          if (both) load_rows(lower, stage + kPartValues, n, step);
          for (int g = 0; g < kGroups; ++g) {
            float d[4] = {};
            for (int s = g * kMmas; s < (g + 1) * kMmas; ++s) {
              mma_bf16(d, a[s], {upper[2 * s], upper[2 * s + 1]});
              if (both) mma_bf16(d, a[s], {lower[2 * s], lower[2 * s + 1]});
            }
            for (int i = 0; i < 4; ++i) {
              const GroupScale<kType>& scale = scales[g][i / 2];
              acc[n][i] = fmaf(scale.scale, d[i], acc[n][i]);
              if constexpr (kFormat.has_min) {
                const int row = first_row + n * 8 + pair + i % 2;
                float sum = 0;
                if (row < rows) {
                  const Global<const float> at =
                      sums + int64_t{row} * (stride / 16) + k / 16 + g * kMmas;
                  sum = kMmas == 2 ? at[0] + at[1] : at[0];
                }
                acc[n][i] = fmaf(-scale.min, sum, acc[n][i]);
              }
            }
          }
        }
      } else {
        WideStep<kType> values;
        values.load(data, unit_step, lane);
        constexpr int kParts = WideStep<kType>::kParts;
        uint32_t a[2][kParts][4];
        values.fragments(0, a[0]);
        values.fragments(1, a[1]);
        ASSAY_UNROLL
        for (int n = 0; n < kRowTiles; ++n) {
          if (n >= tiles_of_rows) break;
          uint32_t upper[4], lower[4];
          load_rows(upper, stage, n, step);
          if (both) load_rows(lower, stage + kPartValues, n, step);
          for (int s = 0; s < 2; ++s) {
            for (int part = 0; part < kParts; ++part) {
              mma_bf16(acc[n], a[s][part], {upper[2 * s], upper[2 * s + 1]});
              if (both) mma_bf16(acc[n], a[s][part], {lower[2 * s], lower[2 * s + 1]});
            }
          }
        }
      }
    }
    __syncthreads();
  }

  if (tile >= shape.tiles) return;
  const Global<float> part = out + int64_t{blockIdx.y} * rows * shape.outputs;
  ASSAY_UNROLL
  for (int n = 0; n < kRowTiles; ++n) {
    for (int i = 0; i < 4; ++i) {
      const int row = first_row + n * 8 + pair + i % 2;
      const int64_t output = int64_t{tile} * 16 + group + i / 2 * 8;
      if (row >= rows || output >= shape.outputs) continue;
      const float sum = bias == nullptr ? acc[n][i] : acc[n][i] + bias[output];
      part[row * shape.outputs + output] = sum;
    }
  }
}

// out[i] = Σ_p parts[p][i] + bias, in order of p.
// report: sum_parts threads 128 shared 0 occupancy 50
__global__ void sum_parts(Global<const float> parts, int part_count, int64_t count, int64_t outputs,
                          Global<const float> bias, Global<float> out) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= count) return;
  float sum = parts[i];
  for (int p = 1; p < part_count; ++p) sum += parts[p * count + i];
  out[i] = bias == nullptr ? sum : sum + bias[i % outputs];
}

}  // namespace assay::ASSAY_KERNELS
