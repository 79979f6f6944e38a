// What a device must provide: the fused operations that the transformer is written against.
//
// Every operation's result for a row depends on that row's inputs alone: not on the number of rows,
// on the thread count or on the instruction set. Reductions have one fixed order (see
// cpu/kernels.h). All pointers are to memory from allocate(); rows are contiguous.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "engine/tensor.h"

namespace assay {

constexpr int kPageTokens = 16;  // positions in a page of the KV cache

// How products with quantized weights take their activations; those with F32, F16 and BF16 weights
// always take f32.
//   f32      as they are
//   fixed16  of each 32 values, 16-bit whole numbers of the largest magnitude / 32767; a value more
//            than twice as large as the others stays f32
//   int8     8-bit ones of the largest magnitude / 127: as coarse as llama.cpp's CPU arithmetic
enum class Activations { kF32, kFixed16, kInt8 };
constexpr std::string_view kActivationNames[] = {"f32", "fixed16", "int8"};

// How the KV cache keeps a head's key or value: f32, or fixed16: of each kKvGroup values, 16-bit
// whole numbers of the largest magnitude / 32767; half the size, and finer than bf16 by 2^7.
enum class KvType { kF32, kFixed16 };
constexpr std::string_view kKvTypeNames[] = {"f32", "fixed16"};
constexpr int kKvGroup = 32;

// Where the keys and values of one layer are: page p of a sequence begins at pages[p] + offset.
// Within it: keys [kv_heads][padded_dim][kPageTokens], values [kv_heads][kPageTokens][padded_dim];
// then, for fixed16, f32 scales of keys and of values, [kv_heads][groups][kPageTokens] each.
struct KvLayout {
  KvType type = KvType::kF32;
  int kv_heads = 0;
  int head_dim = 0;

  int padded_dim() const { return (head_dim + 15) / 16 * 16; }
  int groups() const { return (head_dim + kKvGroup - 1) / kKvGroup; }
  size_t element_bytes() const { return type == KvType::kF32 ? 4 : 2; }
  size_t head_bytes() const { return size_t{kPageTokens} * padded_dim() * element_bytes(); }
  size_t keys(int head) const { return head * head_bytes(); }
  size_t values(int head) const { return (kv_heads + head) * head_bytes(); }
  size_t key_scales(int head) const {
    return (size_t{2} * kv_heads) * head_bytes() + sizeof(float) * kPageTokens * groups() * head;
  }
  size_t value_scales(int head) const { return key_scales(kv_heads + head); }
  // Of one layer, a multiple of 64.
  size_t size_bytes() const {
    const size_t bytes = type == KvType::kF32 ? key_scales(0) : key_scales(2 * kv_heads);
    return (bytes + 63) / 64 * 64;
  }
};

// One row of a batch: one token of one sequence.
struct BatchRow {
  int32_t token;
  int32_t position;
  std::byte* const* pages;  // the sequence's page table; covers `position`
};

enum class RopePairs { kHalves, kNeighbours };  // rotate (i, i + d/2) or (2i, 2i + 1)

// A weight matrix in the form that the device multiplies with; made by Ops::pack.
class PackedWeight {
 public:
  virtual ~PackedWeight() = default;
  virtual int64_t rows() const = 0;
  virtual int64_t columns() const = 0;
  virtual size_t size_bytes() const = 0;
};

// out[r] = W · x[r] (+ bias);  out [rows, W.rows]; bias may be null.
struct Product {
  const PackedWeight* weight;
  const float* bias;
  float* out;
};

class Ops {
 public:
  virtual ~Ops() = default;

  // 64-byte aligned memory that operations can use; zero.
  using Buffer = std::unique_ptr<float[], void (*)(float*)>;
  virtual Buffer allocate(size_t count) = 0;
  virtual std::unique_ptr<PackedWeight> pack(const Weight& weight) = 0;
  // What pack() will take.
  virtual size_t packed_bytes(const Weight& weight) const = 0;

  // out[r] = table.row(tokens[r]);  out [rows, columns]; `table` is the file's, in host memory
  virtual void embed(const Weight& table, std::span<const BatchRow> rows, float* out) = 0;
  // out[r][i] = x[r][i] / sqrt(mean(x[r]²) + eps) · scale[i];  x, out [rows, width], may be equal
  virtual void rms_norm(const float* x, const float* scale, float eps, int rows, int width,
                        float* out) = 0;
  // Products of the same x [rows, columns] with several weights. With f32 activations weights are
  // widened exactly and the result is within 1e-5 · |W||x| of the exact one.
  virtual void matmul(const float* x, int rows, std::span<const Product> products) = 0;
  // x[r] += y[r]
  virtual void add(float* x, const float* y, int rows, int width) = 0;
  // gate[r][i] = silu(gate[r][i]) · up[r][i]
  virtual void swiglu(float* gate, const float* up, int rows, int width) = 0;
  // Rotates q [rows, heads, head_dim] and k [rows, kv_heads, head_dim]; `angles`
  // [rows, head_dim / 2, 2] are cosine and sine of each row's position.
  virtual void rope(float* q, float* k, const float* angles, int rows, int heads, int kv_heads,
                    int head_dim, RopePairs pairs) = 0;
  // Writes k, v [rows, kv_heads, head_dim] into the rows' pages, layer_offset bytes into them.
  virtual void store_kv(const float* k, const float* v, std::span<const BatchRow> rows,
                        const KvLayout& kv, size_t layer_offset) = 0;
  // Causal attention of q [rows, heads, head_dim] over positions 0..position of each row's own
  // sequence; out [rows, heads, head_dim].
  virtual void attention(const float* q, std::span<const BatchRow> rows, int heads,
                         const KvLayout& kv, size_t layer_offset, float* out) = 0;
  // out[i] = exp((x[i] - shift) · factor); returns the sum in f64, both in a fixed order.
  virtual double exp_sum(const float* x, int count, float shift, float factor, float* out) = 0;
  virtual float max(const float* x, int count) = 0;

  // Runs body(0..count-1) on the device's threads; for work of the runtime between steps.
  virtual void for_each(int count, const std::function<void(int)>& body) = 0;
};

}  // namespace assay
