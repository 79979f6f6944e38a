// The CUDA device's kernels: one table of launchers for each build of them, the emulator's and the
// GPU's. All pointers are to the device's memory; a stream is a cudaStream_t, or null.
#pragma once

#include <cstdint>

#include "engine/cuda/weight_format.h"
#include "engine/ops.h"

namespace assay {

using CudaStream = void*;

struct CudaWeightView {
  const uint8_t* data = nullptr;
  DType dtype = DType::kF32;
  CudaWeightShape shape;
  // bf16 or fp16 [outputs][row_stride] as gemm() takes it, in place of weight_format.h's tiles; 0:
  // tiles.
  int row_stride = 0;
};

// Activations as products take them: x = high + low, both bf16 [rows][stride], zeros behind
// `columns`; `sums` [rows][stride / 16] are those of each 16 values of high + low. Without `low`
// the product is with high alone.
struct CudaActivations {
  uint16_t* high = nullptr;
  uint16_t* low = nullptr;
  float* sums = nullptr;
  int stride = 0;  // a multiple of kCudaChunk
};

// The same for products with fp16 weights: x[r] = (high[r] + low[r]) · factors[r], fp16
// [rows][stride], factors powers of two.
struct CudaHalves {
  uint16_t* high = nullptr;
  uint16_t* low = nullptr;
  float* factors = nullptr;  // [rows]
  int stride = 0;
};

// Products of the same activations with up to three weights of one type, out[r][o] = Σ_k x[r][k] ·
// w[o][k] + bias[o]; bias may be null.
struct CudaLinear {
  const uint8_t* weight = nullptr;
  CudaWeightShape shape;
  const float* bias = nullptr;
  float* out = nullptr;    // [rows][outputs]
  float* parts = nullptr;  // [splits][rows][outputs], where there is more than one
  int splits = 1;          // cuda_linear_splits()
};
constexpr int kCudaLinears = 3;
struct CudaLinears {
  CudaLinear each[kCudaLinears];
  int count = 0;
};

// out[i] = Σ_p parts[p][i] + bias[i mod outputs], in order of p; parts [part_count][count], bias
// may be null.
struct CudaSum {
  const float* parts = nullptr;
  int part_count = 1;
  int64_t count = 0, outputs = 1;
  const float* bias = nullptr;
  float* out = nullptr;
};
struct CudaSums {
  CudaSum each[kCudaLinears];
  int count = 0;
};

// A batch's rows as kernels read them.
struct CudaRows {
  const int32_t* tokens = nullptr;     // [rows]
  const int32_t* positions = nullptr;  // [rows]
  const uint64_t* pages = nullptr;     // [rows][page_stride] addresses
  int page_stride = 0;
};

// Positions of a sequence that one block of the attention kernel reads; fixed, so that the order
// of sums is too.
constexpr int kCudaSplitTokens = 512;

// Rows first..first + count − 1, which see the same pages in one split as far as they reach.
struct CudaAttentionUnit {
  int32_t first, count, split;
  int32_t longest;  // the row of the largest position, whose pages are read
};

struct CudaAttention {
  const float* q = nullptr;  // [rows][heads][head_dim]
  float* out = nullptr;      // the same
  const CudaAttentionUnit* units = nullptr;
  int unit_count = 0;  // some may be empty
  int rows = 0, heads = 0, kv_heads = 0, head_dim = 0;
  int splits = 0;                  // of the longest row
  KvType kv_type = KvType::kBF16;  // or kInt8
  // Of each row, head and split: Σ exp(s − max) · v [head_dim]; max and Σ exp(s − max) [2]
  float* partial = nullptr;
  float* partial_scale = nullptr;
};

// Sampling parameters of a row, see Ops::sample; `uniform` is the draw.
struct CudaSampleRow {
  double uniform, top_p;
  float temperature_factor;  // 1 / temperature; 0: greedy
  float min_p;
  int32_t top_k;
  int32_t unused;
};
struct CudaSampled {
  int32_t token;     // -1: a logit is not finite
  float difference;  // its logit − the best one
  double total;      // Σ exp(logit − best); the log-probability is difference − log(total)
};

// As LogitsDifference.
struct CudaLogitsDifference {
  double kl_divergence;
  int32_t best, other_best;
};

struct CudaKernels {
  // tokens[r] < 0 becomes the token of drawn[−1 − tokens[r]], or 0 where none could be drawn.
  void (*take_drawn)(CudaStream, int32_t* tokens, int rows, const CudaSampled* drawn);
  // out[r] = weight.row(tokens[r]) [columns]
  void (*embed)(CudaStream, const CudaWeightView&, const CudaRows&, int rows, float* out);
  // Norms and gated units give their result as products take it, too.
  void (*rms_norm)(CudaStream, const float* x, const float* scale, float eps, int rows, int width,
                   float* out, const CudaActivations& split);
  void (*split_activations)(CudaStream, const float* x, int rows, int columns,
                            const CudaActivations& out);
  void (*split_halves)(CudaStream, const float* x, int rows, int columns, const CudaHalves& out);
  // out[r][o] = sums[r][o] · factors[r] + bias[o]; bias may be null.
  void (*scale_rows)(CudaStream, const float* sums, const float* factors, int rows, int64_t outputs,
                     const float* bias, float* out);
  void (*linear)(CudaStream, DType, const CudaLinears&, const CudaActivations&, int rows);
  void (*sum_parts)(CudaStream, const CudaSums&);
  void (*swiglu)(CudaStream, float* gate, const float* up, int rows, int width,
                 const CudaActivations& split);
  void (*add_rms_norm)(CudaStream, float* x, const float* y, const float* scale, float eps,
                       int rows, int width, float* out, const CudaActivations& split);
  void (*rope_and_store)(CudaStream, float* q, const float* k, const float* v, const float* angles,
                         const CudaRows&, int rows, int heads, int kv_heads, int head_dim,
                         RopePairs pairs, KvType kv_type, uint64_t layer_offset);
  void (*gather)(CudaStream, const float* x, const int32_t* rows, int count, int width, float* out);
  // head_dim is 32, 64, 96 or 128.
  void (*attention)(CudaStream, const CudaAttention&, const CudaRows&, uint64_t layer_offset);
  // weights [rows][vocab_size] and blocks [rows][vocab_size / 1024, rounded up] are scratch.
  void (*sample)(CudaStream, const float* logits, const CudaSampleRow*, int rows, int vocab_size,
                 float* weights, float* blocks, CudaSampled* out);
  // `weights` and `blocks` of these are those of `sample`.
  // out[r] = log softmax(logits[r])[tokens[r]]
  void (*token_logprobs)(CudaStream, const float* logits, const int32_t* tokens, int rows,
                         int vocab_size, float* weights, float* blocks, double* out);
  void (*compare_logits)(CudaStream, const float* base, const float* other, int rows,
                         int vocab_size, float* weights, float* blocks, CudaLogitsDifference* out);
  // In place: x[r] becomes log softmax of x[r].
  void (*log_softmax)(CudaStream, float* x, int rows, int vocab_size, float* weights,
                      float* blocks);
};

// Parts of k whose sums `linear` makes by themselves, so that narrow weights fill the GPU too; a
// function of the weight's shape alone.
constexpr int cuda_linear_splits(const CudaWeightShape& shape) {
  constexpr int kBlocksWanted = 264, kLeastChunks = 4;
  const int blocks = (shape.tiles + 3) / 4;
  const int chunks = static_cast<int>((shape.columns + kCudaChunk - 1) / kCudaChunk);
  const int wanted = (kBlocksWanted + blocks - 1) / blocks;
  const int most = chunks / kLeastChunks > 0 ? chunks / kLeastChunks : 1;
  return wanted < most ? wanted : most;
}

namespace emulated {
const CudaKernels& kernel_table();
}
namespace gpu {
const CudaKernels& kernel_table();
}

}  // namespace assay
