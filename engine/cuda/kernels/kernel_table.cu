// The launchers. nvcc builds this file for the GPU; simt/kernel_table.cc includes it for the
// emulator.
#include <algorithm>

#include "engine/cuda/device.h"
#include "engine/cuda/kernels.h"
#include "engine/cuda/kernels/attention.h"
#include "engine/cuda/kernels/elementwise.h"
#include "engine/cuda/kernels/linear.h"
#include "engine/cuda/kernels/logprobs.h"
#include "engine/cuda/kernels/sample.h"

namespace assay::ASSAY_KERNELS {
namespace {

unsigned blocks_for(int64_t count, int threads) {
  return static_cast<unsigned>((count + threads - 1) / threads);
}

// Calls body.operator()<kType>() for the type.
template <typename Body>
void with_type(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::kF32:
      return body.template operator()<DType::kF32>();
    case DType::kF16:
      return body.template operator()<DType::kF16>();
    case DType::kBF16:
      return body.template operator()<DType::kBF16>();
    case DType::kQ8_0:
      return body.template operator()<DType::kQ8_0>();
    case DType::kQ4_0:
      return body.template operator()<DType::kQ4_0>();
    case DType::kQ4_1:
      return body.template operator()<DType::kQ4_1>();
    case DType::kQ5_0:
      return body.template operator()<DType::kQ5_0>();
    case DType::kQ5_1:
      return body.template operator()<DType::kQ5_1>();
    case DType::kQ2_K:
      return body.template operator()<DType::kQ2_K>();
    case DType::kQ3_K:
      return body.template operator()<DType::kQ3_K>();
    case DType::kQ4_K:
      return body.template operator()<DType::kQ4_K>();
    case DType::kQ5_K:
      return body.template operator()<DType::kQ5_K>();
    case DType::kQ6_K:
      return body.template operator()<DType::kQ6_K>();
  }
}

void launch_take_drawn(CudaStream stream, int32_t* tokens, int rows, const CudaSampled* drawn) {
  ASSAY_LAUNCH(take_drawn, dim3{blocks_for(rows, kRowThreads)}, dim3{kRowThreads}, 0, stream,
               tokens, rows, drawn);
}

void launch_embed(CudaStream stream, const CudaWeightView& weight, const CudaRows& batch, int rows,
                  float* out) {
  if (weight.row_stride > 0) {
    const auto launch = [&]<bool kHalf>() {
      ASSAY_LAUNCH(embed_rows<kHalf>, dim3{static_cast<unsigned>(rows)}, dim3{kRowThreads}, 0,
                   stream, reinterpret_cast<const uint16_t*>(weight.data), weight.row_stride,
                   weight.shape.columns, batch.tokens, out);
    };
    return weight.dtype == DType::kF16 ? launch.template operator()<true>()
                                       : launch.template operator()<false>();
  }
  with_type(weight.dtype, [&]<DType kType>() {
    ASSAY_LAUNCH(embed<kType>, dim3{static_cast<unsigned>(rows)}, dim3{kRowThreads}, 0, stream,
                 weight.data, weight.shape, batch.tokens, out);
  });
}

void launch_rms_norm(CudaStream stream, const float* x, const float* scale, float eps, int rows,
                     int width, float* out, const CudaActivations& split) {
  ASSAY_LAUNCH(rms_norm, dim3{static_cast<unsigned>(rows)}, dim3{kNormThreads}, 0, stream, x, scale,
               eps, width, out, split.stride, split.high, split.low, split.sums);
}

// A thread has two values of a row.
dim3 split_grid(int rows, int stride) {
  return dim3{static_cast<unsigned>(rows), blocks_for(stride, 2 * kRowThreads)};
}

void launch_split_activations(CudaStream stream, const float* x, int rows, int columns,
                              const CudaActivations& out) {
  ASSAY_LAUNCH(split_activations, split_grid(rows, out.stride), dim3{kRowThreads}, 0, stream, x,
               columns, out.stride, out.high, out.low, out.sums);
}

void launch_split_halves(CudaStream stream, const float* x, int rows, int columns,
                         const CudaHalves& out) {
  ASSAY_LAUNCH(split_halves, dim3{static_cast<unsigned>(rows)}, dim3{kRowThreads}, 0, stream, x,
               columns, out.stride, out.high, out.low, out.factors);
}

void launch_scale_rows(CudaStream stream, const float* sums, const float* factors, int rows,
                       int64_t outputs, const float* bias, float* out) {
  const int64_t count = rows * outputs;
  ASSAY_LAUNCH(scale_rows, dim3{blocks_for(count, kRowThreads)}, dim3{kRowThreads}, 0, stream, sums,
               factors, count, outputs, bias, out);
}

void launch_sum_parts(CudaStream stream, const CudaSums& sums) {
  int64_t most = 0;
  for (int i = 0; i < sums.count; ++i) most = std::max(most, sums.each[i].count);
  const dim3 grid{blocks_for(most, kRowThreads), static_cast<unsigned>(sums.count)};
  ASSAY_LAUNCH(sum_parts, grid, dim3{kRowThreads}, 0, stream, sums);
}

// Blocks in y and z of a launch of products.
template <typename Cut>
dim3 linear_grid(const CudaLinears& products, int rows) {
  unsigned blocks = 0, splits = 1;
  for (int i = 0; i < products.count; ++i) {
    blocks += blocks_for(products.each[i].shape.tiles, Cut::kWarps * Cut::kOutTiles);
    splits = std::max(splits, static_cast<unsigned>(products.each[i].splits));
  }
  return dim3{blocks_for(rows, Cut::kRowTiles * 8), blocks, splits};
}

template <DType kType, typename Cut>
void launch_linear_of(CudaStream stream, const CudaLinears& products, const CudaActivations& x,
                      int rows) {
  const dim3 grid = linear_grid<Cut>(products, rows);
  const auto launch = [&]<bool kBoth>() {
    ASSAY_LAUNCH((linear<kType, Cut, kBoth>), grid, dim3{32 * Cut::kWarps},
                 linear_shared_bytes(Cut::kRowTiles), stream, products, x.high, x.low, x.sums,
                 x.stride, rows);
  };
  return x.low == nullptr ? launch.template operator()<false>()
                          : launch.template operator()<true>();
}

// Which cut is the fastest was measured on an H100. Results do not depend on it.
void launch_linear(CudaStream stream, DType dtype, const CudaLinears& products,
                   const CudaActivations& x, int rows) {
  with_type(dtype, [&]<DType kType>() {
    constexpr int kOutTiles = kType == DType::kF32 ? 1 : 2;  // as many as registers hold
    using Few = LinearCut<1, 1, 4, 5>;
    using Some = LinearCut<4, kOutTiles, 4, 3>;
    using Many = LinearCut<8, kOutTiles, 4, 2>;
    constexpr unsigned kFilling = 200;  // blocks that are enough for a GPU
    if (rows <= 8) return launch_linear_of<kType, Few>(stream, products, x, rows);
    const dim3 grid = linear_grid<Many>(products, rows);
    if (rows <= 32 || grid.x * grid.y * grid.z < kFilling) {
      return launch_linear_of<kType, Some>(stream, products, x, rows);
    }
    return launch_linear_of<kType, Many>(stream, products, x, rows);
  });
  CudaSums sums;
  for (int i = 0; i < products.count; ++i) {
    const CudaLinear& product = products.each[i];
    if (product.splits == 1) continue;
    const int64_t outputs = product.shape.outputs;
    sums.each[sums.count++] = {product.parts, product.splits, rows * outputs,
                               outputs,       product.bias,   product.out};
  }
  if (sums.count > 0) launch_sum_parts(stream, sums);
}

void launch_swiglu(CudaStream stream, float* gate, const float* up, int rows, int width,
                   const CudaActivations& split) {
  ASSAY_LAUNCH(swiglu, split_grid(rows, split.stride), dim3{kRowThreads}, 0, stream, gate, up,
               width, split.stride, split.high, split.low, split.sums);
}

void launch_add_rms_norm(CudaStream stream, float* x, const float* y, const float* scale, float eps,
                         int rows, int width, float* out, const CudaActivations& split) {
  ASSAY_LAUNCH(add_rms_norm, dim3{static_cast<unsigned>(rows)}, dim3{kNormThreads}, 0, stream, x, y,
               scale, eps, width, out, split.stride, split.high, split.low, split.sums);
}

void launch_rope_and_store(CudaStream stream, float* q, const float* k, const float* v,
                           const float* angles, const CudaRows& batch, int rows, int heads,
                           int kv_heads, int head_dim, RopePairs pairs, KvType kv_type,
                           uint64_t layer_offset) {
  const bool halves = pairs == RopePairs::kHalves;
  const int step = halves ? 1 : 2, apart = halves ? head_dim / 2 : 1;
  constexpr unsigned kBlocksOfRow = 4;
  const dim3 grid{static_cast<unsigned>(rows), kBlocksOfRow};
  if (kv_type == KvType::kInt8) {
    ASSAY_LAUNCH(rope_and_store_int8, grid, dim3{kRowThreads}, 0, stream, q, k, v, angles,
                 batch.positions, batch.pages, batch.page_stride, heads, kv_heads, head_dim, step,
                 apart, layer_offset);
  } else {
    ASSAY_LAUNCH(rope_and_store, grid, dim3{kRowThreads}, 0, stream, q, k, v, angles,
                 batch.positions, batch.pages, batch.page_stride, heads, kv_heads, head_dim, step,
                 apart, layer_offset);
  }
}

void launch_gather(CudaStream stream, const float* x, const int32_t* rows, int count, int width,
                   float* out) {
  ASSAY_LAUNCH(gather, dim3{static_cast<unsigned>(count)}, dim3{kRowThreads}, 0, stream, x, rows,
               width, out);
}

template <int kDim, bool kInt8>
void launch_attention_of(CudaStream stream, const CudaAttention& a, const CudaRows& batch,
                         uint64_t layer_offset) {
  const int group = a.heads / a.kv_heads;
  const dim3 grid{static_cast<unsigned>(a.unit_count), static_cast<unsigned>(a.kv_heads),
                  blocks_for(group, kQueryRows)};
  ASSAY_LAUNCH((attention_split<kDim, kInt8>), grid, dim3{kAttentionThreads},
               attention_shared_bytes(kDim, kInt8), stream, a.q, a.units, batch.positions,
               batch.pages, batch.page_stride, a.heads, a.kv_heads, a.splits, layer_offset,
               a.partial, a.partial_scale);
  const dim3 merge_grid{static_cast<unsigned>(a.rows), static_cast<unsigned>(a.heads)};
  ASSAY_LAUNCH(attention_merge, merge_grid, dim3{kDim}, 0, stream, a.partial, a.partial_scale,
               batch.positions, a.heads, a.splits, a.out);
}

template <int kDim>
void launch_attention_with(CudaStream stream, const CudaAttention& a, const CudaRows& batch,
                           uint64_t layer_offset) {
  if (a.kv_type == KvType::kInt8) {
    launch_attention_of<kDim, true>(stream, a, batch, layer_offset);
  } else {
    launch_attention_of<kDim, false>(stream, a, batch, layer_offset);
  }
}

void launch_attention(CudaStream stream, const CudaAttention& a, const CudaRows& batch,
                      uint64_t layer_offset) {
  switch (a.head_dim) {
    case 32:
      return launch_attention_with<32>(stream, a, batch, layer_offset);
    case 64:
      return launch_attention_with<64>(stream, a, batch, layer_offset);
    case 96:
      return launch_attention_with<96>(stream, a, batch, layer_offset);
    case 128:
      return launch_attention_with<128>(stream, a, batch, layer_offset);
  }
}

void launch_sample(CudaStream stream, const float* logits, const CudaSampleRow* params, int rows,
                   int vocab_size, float* weights, float* blocks, CudaSampled* out) {
  ASSAY_LAUNCH(sample, dim3{static_cast<unsigned>(rows)}, dim3{kSampleThreads}, 0, stream, logits,
               params, vocab_size, weights, blocks, out);
}

void launch_token_logprobs(CudaStream stream, const float* logits, const int32_t* tokens, int rows,
                           int vocab_size, float* weights, float* blocks, double* out) {
  ASSAY_LAUNCH(token_logprobs, dim3{static_cast<unsigned>(rows)}, dim3{kSampleThreads}, 0, stream,
               logits, tokens, vocab_size, weights, blocks, out);
}

void launch_compare_logits(CudaStream stream, const float* base, const float* other, int rows,
                           int vocab_size, float* weights, float* blocks,
                           CudaLogitsDifference* out) {
  ASSAY_LAUNCH(compare_logits, dim3{static_cast<unsigned>(rows)}, dim3{kSampleThreads}, 0, stream,
               base, other, vocab_size, weights, blocks, out);
}

void launch_log_softmax(CudaStream stream, float* x, int rows, int vocab_size, float* weights,
                        float* blocks) {
  ASSAY_LAUNCH(log_softmax, dim3{static_cast<unsigned>(rows)}, dim3{kSampleThreads}, 0, stream, x,
               vocab_size, weights, blocks);
}

}  // namespace

const CudaKernels& kernel_table() {
  static constexpr CudaKernels kTable = {
      launch_take_drawn,   launch_embed,        launch_rms_norm,       launch_split_activations,
      launch_split_halves, launch_scale_rows,   launch_linear,         launch_sum_parts,
      launch_swiglu,       launch_add_rms_norm, launch_rope_and_store, launch_gather,
      launch_attention,    launch_sample,       launch_token_logprobs, launch_compare_logits,
      launch_log_softmax};
  return kTable;
}

}  // namespace assay::ASSAY_KERNELS
