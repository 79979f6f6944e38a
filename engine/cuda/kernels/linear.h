// Products with weights, by mma.m16n8k16 of bf16 with f32 sums: A is the weight, 16 outputs a tile,
// B the activations, 8 rows of the batch a fragment.
//
// Whole numbers q of quantized weights and bf16 weights are exact in bf16, wider weights are sums
// of two or three bf16 values, activations of two: so every product is exact, and what rounds are
// the activations (to 16 bits) and the f32 sums. A row's sums run in order of k within fixed parts
// of k: a function of the weight's shape, not of the number of rows, nor of how many of them and
// of the outputs a warp takes.
//
// Activations come through a ring of chunks in shared memory; a lane holds its values of a chunk
// of weights in registers while those of the next one are on their way, and the lines of the one
// after go to the L2 cache.
#pragma once

#include <type_traits>

#include "engine/cuda/device.h"
#include "engine/cuda/kernels.h"
#include "engine/cuda/kernels/weights.h"

namespace assay::ASSAY_KERNELS {

constexpr int kLinearStages = 3;
constexpr int kRowStride = kCudaChunk + 8;  // rows shifted by 16 bytes: no bank conflicts

// A stage of the ring, in 16-bit values: the rows' high parts, low parts, and four sums in f32.
constexpr int linear_part_values(int row_tiles) { return row_tiles * 8 * kRowStride; }
constexpr int linear_stage_values(int row_tiles) {
  return 2 * linear_part_values(row_tiles) + row_tiles * 8 * 8;
}
constexpr int linear_shared_bytes(int row_tiles) {
  return kLinearStages * linear_stage_values(row_tiles) * 2;
}

// Asks for a chunk of the rows' activations; rows behind the last are zeros.
template <int kRowTiles, int kThreads, bool kBoth, bool kSums>
__device__ inline void load_chunk(Shared<uint16_t> stage, Global<const uint16_t> high,
                                  Global<const uint16_t> low, Global<const float> sums,
                                  int first_row, int rows, int stride, int chunk) {
  constexpr int kPieces = kCudaChunk / 8, kRows = kRowTiles * 8;
  const int own = static_cast<int>(threadIdx.x);
  const int column = chunk * kCudaChunk + own % kPieces * 8;
  ASSAY_UNROLL
  for (int i = 0; i < (kRows * kPieces + kThreads - 1) / kThreads; ++i) {
    const int row = own / kPieces + i * (kThreads / kPieces);
    const int to = row * kRowStride + own % kPieces * 8;
    const bool valid = first_row + row < rows;
    const int from = valid ? (first_row + row) * stride + column : 0;
    if (kRows * kPieces < kThreads && row >= kRows) break;
    copy_async_16(stage + to, high + from, valid);
    if constexpr (kBoth) {
      copy_async_16(stage + (linear_part_values(kRowTiles) + to), low + from, valid);
    }
  }
  if constexpr (kSums) {
    if (own < kRows) {
      const bool valid = first_row + own < rows;
      const int from = valid ? (first_row + own) * (stride / 16) + chunk * 4 : 0;
      copy_async_16(stage + (2 * linear_part_values(kRowTiles) + own * 8), sums + from, valid);
    }
  }
}

// B's fragments of 32 values of row tile n: two mma.
__device__ inline void load_rows(uint32_t (&b)[4], Shared<uint16_t> part, int n, int step) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  load_matrices_4(b, part + ((n * 8 + lane % 8) * kRowStride + step * 32 + lane / 8 * 8));
}

// How a launch is cut: a block has kWarps warps, a warp kOutTiles tiles of outputs, for kRowTiles
// tiles of rows; kBlocks blocks share a multiprocessor.
template <int kRows, int kOuts, int kWarpCount, int kBlockCount>
struct LinearCut {
  static constexpr int kRowTiles = kRows, kOutTiles = kOuts, kWarps = kWarpCount,
                       kBlocks = kBlockCount;
};

// Spills are of a few constants of the loop: the compiler would rather have them and every product
// in flight. Cuts without any were slower on an H100.
// report: linear<1> threads 128 shared 7296 occupancy 25 spills 64
// report: linear<4> threads 128 shared 29184 occupancy 16 spills 256
// report: linear<8> threads 128 shared 58368 occupancy 8 spills 256
template <DType kType, typename Cut, bool kBoth>
__global__ void __launch_bounds__(32 * Cut::kWarps, Cut::kBlocks)
    linear(CudaLinears products, Global<const uint16_t> high, Global<const uint16_t> low,
           Global<const float> sums, int stride, int rows) {
  constexpr int kRowTiles = Cut::kRowTiles, kOutTiles = Cut::kOutTiles, kWarps = Cut::kWarps;
  constexpr CudaWeightFormat kFormat = cuda_weight_format(kType);
  using Chunk = std::conditional_t<kFormat.quantized, QuantChunk<kType>, WideChunk<kType>>;
  constexpr int kParts = Chunk::kParts, kBlockTiles = kWarps * kOutTiles;
  constexpr int kStage = linear_stage_values(kRowTiles), kPart = linear_part_values(kRowTiles);
  const auto blocks_of = [](const CudaLinear& product) {
    return (product.shape.tiles + kBlockTiles - 1) / kBlockTiles;
  };
  CudaLinear product = products.each[0];
  int block = static_cast<int>(blockIdx.y);
  ASSAY_UNROLL
  for (int i = 1; i < kCudaLinears; ++i) {
    if (i < products.count && block >= blocks_of(product)) {
      block -= blocks_of(product);
      product = products.each[i];
    }
  }
  const int split = static_cast<int>(blockIdx.z);
  if (split >= product.splits) return;

  const Shared<uint16_t> memory = ASSAY_DYNAMIC_SHARED(uint16_t);
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const int group = lane / 4, pair = lane % 4 * 2;
  const int first_tile = (block * kWarps + warp) * kOutTiles;
  const int first_row = static_cast<int>(blockIdx.x) * (kRowTiles * 8);
  const int chunks = stride / kCudaChunk, units = product.shape.units;
  const int split_chunks = (chunks + product.splits - 1) / product.splits;
  const int begin = split * split_chunks;
  const int end = begin + split_chunks < chunks ? begin + split_chunks : chunks;

  // A warp without tiles reads the last one's and keeps nothing of it.
  Global<const uint8_t> tiles[kOutTiles];
  ASSAY_UNROLL
  for (int t = 0; t < kOutTiles; ++t) {
    const int tile =
        first_tile + t < product.shape.tiles ? first_tile + t : product.shape.tiles - 1;
    tiles[t] = Global<const uint8_t>(product.weight) + int64_t{tile} * units * kFormat.tile_bytes();
  }
  const auto load_activations = [&](int chunk) {
    if (chunk < end) {
      load_chunk<kRowTiles, 32 * kWarps, kBoth, kFormat.has_min>(
          memory + (chunk - begin) % kLinearStages * kStage, high, low, sums, first_row, rows,
          stride, chunk);
    }
    commit_copies();
  };
  struct Chunks {
    Chunk each[kOutTiles];
  };
  const auto load_weights = [&](Chunks& to, int chunk) {
    const int unit = chunk / kFormat.chunks(), own = chunk % kFormat.chunks();
    ASSAY_UNROLL
    for (int t = 0; t < kOutTiles; ++t) {
      const Global<const uint8_t> tile = tiles[t] + int64_t{unit} * kFormat.tile_bytes();
      to.each[t].load(tile, own, lane);
      constexpr int kUnitsAhead = kFormat.chunks() > 1 ? 2 : 6;
      const int line = lane * 128;
      if (own == 0 && unit + kUnitsAhead < units && line < kFormat.tile_bytes()) {
        prefetch_l2(tile + (kUnitsAhead * kFormat.tile_bytes() + line));
      }
    }
  };

  float acc[kOutTiles][kRowTiles][4] = {};
  Chunks next;
  if (begin < end) load_weights(next, begin);
  ASSAY_UNROLL
  for (int i = 0; i < kLinearStages - 1; ++i) load_activations(begin + i);
  for (int chunk = begin; chunk < end; ++chunk) {
    const auto current = next;
    if (chunk + 1 < end) load_weights(next, chunk + 1);
    wait_copies<kLinearStages - 2>();
    __syncthreads();  // the chunk is there for all, and all are done with the one before it
    load_activations(chunk + kLinearStages - 1);
    const Shared<uint16_t> stage = memory + (chunk - begin) % kLinearStages * kStage;
    ASSAY_UNROLL
    for (int step = 0; step < 2; ++step) {
      constexpr int kGroups = kFormat.chunk_groups() > 1 ? kFormat.chunk_groups() / 2 : 1;
      constexpr int kMmas = 2 / kGroups;
      uint32_t a[kOutTiles][2][kParts][4];
      float scales[kOutTiles][kGroups][2], mins[kOutTiles][kGroups][2];
      ASSAY_UNROLL
      for (int t = 0; t < kOutTiles; ++t) {
        ASSAY_UNROLL
        for (int m = 0; m < 2; ++m) current.each[t].fragment(2 * step + m, a[t][m]);
        if constexpr (kFormat.quantized) {
          ASSAY_UNROLL
          for (int i = 0; i < 2 * kGroups; ++i) {
            const int group_of_chunk = step * kGroups + i / 2;
            scales[t][i / 2][i % 2] = current.each[t].scale(group_of_chunk, i % 2);
            if constexpr (kFormat.has_min) {
              mins[t][i / 2][i % 2] = current.each[t].min(group_of_chunk, i % 2);
            }
          }
        }
      }
      ASSAY_UNROLL
      for (int n = 0; n < kRowTiles; ++n) {
        if (n > 0) __syncwarp();
        uint32_t upper[4], lower[4];
        load_rows(upper, stage, n, step);
        if constexpr (kBoth) load_rows(lower, stage + kPart, n, step);
        const auto multiply = [&](float(&to)[4], int t, int m) {
          ASSAY_UNROLL
          for (int p = 0; p < kParts; ++p) {
            mma_bf16(to, a[t][m][p], {upper[2 * m], upper[2 * m + 1]});
            if constexpr (kBoth) mma_bf16(to, a[t][m][p], {lower[2 * m], lower[2 * m + 1]});
          }
        };
        if constexpr (!kFormat.quantized) {
          ASSAY_UNROLL
          for (int t = 0; t < kOutTiles; ++t) {
            ASSAY_UNROLL
            for (int m = 0; m < 2; ++m) multiply(acc[t][n], t, m);
          }
        } else {
          float row_sums[2][kGroups];
          if constexpr (kFormat.has_min) {
            ASSAY_UNROLL
            for (int i = 0; i < 2; ++i) {
              const auto two =
                  load_as<float2>(stage + (2 * kPart + (n * 8 + pair + i) * 8 + step * 4));
              row_sums[i][0] = kGroups == 1 ? two.x + two.y : two.x;
              if constexpr (kGroups == 2) row_sums[i][1] = two.y;
            }
          }
          ASSAY_UNROLL
          for (int t = 0; t < kOutTiles; ++t) {
            ASSAY_UNROLL
            for (int g = 0; g < kGroups; ++g) {
              float d[4] = {};
              ASSAY_UNROLL
              for (int m = g * kMmas; m < (g + 1) * kMmas; ++m) multiply(d, t, m);
              ASSAY_UNROLL
              for (int i = 0; i < 4; ++i) {
                acc[t][n][i] = fmaf(scales[t][g][i / 2], d[i], acc[t][n][i]);
                if constexpr (kFormat.has_min) {
                  acc[t][n][i] = fmaf(-mins[t][g][i / 2], row_sums[i % 2][g], acc[t][n][i]);
                }
              }
            }
          }
        }
      }
    }
  }

  const bool whole = product.splits == 1;
  const Global<float> out =
      whole ? Global<float>(product.out)
            : Global<float>(product.parts) + int64_t{split} * rows * product.shape.outputs;
  const Global<const float> bias(whole ? product.bias : nullptr);
  ASSAY_UNROLL
  for (int t = 0; t < kOutTiles; ++t) {
    ASSAY_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int64_t output = int64_t{first_tile + t} * 16 + group + i / 2 * 8;
      if (output >= product.shape.outputs) continue;
      const float shift = bias == nullptr ? 0.0f : bias[output];
      ASSAY_UNROLL
      for (int n = 0; n < kRowTiles; ++n) {
        const int row = first_row + n * 8 + pair + i % 2;
        if (row < rows) out[row * product.shape.outputs + output] = acc[t][n][i] + shift;
      }
    }
  }
}

// out[i] = Σ_p parts[p][i] + bias, in order of p, for each of the sums.
// report: sum_parts threads 128 shared 0 occupancy 50
__global__ void sum_parts(CudaSums sums) {
  CudaSum sum = sums.each[0];
  ASSAY_UNROLL
  for (int i = 1; i < kCudaLinears; ++i) {
    if (static_cast<int>(blockIdx.y) == i) sum = sums.each[i];
  }
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= sum.count) return;
  const Global<const float> parts(sum.parts), bias(sum.bias);
  float total = parts[i];
  for (int p = 1; p < sum.part_count; ++p) total += parts[p * sum.count + i];
  Global<float>(sum.out)[i] = bias == nullptr ? total : total + bias[i % sum.outputs];
}

}  // namespace assay::ASSAY_KERNELS
