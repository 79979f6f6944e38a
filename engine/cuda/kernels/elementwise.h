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

// From a table of bf16 or fp16 that is not in tiles.
// report: embed_rows threads 128 shared 0 occupancy 50
template <bool kHalf>
__global__ void embed_rows(Global<const uint16_t> table, int stride, int64_t columns,
                           Global<const int32_t> tokens, Global<float> out) {
  const Global<const uint16_t> from = table + int64_t{tokens[blockIdx.x]} * stride;
  const Global<float> row = out + blockIdx.x * columns;
  for (int64_t k = threadIdx.x; k < columns; k += kRowThreads) {
    row[k] = kHalf ? half_bits_to_float(from[k]) : low_bf16(from[k]);
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

// The largest of the threads' values.
__device__ inline float most_of_block(float value, Shared<float> lanes) {
  for (int apart = 16; apart > 0; apart /= 2) {
    value = fmaxf(value, __shfl_xor_sync(~0u, value, apart));
  }
  if (threadIdx.x % 32 == 0) lanes[threadIdx.x / 32] = value;
  __syncthreads();
  float most = lanes[0];
  for (unsigned i = 1; i < blockDim.x / 32; ++i) most = fmaxf(most, lanes[i]);
  return most;
}

// Where a row's activations go as products take them, see CudaActivations; `low` may be null.
struct SplitRow {
  Global<uint16_t> high, low;
  Global<float> sums;

  // Values k and k + 1; the lanes of a warp have 64 of them side by side.
  __device__ void store(int k, float first, float second) const {
    const uint32_t upper = pack_bf16(first, second);
    store_as(high + k, upper);
    float sum = low_bf16(upper) + high_bf16(upper);
    if (!(low == nullptr)) {
      const uint32_t lower = pack_bf16(first - low_bf16(upper), second - high_bf16(upper));
      store_as(low + k, lower);
      sum = (low_bf16(upper) + low_bf16(lower)) + (high_bf16(upper) + high_bf16(lower));
    }
    for (int apart = 4; apart > 0; apart /= 2) sum += __shfl_xor_sync(~0u, sum, apart);
    if (k % 16 == 0) sums[k / 16] = sum;
  }
};

__device__ inline SplitRow split_row(int64_t row, int stride, Global<uint16_t> high,
                                     Global<uint16_t> low, Global<float> sums) {
  if (low == nullptr) return {high + row * stride, nullptr, sums + row * (stride / 16)};
  return {high + row * stride, low + row * stride, sums + row * (stride / 16)};
}

// Norms wait for memory: many threads a row, and each keeps what it has read, two values side by
// side, for widths up to 2 * kNormThreads * kNormKept.
constexpr int kNormThreads = 512, kNormKept = 8;

// The norm of x + y, which is kept in x, or of x where y is null; its `stride` values as products
// take them too, zeros behind `width`.
__device__ inline void norm_of_row(Global<float> kept_sum, Global<const float> x,
                                   Global<const float> y, Global<const float> scale, float eps,
                                   int width, int stride, Shared<float> lanes, Global<float> out,
                                   const SplitRow& split) {
  const bool adds = !(y == nullptr);
  const int own = static_cast<int>(threadIdx.x) * 2;
  float kept[kNormKept][2];
  float squares = 0;
  ASSAY_UNROLL
  for (int n = 0; n < kNormKept; ++n) {
    ASSAY_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int i = own + n * 2 * kNormThreads + half;
      kept[n][half] = i < width ? x[i] : 0.0f;
      if (adds && i < width) kept[n][half] += y[i];
    }
  }
  ASSAY_UNROLL
  for (int n = 0; n < kNormKept; ++n) {
    ASSAY_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int i = own + n * 2 * kNormThreads + half;
      squares = fmaf(kept[n][half], kept[n][half], squares);
      if (adds && i < width) kept_sum[i] = kept[n][half];
    }
  }
  constexpr int kRest = kNormKept * 2 * kNormThreads;
  for (int i = own / 2 + kRest; i < width; i += kNormThreads) {
    const float value = adds ? x[i] + y[i] : x[i];
    squares = fmaf(value, value, squares);
    if (adds) kept_sum[i] = value;
  }
  const float mean = sum_of_block(squares, lanes) / static_cast<float>(width);
  const float factor = 1.0f / sqrtf(mean + eps);
  __syncthreads();  // other threads wrote the rest of the sums
  for (int i = own + kRest; i < stride; i += 2 * kNormThreads) {
    float value[2];
    for (int half = 0; half < 2; ++half) {
      const bool is = i + half < width;
      value[half] = is ? x[i + half] * factor * scale[i + half] : 0.0f;
      if (is) out[i + half] = value[half];
    }
    split.store(i, value[0], value[1]);
  }
  ASSAY_UNROLL
  for (int n = 0; n < kNormKept; ++n) {
    const int i = own + n * 2 * kNormThreads;
    if (i >= stride) break;
    ASSAY_UNROLL
    for (int half = 0; half < 2; ++half) {
      if (i + half >= width) continue;
      kept[n][half] = kept[n][half] * factor * scale[i + half];
      out[i + half] = kept[n][half];
    }
    split.store(i, kept[n][0], kept[n][1]);
  }
}

// report: rms_norm threads 512 shared 0 occupancy 50
__global__ void __launch_bounds__(kNormThreads)
    rms_norm(Global<const float> x, Global<const float> scale, float eps, int width,
             Global<float> out, int stride, Global<uint16_t> high, Global<uint16_t> low,
             Global<float> sums) {
  ASSAY_SHARED(float, lanes, kNormThreads / 32);
  const int64_t row = blockIdx.x;
  norm_of_row(nullptr, x + row * width, nullptr, scale, eps, width, stride, lanes,
              out + row * width, split_row(row, stride, high, low, sums));
}

// report: add_rms_norm threads 512 shared 0 occupancy 50
__global__ void __launch_bounds__(kNormThreads)
    add_rms_norm(Global<float> x, Global<const float> y, Global<const float> scale, float eps,
                 int width, Global<float> out, int stride, Global<uint16_t> high,
                 Global<uint16_t> low, Global<float> sums) {
  ASSAY_SHARED(float, lanes, kNormThreads / 32);
  const int64_t row = blockIdx.x;
  norm_of_row(x + row * width, x + row * width, y + row * width, scale, eps, width, stride, lanes,
              out + row * width, split_row(row, stride, high, low, sums));
}

// A block has 2 * kRowThreads values of a row.
// report: split_activations threads 128 shared 0 occupancy 50
__global__ void split_activations(Global<const float> x, int columns, int stride,
                                  Global<uint16_t> high, Global<uint16_t> low, Global<float> sums) {
  const int64_t row = blockIdx.x;
  const int k = static_cast<int>(blockIdx.y * kRowThreads + threadIdx.x) * 2;
  if (k >= stride) return;
  const float first = k < columns ? x[row * columns + k] : 0.0f;
  const float second = k + 1 < columns ? x[row * columns + k + 1] : 0.0f;
  split_row(row, stride, high, low, sums).store(k, first, second);
}

// A row's values times the power of two that brings the largest one close to 2^15, as sums of two
// fp16 values, of which the second may be left out; factors[row] undoes it. Of a row with something
// infinite or no number nothing is changed.
// report: split_halves threads 128 shared 0 occupancy 50
__global__ void split_halves(Global<const float> x, int columns, int stride, Global<uint16_t> high,
                             Global<uint16_t> low, Global<float> factors) {
  ASSAY_SHARED(float, lanes, kRowThreads / 32);
  const int64_t row = blockIdx.x;
  float largest = 0;
  bool finite = true;
  for (int k = static_cast<int>(threadIdx.x); k < columns; k += kRowThreads) {
    const float size = fabsf(x[row * columns + k]);
    finite = finite && __float_as_uint(size) < 0x7F800000u;
    largest = fmaxf(largest, size);
  }
  largest = most_of_block(finite ? largest : __uint_as_float(0x7F800000u), lanes);
  int exponent = static_cast<int>(__float_as_uint(largest) >> 23) - 127;
  exponent = exponent > 127 || largest == 0 ? 14 : exponent < -112 ? -112 : exponent;
  const float scale = __uint_as_float(static_cast<uint32_t>(14 - exponent + 127) << 23);
  for (int k = static_cast<int>(threadIdx.x); k < stride; k += kRowThreads) {
    const float value = k < columns ? x[row * columns + k] * scale : 0.0f;
    const uint16_t upper = float_to_half_bits(value);
    high[row * stride + k] = upper;
    if (!(low == nullptr)) {
      low[row * stride + k] = float_to_half_bits(value - half_bits_to_float(upper));
    }
  }
  if (threadIdx.x == 0) {
    factors[row] = __uint_as_float(static_cast<uint32_t>(exponent - 14 + 127) << 23);
  }
}

// report: scale_rows threads 128 shared 0 occupancy 50
__global__ void scale_rows(Global<const float> sums, Global<const float> factors, int64_t count,
                           int64_t outputs, Global<const float> bias, Global<float> out) {
  const int64_t i = int64_t{blockIdx.x} * kRowThreads + threadIdx.x;
  if (i >= count) return;
  const float value = sums[i] * factors[i / outputs];
  out[i] = bias == nullptr ? value : value + bias[i % outputs];
}

// In place, and as products take it; a block has 2 * kRowThreads values of a row.
// report: swiglu threads 128 shared 0 occupancy 50
__global__ void swiglu(Global<float> gate, Global<const float> up, int width, int stride,
                       Global<uint16_t> high, Global<uint16_t> low, Global<float> sums) {
  const int64_t row = blockIdx.x;
  const int k = static_cast<int>(blockIdx.y * kRowThreads + threadIdx.x) * 2;
  if (k >= stride) return;
  float value[2] = {};
  ASSAY_UNROLL
  for (int half = 0; half < 2; ++half) {
    if (k + half >= width) continue;
    const int64_t i = row * width + k + half;
    const float g = gate[i];
    value[half] = g / (1.0f + exp_f32(-g)) * up[i];
    gate[i] = value[half];
  }
  split_row(row, stride, high, low, sums).store(k, value[0], value[1]);
}

// Element d of a head, rotated.
__device__ inline float rotated(Global<const float> head, Global<const float> angles, int d,
                                int step, int apart) {
  // Of pair i, first is at i · step and second at first + apart.
  const bool is_second = step == 1 ? d >= apart : d % 2 == 1;
  const int first = is_second ? d - apart : d, pair = first / step;
  const float a = head[first], b = head[first + apart];
  const float cosine = angles[2 * pair], sine = angles[2 * pair + 1];
  return is_second ? a * sine + b * cosine : a * cosine - b * sine;
}

__device__ inline void rotate_queries(Global<float> q, Global<const float> angles, int heads,
                                      int head_dim, int step, int apart) {
  const int half = head_dim / 2;
  const int first = static_cast<int>(blockIdx.y * kRowThreads + threadIdx.x);
  for (int i = first; i < heads * half; i += static_cast<int>(gridDim.y * kRowThreads)) {
    const int pair = i % half;
    const Global<float> at = q + (int64_t{i / half} * head_dim + pair * step);
    const float cosine = angles[2 * pair], sine = angles[2 * pair + 1];
    const float a = at[0], b = at[apart];
    at[0] = a * cosine - b * sine;
    at[apart] = a * sine + b * cosine;
  }
}

// The blocks in y share a row: they rotate its query heads in place, and its keys on their way into
// the page, which holds keys [kv_heads][16][head_dim] and values, bf16.
// report: rope_and_store threads 128 shared 0 occupancy 50
__global__ void rope_and_store(Global<float> q, Global<const float> k, Global<const float> v,
                               Global<const float> angles, Global<const int32_t> positions,
                               Global<const uint64_t> pages, int page_stride, int heads,
                               int kv_heads, int head_dim, int step, int apart,
                               uint64_t layer_offset) {
  const int64_t row = blockIdx.x;
  const int position = positions[row], width = kv_heads * head_dim;
  const uint64_t page = pages[row * page_stride + position / kPageTokens] + layer_offset;
  const Global<uint16_t> keys = global_at<uint16_t>(page);
  const Global<uint16_t> values = keys + int64_t{width} * kPageTokens;
  const Global<const float> own_angles = angles + row * head_dim;
  rotate_queries(q + row * heads * head_dim, own_angles, heads, head_dim, step, apart);
  const int first = static_cast<int>(blockIdx.y * kRowThreads + threadIdx.x) * 2;
  for (int i = first; i < width; i += static_cast<int>(gridDim.y * kRowThreads) * 2) {
    const int head = i / head_dim, d = i % head_dim;
    const int64_t to = (int64_t{head} * kPageTokens + position % kPageTokens) * head_dim + d;
    const Global<const float> key = k + (row * width + head * head_dim);
    store_as(keys + to, pack_bf16(rotated(key, own_angles, d, step, apart),
                                  rotated(key, own_angles, d + 1, step, apart)));
    store_as(values + to, pack_bf16(v[row * width + i], v[row * width + i + 1]));
  }
}

// 32 values of a warp as whole numbers of the largest / 127, and the scale.
__device__ inline void store_int8(float value, Global<int8_t> to, Global<float> scale) {
  float most = fabsf(value);
  for (int apart = 16; apart > 0; apart /= 2) {
    const float other = __shfl_xor_sync(~0u, most, apart);
    most = other > most || other != other ? other : most;  // what is not a number stays
  }
  const float unit = most / 127.0f;
  to[0] = static_cast<int8_t>(most > 1e-30f ? rintf(value / unit) : 0.0f);
  if (threadIdx.x % 32 == 0) scale[0] = most > 1e-30f || most != most ? unit : 0.0f;
}

// The same with int8; a warp has 32 dimensions of a head. Behind the values are the f32 scales of
// keys and values, [kv_heads][head_dim / 32][16] each.
// report: rope_and_store_int8 threads 128 shared 0 occupancy 50
__global__ void rope_and_store_int8(Global<float> q, Global<const float> k, Global<const float> v,
                                    Global<const float> angles, Global<const int32_t> positions,
                                    Global<const uint64_t> pages, int page_stride, int heads,
                                    int kv_heads, int head_dim, int step, int apart,
                                    uint64_t layer_offset) {
  const int64_t row = blockIdx.x;
  const int position = positions[row], slot = position % kPageTokens;
  const int width = kv_heads * head_dim, groups = head_dim / 32;
  const uint64_t page = pages[row * page_stride + position / kPageTokens] + layer_offset;
  const Global<int8_t> keys = global_at<int8_t>(page);
  const Global<int8_t> values = keys + int64_t{width} * kPageTokens;
  const Global<float> scales = global_at<float>(page + uint64_t{2} * width * kPageTokens);
  const Global<const float> own_angles = angles + row * head_dim;
  rotate_queries(q + row * heads * head_dim, own_angles, heads, head_dim, step, apart);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int first = static_cast<int>(blockIdx.y * kRowThreads + threadIdx.x) / 32;
  for (int g = first; g < width / 32; g += static_cast<int>(gridDim.y * kRowThreads) / 32) {
    const int head = g / groups, d = g % groups * 32 + lane;
    const int64_t to = (int64_t{head} * kPageTokens + slot) * head_dim + d;
    const Global<const float> key = k + (row * width + head * head_dim);
    store_int8(rotated(key, own_angles, d, step, apart), keys + to,
               scales + (g * kPageTokens + slot));
    store_int8(v[row * width + g * 32 + lane], values + to,
               scales + ((width / 32 + g) * kPageTokens + slot));
  }
}

// report: take_drawn threads 128 shared 0 occupancy 50
__global__ void take_drawn(Global<int32_t> tokens, int rows, Global<const CudaSampled> drawn) {
  const int r = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (r >= rows || tokens[r] >= 0) return;
  const int32_t token = drawn[-1 - tokens[r]].token;
  tokens[r] = token < 0 ? 0 : token;
}

// report: gather threads 128 shared 0 occupancy 50
__global__ void gather(Global<const float> x, Global<const int32_t> rows, int width,
                       Global<float> out) {
  const int64_t from = int64_t{rows[blockIdx.x]} * width, to = int64_t{blockIdx.x} * width;
  for (int i = static_cast<int>(threadIdx.x); i < width; i += kRowThreads) {
    out[to + i] = x[from + i];
  }
}

}  // namespace assay::ASSAY_KERNELS
