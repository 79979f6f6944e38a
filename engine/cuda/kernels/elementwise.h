// Kernels over rows and elements.
#pragma once

#include "engine/cuda/device.h"
#include "engine/cuda/kernels.h"
#include "engine/cuda/kernels/weights.h"

namespace assay::ASSAY_KERNELS {

constexpr int kRowThreads = 128;

// An address that the host wrote into memory.
template <typename T>
__device__ Global<T> global_at(uint64_t address) {
  return Global<T>(reinterpret_cast<T*>(address));
}

// report: embed threads 128 shared 0 occupancy 50
template <DType kType>
__global__ void embed(Global<const uint8_t> weight, CudaWeightShape shape,
                      Global<const int32_t> tokens, Global<float> out) {
  constexpr CudaWeightFormat kFormat = cuda_weight_format(kType);
  const int token = tokens[blockIdx.x];
  const int64_t first_tile = int64_t{token / 16} * shape.units;
  const Global<float> row = out + blockIdx.x * shape.columns;
  for (int64_t k = threadIdx.x; k < shape.columns; k += kRowThreads) {
    const auto unit = static_cast<int>(k / kFormat.unit);
    const Global<const uint8_t> tile = weight + (first_tile + unit) * kFormat.tile_bytes();
    row[k] = weight_value<kType>(tile, token % 16, static_cast<int>(k % kFormat.unit));
  }
}

// The block's sum of the threads' values, the same for all; `lanes` has a place for each warp.
__device__ inline float sum_of_block(float value, Shared<float> lanes) {
  for (int apart = 16; apart > 0; apart /= 2) value += __shfl_xor_sync(~0u, value, apart);
  if (threadIdx.x % 32 == 0) lanes[threadIdx.x / 32] = value;
  __syncthreads();
  float sum = 0;
  for (unsigned i = 0; i < blockDim.x / 32; ++i) sum += lanes[i];
  return sum;
}

// report: rms_norm threads 128 shared 0 occupancy 50
__global__ void rms_norm(Global<const float> x, Global<const float> scale, float eps, int width,
                         Global<float> out) {
  ASSAY_SHARED(float, lanes, kRowThreads / 32);
  const int64_t row = int64_t{blockIdx.x} * width;
  float squares = 0;
  for (int i = static_cast<int>(threadIdx.x); i < width; i += kRowThreads) {
    const float value = x[row + i];
    squares = fmaf(value, value, squares);
  }
  const float mean = sum_of_block(squares, lanes) / static_cast<float>(width);
  const float factor = 1.0f / sqrtf(mean + eps);
  for (int i = static_cast<int>(threadIdx.x); i < width; i += kRowThreads) {
    out[row + i] = x[row + i] * factor * scale[i];
  }
}

// Each thread takes two values; eight threads make a sum.
// report: split_activations threads 128 shared 0 occupancy 50
__global__ void split_activations(Global<const float> x, int columns, int stride,
                                  Global<uint16_t> high, Global<uint16_t> low, Global<float> sums) {
  const int64_t row = blockIdx.x;
  for (int k = static_cast<int>(threadIdx.x) * 2; k < stride; k += kRowThreads * 2) {
    const float first = k < columns ? x[row * columns + k] : 0.0f;
    const float second = k + 1 < columns ? x[row * columns + k + 1] : 0.0f;
    const uint32_t upper = pack_bf16(first, second);
    store_as(high + row * stride + k, upper);
    float sum = low_bf16(upper) + high_bf16(upper);
    if (!(low == nullptr)) {
      const uint32_t lower = pack_bf16(first - low_bf16(upper), second - high_bf16(upper));
      store_as(low + row * stride + k, lower);
      sum = (low_bf16(upper) + low_bf16(lower)) + (high_bf16(upper) + high_bf16(lower));
    }
    for (int apart = 4; apart > 0; apart /= 2) sum += __shfl_xor_sync(~0u, sum, apart);
    if (k % 16 == 0) sums[row * (stride / 16) + k / 16] = sum;
  }
}

// report: add threads 128 shared 0 occupancy 50
__global__ void add(Global<float> x, Global<const float> y, int64_t count) {
  const int64_t i = int64_t{blockIdx.x} * kRowThreads + threadIdx.x;
  if (i < count) x[i] = x[i] + y[i];
}

// report: swiglu threads 128 shared 0 occupancy 50
__global__ void swiglu(Global<float> gate, Global<const float> up, int64_t count) {
  const int64_t i = int64_t{blockIdx.x} * kRowThreads + threadIdx.x;
  if (i >= count) return;
  const float g = gate[i];
  gate[i] = g / (1.0f + exp_f32(-g)) * up[i];
}

// A block rotates all heads of a row.
// report: rope threads 128 shared 0 occupancy 50
__global__ void rope(Global<float> q, Global<float> k, Global<const float> angles, int heads,
                     int kv_heads, int head_dim, int step, int apart) {
  const int half = head_dim / 2;
  const int64_t row = blockIdx.x;
  for (int i = static_cast<int>(threadIdx.x); i < (heads + kv_heads) * half; i += kRowThreads) {
    const int head = i / half, pair = i % half;
    const Global<float> at = head < heads ? q + (row * heads + head) * head_dim
                                          : k + (row * kv_heads + head - heads) * head_dim;
    const float cosine = angles[row * head_dim + 2 * pair];
    const float sine = angles[row * head_dim + 2 * pair + 1];
    const float a = at[pair * step], b = at[pair * step + apart];
    at[pair * step] = a * cosine - b * sine;
    at[pair * step + apart] = a * sine + b * cosine;
  }
}

// report: gather threads 128 shared 0 occupancy 50
__global__ void gather(Global<const float> x, Global<const int32_t> rows, int width,
                       Global<float> out) {
  const int64_t from = int64_t{rows[blockIdx.x]} * width, to = int64_t{blockIdx.x} * width;
  for (int i = static_cast<int>(threadIdx.x); i < width; i += kRowThreads) {
    out[to + i] = x[from + i];
  }
}

// A page holds bf16 keys [kv_heads][16][head_dim], then values; a thread writes two.
// report: store_kv threads 128 shared 0 occupancy 50
__global__ void store_kv(Global<const float> k, Global<const float> v,
                         Global<const int32_t> positions, Global<const uint64_t> pages,
                         int page_stride, int kv_heads, int head_dim, uint64_t layer_offset) {
  const int64_t row = blockIdx.x;
  const int position = positions[row], slot = position % kPageTokens;
  const uint64_t page = pages[row * page_stride + position / kPageTokens] + layer_offset;
  const int width = kv_heads * head_dim;
  const Global<uint16_t> keys = global_at<uint16_t>(page);
  const Global<uint16_t> values = keys + int64_t{width} * kPageTokens;
  for (int i = static_cast<int>(threadIdx.x) * 2; i < width; i += kRowThreads * 2) {
    const int64_t at = (int64_t{i / head_dim} * kPageTokens + slot) * head_dim + i % head_dim;
    store_as(keys + at, pack_bf16(k[row * width + i], k[row * width + i + 1]));
    store_as(values + at, pack_bf16(v[row * width + i], v[row * width + i + 1]));
  }
}

}  // namespace assay::ASSAY_KERNELS
