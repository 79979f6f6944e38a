// What a device must provide: the fused operations that the transformer is written against.
//
// Every operation's result for a row depends on that row's inputs alone: not on the number of rows,
// on the thread count or on the instruction set. Reductions have one fixed order (see
// cpu/kernels.h). All pointers are to memory from allocate(), which only the device can read,
// unless a comment says that it is the host's; rows are contiguous.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "engine/tensor.h"
#include "harness/base/nouns.h"
#include "harness/base/philox.h"
#include "harness/base/result.h"

namespace assay {

constexpr int kPageTokens = 16;  // positions in a page of the KV cache

// How products with quantized weights take their activations; those with F32 and F16 weights always
// take f32, with BF16 weights f32 or fixed16.
//   f32      as they are
//   fixed16  of each 32 values, 16-bit whole numbers of the largest magnitude / 32767; a value more
//            than twice as large as the others stays f32
//   int8     8-bit ones of the largest magnitude / 127: as coarse as llama.cpp's CPU arithmetic
// Those of the CUDA device, with weights of any type:
//   bf16x2   the sum of two bf16 values, 16 bits
//   bf16     as engines for GPUs usually take them
enum class Activations { kF32, kFixed16, kInt8, kBF16x2, kBF16 };
constexpr std::string_view kActivationNames[] = {"f32", "fixed16", "int8", "bf16x2", "bf16"};

// How the KV cache keeps a head's key or value: f32; fixed16: of each kKvGroup values, 16-bit whole
// numbers of the largest magnitude / 32767; half the size, and finer than bf16 by 2^7; bf16; or
// int8, 8-bit ones of the largest / 127. The CPU device has the first three, the CUDA device the
// last two.
enum class KvType { kF32, kFixed16, kBF16, kInt8 };
constexpr std::string_view kKvTypeNames[] = {"f32", "fixed16", "bf16", "int8"};
constexpr int kKvGroup = 32;

// Where the keys and values of one layer are: page p of a sequence begins at pages[p] + offset.
// Within it: keys [kv_heads][padded_dim][kPageTokens], values [kv_heads][kPageTokens][padded_dim];
// then, for fixed16 and int8, f32 scales of keys and of values, [kv_heads][groups][kPageTokens]
// each. On the CUDA device keys stand as values do.
struct KvLayout {
  KvType type = KvType::kF32;
  int kv_heads = 0;
  int head_dim = 0;

  int padded_dim() const { return (head_dim + 15) / 16 * 16; }
  int groups() const { return (head_dim + kKvGroup - 1) / kKvGroup; }
  size_t element_bytes() const { return type == KvType::kF32 ? 4 : type == KvType::kInt8 ? 1 : 2; }
  bool has_scales() const { return type == KvType::kFixed16 || type == KvType::kInt8; }
  size_t head_bytes() const { return size_t{kPageTokens} * padded_dim() * element_bytes(); }
  size_t keys(int head) const { return head * head_bytes(); }
  size_t values(int head) const { return (kv_heads + head) * head_bytes(); }
  size_t key_scales(int head) const {
    return (size_t{2} * kv_heads) * head_bytes() + sizeof(float) * kPageTokens * groups() * head;
  }
  size_t value_scales(int head) const { return key_scales(kv_heads + head); }
  // Of one layer, a multiple of 64.
  size_t size_bytes() const {
    const size_t bytes = has_scales() ? key_scales(2 * kv_heads) : key_scales(0);
    return (bytes + 63) / 64 * 64;
  }
};

// One row of a batch: one token of one sequence.
struct BatchRow {
  int32_t token;  // or token_of_draw()
  int32_t position;
  std::byte* const* pages;  // the sequence's page table, in host memory; covers `position`
};

// In place of a token: the one that the last sample() drew for its row `row`, collected or not.
constexpr int32_t token_of_draw(int row) { return -1 - row; }

struct Batch {
  std::span<const BatchRow> rows;
  std::span<const int> wanted;  // the rows that gather() takes, in host memory
  int group = 1;                // query heads that share a KV head
};

// One row of logits to draw from: what a draw is a function of, beside the logits.
struct SampleRow {
  const SamplingParams* params;
  PhiloxKey key;
  uint32_t position, sample_index;
};

struct SampledToken {
  int32_t token = -1;  // -1: the logits hold a value that is not finite
  double logprob = 0;  // natural log of its probability before temperature and truncation
};

// Row of another model's logits beside the base model's.
struct LogitsDifference {
  double kl_divergence = 0;          // Σ p · log(p / q), p of the base; in nats
  int32_t best = 0, other_best = 0;  // the likeliest token of each, of equal ones the lowest
};

// A term of the divergence of two distributions: p · d − p + q with d = log p − log q. As both sum
// to 1 these terms sum to Σ p · d; none is negative, and for small d nothing cancels.
constexpr double kl_term(double p, double q, double d) {
  if (p == 0) return q;
  if (d > 0.25 || d < -0.25) return p * d - p + q;
  const double tail = 1.0 / 120 - d * (1.0 / 720 - d * (1.0 / 5040 - d / 40320));
  return p * d * d * (0.5 - d * (1.0 / 6 - d * (1.0 / 24 - d * tail)));  // of d − 1 + exp(−d)
}

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

  virtual std::string_view name() const = 0;  // of the device
  // The first error of the device so far: what came after it means nothing.
  virtual Status status() { return {}; }
  // Memory that is free on the device.
  virtual uint64_t free_bytes() const = 0;

  // 64-byte aligned memory that operations can use; zero. Lives no longer than the device.
  using Buffer = std::unique_ptr<float[], std::function<void(float*)>>;
  virtual Buffer allocate(size_t count) = 0;
  // Between the host's memory and the device's. `from` may change once upload() has returned.
  virtual void upload(const float* from, size_t count, float* to) = 0;
  virtual void download(const float* from, size_t count, float* to) = 0;
  // Within the device's.
  virtual void copy(const std::byte* from, size_t bytes, std::byte* to) = 0;
  virtual std::unique_ptr<PackedWeight> pack(const Weight& weight) = 0;
  // What pack() will take; may read all of the weight.
  virtual size_t packed_bytes(const Weight& weight) = 0;

  // Makes room for sequences of so many positions, so that no later step takes memory because they
  // have grown.
  virtual void reserve(int positions) { static_cast<void>(positions); }

  // The rows that embed, gather, rope_and_store and attention work on until the next begin(); they
  // must stay.
  virtual void begin(const Batch& batch) = 0;
  // Calls `body`, which asks for operations on the batch's rows and for nothing else, in an order
  // and with arguments that follow from the batch's size and from `output`: a device may record
  // them and repeat the record.
  virtual void run(const float* output, const std::function<void()>& body) {
    static_cast<void>(output);
    body();
  }
  // out[r] = table.row(tokens[r]);  out [rows, columns]; `table` is the file's, in host memory, and
  // `packed` what pack() made of it, or null, unless the device packs_embedding(): it cannot read
  // the file's then. Of `packed` a row is as exact as products with it are.
  virtual void embed(const Weight& table, const PackedWeight* packed, float* out) = 0;
  virtual bool packs_embedding() const = 0;
  // out[i] = x[wanted[i]];  x, out [.., width]
  virtual void gather(const float* x, int width, float* out) = 0;
  // out[r][i] = x[r][i] / sqrt(mean(x[r]²) + eps) · scale[i];  x, out [rows, width], may be equal
  virtual void rms_norm(const float* x, const float* scale, float eps, int rows, int width,
                        float* out) = 0;
  // x[r] becomes the sum of all ranks' x[r], in order of the ranks; of a device alone, x[r].
  virtual void all_reduce(float* x, int rows, int width) {
    static_cast<void>(x), static_cast<void>(rows), static_cast<void>(width);
  }
  // This rank asks for nothing more: the others' all_reduce() ends, and status() is an error.
  virtual void leave() {}
  // Products of the same x [rows, columns] with several weights. With f32 activations weights are
  // widened exactly and the result is within 1e-5 · |W||x| of the exact one.
  virtual void matmul(const float* x, int rows, std::span<const Product> products) = 0;
  // x[r] += y[r];  out[r] as rms_norm gives it of the new x[r];  x, y, out [rows, width]
  virtual void add_rms_norm(float* x, const float* y, const float* scale, float eps, int rows,
                            int width, float* out) = 0;
  // gate[r][i] = silu(gate[r][i]) · up[r][i]
  virtual void swiglu(float* gate, const float* up, int rows, int width) = 0;
  // Rotates q [rows, heads, head_dim] in place, and k [rows, kv_heads, head_dim] on its way into
  // the rows' pages, where v [rows, kv_heads, head_dim] goes too, layer_offset bytes into them; k
  // itself is undefined then. `angles` [rows, head_dim / 2, 2] are cosine and sine of each row's
  // position.
  virtual void rope_and_store(float* q, float* k, const float* v, const float* angles, int heads,
                              RopePairs pairs, const KvLayout& kv, size_t layer_offset) = 0;
  // Causal attention of q [rows, heads, head_dim] over positions 0..position of each row's own
  // sequence; out [rows, heads, head_dim].
  virtual void attention(const float* q, int heads, const KvLayout& kv, size_t layer_offset,
                         float* out) = 0;
  // Draws a token from each row of logits [rows, vocab_size]: softmax(logits / temperature); the
  // top_k best; the smallest set of the best whose probability reaches top_p, the token that
  // crosses it included; those of at least min_p times the best one's probability; a draw from what
  // is left, renormalised. Of equal probabilities the lower token id counts as better. `rows` is in
  // host memory; collect() has what was drawn.
  virtual void sample(const float* logits, int vocab_size, std::span<const SampleRow> rows) = 0;
  // Waits for the oldest sample() that has not been collected, at most two are; `out`, in host
  // memory, has its rows.
  virtual void collect(std::span<SampledToken> out) = 0;
  // Whether the next batch should be asked for, with token_of_draw(), before the last sample() is
  // collected: the device works on its own and would wait for the host.
  virtual bool runs_ahead() const { return false; }
  // out[r] = log softmax(logits[r])[tokens[r]];  logits [rows, vocab_size]; tokens and out in host
  // memory
  virtual void token_logprobs(const float* logits, int vocab_size, std::span<const int32_t> tokens,
                              double* out) = 0;
  // Row by row; base, other [rows, vocab_size]; `out`, in host memory, has their rows.
  virtual void compare_logits(const float* base, const float* other, int vocab_size,
                              std::span<LogitsDifference> out) = 0;
  // x[r][i] −= log Σ_j exp(x[r][j]);  x [rows, width]
  virtual void log_softmax(float* x, int rows, int width) = 0;
};

}  // namespace assay
