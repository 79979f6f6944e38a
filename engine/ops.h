// What a device must provide: the fused operations that the transformer is written against.
//
// Every operation's result for a row depends on that row's inputs alone: not on the number of rows,
// on the thread count or on the instruction set. Reductions have one fixed order (see
// cpu/lanes.h). All pointers are to memory from allocate(); rows are contiguous.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "engine/tensor.h"

namespace assay {

constexpr int kPageTokens = 16;  // positions in a page of the KV cache

// Where the keys and values of one layer are: page p of a sequence begins at pages[p] + offset.
// Within it: keys [kv_heads][kPageTokens][head_dim], then values of the same shape, f32.
struct KvView {
  size_t layer_offset;  // floats from a page's begin to this layer
  int kv_heads;
  int head_dim;
  size_t values_offset() const { return static_cast<size_t>(kv_heads) * kPageTokens * head_dim; }
};

// One row of a batch: one token of one sequence.
struct BatchRow {
  int32_t token;
  int32_t position;
  float* const* pages;  // the sequence's page table; covers `position`
};

enum class RopePairs { kHalves, kNeighbours };  // rotate (i, i + d/2) or (2i, 2i + 1)

class Ops {
 public:
  virtual ~Ops() = default;

  // 64-byte aligned memory for `count` floats that operations can use.
  using Buffer = std::unique_ptr<float[], void (*)(float*)>;
  virtual Buffer allocate(size_t count) = 0;

  // out[r] = table.row(tokens[r]);  out [rows, columns]
  virtual void embed(const Weight& table, std::span<const BatchRow> rows, float* out) = 0;
  // out[r][i] = x[r][i] / sqrt(mean(x[r]²) + eps) · scale[i];  x, out [rows, width], may be equal
  virtual void rms_norm(const float* x, const float* scale, float eps, int rows, int width,
                        float* out) = 0;
  // out[r] = W · x[r] (+ bias);  x [rows, W.columns], out [rows, W.rows]; bias may be null.
  // Weights are widened to f32 exactly; within 1e-5 · |W||x| of the exact product.
  virtual void matmul(const float* x, int rows, const Weight& weight, const float* bias,
                      float* out) = 0;
  // x[r] += y[r]
  virtual void add(float* x, const float* y, int rows, int width) = 0;
  // gate[r][i] = silu(gate[r][i]) · up[r][i]
  virtual void swiglu(float* gate, const float* up, int rows, int width) = 0;
  // Rotates q [rows, heads, head_dim] and k [rows, kv_heads, head_dim] to their rows' positions.
  virtual void rope(float* q, float* k, std::span<const BatchRow> rows, int heads, int kv_heads,
                    int head_dim, double theta, RopePairs pairs) = 0;
  // Writes k, v [rows, kv_heads, head_dim] into the rows' pages.
  virtual void store_kv(const float* k, const float* v, std::span<const BatchRow> rows,
                        const KvView& kv) = 0;
  // Causal attention of q [rows, heads, head_dim] over positions 0..position of each row's own
  // sequence; out [rows, heads, head_dim].
  virtual void attention(const float* q, std::span<const BatchRow> rows, int heads,
                         const KvView& kv, float* out) = 0;
  // out[i] = exp((x[i] - shift) · factor); returns the sum in f64, both in a fixed order.
  virtual double exp_sum(const float* x, int count, float shift, float factor, float* out) = 0;
  virtual float max(const float* x, int count) = 0;

  // Runs body(0..count-1) on the device's threads; for work of the runtime between steps.
  virtual void for_each(int count, const std::function<void(int)>& body) = 0;
};

}  // namespace assay
