#include "engine/cuda/cuda_ops.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/cuda/weights.h"
#include "harness/base/check.h"

namespace assay {
namespace {

// Memory of the device that grows when it must.
class Scratch {
 public:
  explicit Scratch(CudaRuntime& runtime) : runtime_(runtime) {}
  ~Scratch() { runtime_.release(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  template <typename T>
  T* get(size_t count) {
    const size_t bytes = count * sizeof(T);
    if (bytes > size_bytes_) {
      runtime_.release(data_);
      size_bytes_ = std::max(bytes, 2 * size_bytes_);
      data_ = runtime_.allocate(size_bytes_);
    }
    return static_cast<T*>(data_);
  }
  template <typename T>
  const T* fill(const std::vector<T>& values) {
    T* to = get<T>(values.size());
    runtime_.upload(values.data(), values.size() * sizeof(T), to);
    return to;
  }

 private:
  CudaRuntime& runtime_;
  void* data_ = nullptr;
  size_t size_bytes_ = 0;
};

class CudaOps : public Ops {
 public:
  CudaOps(std::unique_ptr<CudaRuntime> runtime, Activations activations)
      : runtime_(std::move(runtime)),
        kernels_(runtime_->kernels()),
        stream_(runtime_->stream()),
        name_(runtime_->name()),
        both_parts_(activations == Activations::kBF16x2) {}

  std::string_view name() const override { return name_; }
  Status status() override { return runtime_->status(); }
  uint64_t free_bytes() const override { return runtime_->free_bytes(); }

  Buffer allocate(size_t count) override {
    auto* data = static_cast<float*>(runtime_->allocate(count * sizeof(float)));
    return Buffer(data, [this](float* at) { runtime_->release(at); });
  }
  void upload(const float* from, size_t count, float* to) override {
    runtime_->upload(from, count * sizeof(float), to);
  }
  void download(const float* from, size_t count, float* to) override {
    runtime_->download(from, count * sizeof(float), to);
  }
  void copy(const std::byte* from, size_t bytes, std::byte* to) override {
    runtime_->copy(from, bytes, to);
  }

  std::unique_ptr<PackedWeight> pack(const Weight& weight) override {
    return std::make_unique<CudaWeight>(*runtime_, weight);
  }
  size_t packed_bytes(const Weight& weight) const override { return cuda_weight_bytes(weight); }

  void begin(std::span<const BatchRow> rows) override;
  bool packs_embedding() const override { return true; }
  void embed(const Weight& table, const PackedWeight* packed, float* out) override;
  void matmul(const float* x, int rows, std::span<const Product> products) override;
  void attention(const float* q, int heads, const KvLayout& kv, size_t layer_offset,
                 float* out) override;
  void sample(const float* logits, int vocab_size, std::span<const SampleRow> rows,
              SampledToken* out) override;

  void gather(const float* x, std::span<const int> rows, int width, float* out) override {
    wanted_.assign(rows.begin(), rows.end());
    kernels_.gather(stream_, x, wanted_memory_.fill(wanted_), static_cast<int>(rows.size()), width,
                    out);
  }
  void rms_norm(const float* x, const float* scale, float eps, int rows, int width,
                float* out) override {
    kernels_.rms_norm(stream_, x, scale, eps, rows, width, out);
  }
  void add(float* x, const float* y, int rows, int width) override {
    kernels_.add(stream_, x, y, int64_t{rows} * width);
  }
  void swiglu(float* gate, const float* up, int rows, int width) override {
    kernels_.swiglu(stream_, gate, up, int64_t{rows} * width);
  }
  void add_rms_norm(float* x, const float* y, const float* scale, float eps, int rows, int width,
                    float* out) override {
    kernels_.add_rms_norm(stream_, x, y, scale, eps, rows, width, out);
  }
  void rope_and_store(float* q, float* k, const float* v, const float* angles, int heads,
                      RopePairs pairs, const KvLayout& kv, size_t layer_offset) override {
    CHECK(kv.type == KvType::kBF16 || kv.type == KvType::kInt8);
    kernels_.rope_and_store(stream_, q, k, v, angles, batch_, static_cast<int>(rows_.size()), heads,
                            kv.kv_heads, kv.head_dim, pairs, kv.type, layer_offset);
  }
  void log_softmax(float* x, int rows, int width) override {
    kernels_.log_softmax(stream_, x, rows, width, sample_weights(rows, width),
                         sample_blocks(rows, width));
  }

 private:
  void plan_attention(int rows_of_unit);
  float* sample_weights(int rows, int width) {
    return weights_memory_.get<float>(static_cast<size_t>(rows) * width);
  }
  float* sample_blocks(int rows, int width) {
    return blocks_memory_.get<float>(static_cast<size_t>(rows) * ((width + 1023) / 1024));
  }

  std::unique_ptr<CudaRuntime> runtime_;  // before everything that has its memory
  const CudaKernels& kernels_;
  CudaStream stream_;
  std::string name_;
  bool both_parts_;

  std::span<const BatchRow> rows_;
  CudaRows batch_;
  int splits_ = 0;
  int planned_rows_of_unit_ = 0;  // 0: not planned for this batch
  const CudaAttentionUnit* units_ = nullptr;

  // Of one step, kept so that a step allocates nothing.
  std::vector<int32_t> tokens_, positions_, wanted_;
  std::vector<uint64_t> pages_;
  std::vector<CudaAttentionUnit> host_units_;
  std::vector<CudaSampleRow> sample_rows_;
  std::vector<CudaSampled> sampled_;

  Scratch tokens_memory_{*runtime_}, positions_memory_{*runtime_}, pages_memory_{*runtime_},
      units_memory_{*runtime_}, wanted_memory_{*runtime_}, high_memory_{*runtime_},
      low_memory_{*runtime_}, sums_memory_{*runtime_}, workspace_{*runtime_},
      partial_memory_{*runtime_}, partial_scale_memory_{*runtime_}, weights_memory_{*runtime_},
      blocks_memory_{*runtime_}, sample_rows_memory_{*runtime_}, sampled_memory_{*runtime_};
};

void CudaOps::begin(std::span<const BatchRow> rows) {
  rows_ = rows;
  tokens_.clear();
  positions_.clear();
  int longest = 0;
  for (const BatchRow& row : rows) {
    tokens_.push_back(row.token);
    positions_.push_back(row.position);
    longest = std::max(longest, row.position);
  }
  splits_ = longest / kCudaSplitTokens + 1;
  const int stride = longest / kPageTokens + 1;
  pages_.assign(rows.size() * stride, 0);
  for (size_t r = 0; r < rows.size(); ++r) {
    for (int i = 0; i <= rows[r].position / kPageTokens; ++i) {
      pages_[r * stride + i] = reinterpret_cast<uint64_t>(rows[r].pages[i]);
    }
  }
  batch_ = {tokens_memory_.fill(tokens_), positions_memory_.fill(positions_),
            pages_memory_.fill(pages_), stride};
  planned_rows_of_unit_ = 0;
}

// Puts rows side by side into units where they see the same pages in a split.
void CudaOps::plan_attention(int rows_of_unit) {
  if (planned_rows_of_unit_ == rows_of_unit) return;
  planned_rows_of_unit_ = rows_of_unit;
  constexpr int kSplitPages = kCudaSplitTokens / kPageTokens;
  host_units_.clear();
  const auto last_page = [&](int row) { return positions_[row] / kPageTokens; };
  const auto agree = [&](int a, int b, int split) {
    const int end = std::min({last_page(a), last_page(b), (split + 1) * kSplitPages - 1});
    for (int i = split * kSplitPages; i <= end; ++i) {
      if (rows_[a].pages[i] != rows_[b].pages[i]) return false;
    }
    return true;
  };
  const int count = static_cast<int>(rows_.size());
  for (int split = 0; split < splits_; ++split) {
    for (int row = 0; row < count;) {
      if (last_page(row) < split * kSplitPages) {
        ++row;
        continue;
      }
      int next = row + 1, longest = row;
      while (next < count && next - row < rows_of_unit && last_page(next) >= split * kSplitPages &&
             agree(longest, next, split)) {
        if (positions_[next] > positions_[longest]) longest = next;
        ++next;
      }
      host_units_.push_back({row, next - row, split, longest});
      row = next;
    }
  }
  units_ = units_memory_.fill(host_units_);
}

void CudaOps::embed(const Weight& table, const PackedWeight* packed, float* out) {
  for (const BatchRow& row : rows_) CHECK(row.token >= 0 && row.token < table.rows);
  kernels_.embed(stream_, static_cast<const CudaWeight*>(packed)->view(), batch_,
                 static_cast<int>(rows_.size()), out);
}

void CudaOps::matmul(const float* x, int rows, std::span<const Product> products) {
  const auto columns = static_cast<int>(products[0].weight->columns());
  const int stride = (columns + kCudaChunk - 1) / kCudaChunk * kCudaChunk;
  const size_t values = static_cast<size_t>(rows) * stride;
  const CudaActivations activations = {high_memory_.get<uint16_t>(values),
                                       both_parts_ ? low_memory_.get<uint16_t>(values) : nullptr,
                                       sums_memory_.get<float>(values / 16), stride};
  kernels_.split_activations(stream_, x, rows, columns, activations);
  for (const Product& product : products) {
    const CudaWeightView& view = static_cast<const CudaWeight*>(product.weight)->view();
    const int splits = cuda_linear_splits(view.shape);
    float* workspace =
        splits == 1
            ? nullptr
            : workspace_.get<float>(static_cast<size_t>(splits) * rows * view.shape.outputs);
    kernels_.linear(stream_, view, activations, rows, product.bias, workspace, product.out);
  }
}

void CudaOps::attention(const float* q, int heads, const KvLayout& kv, size_t layer_offset,
                        float* out) {
  const int group = heads / kv.kv_heads;
  plan_attention(std::max(1, 16 / group));
  const int rows = static_cast<int>(rows_.size());
  const size_t parts = static_cast<size_t>(rows) * heads * splits_;
  CudaAttention a;
  a.q = q;
  a.out = out;
  a.units = units_;
  a.unit_count = static_cast<int>(host_units_.size());
  a.rows = rows;
  a.heads = heads;
  a.kv_heads = kv.kv_heads;
  a.head_dim = kv.head_dim;
  a.splits = splits_;
  a.kv_type = kv.type;
  a.partial = partial_memory_.get<float>(parts * kv.head_dim);
  a.partial_scale = partial_scale_memory_.get<float>(parts * 2);
  kernels_.attention(stream_, a, batch_, layer_offset);
}

void CudaOps::sample(const float* logits, int vocab_size, std::span<const SampleRow> rows,
                     SampledToken* out) {
  sample_rows_.clear();
  for (const SampleRow& row : rows) {
    const SamplingParams& params = *row.params;
    CudaSampleRow to{};
    to.uniform = philox_uniform({row.position, row.sample_index, 0, 0}, row.key);
    to.top_p = params.top_p;
    to.top_k = params.top_k;
    to.min_p = static_cast<float>(params.min_p);
    to.temperature_factor =
        params.temperature == 0 ? 0.0f : static_cast<float>(1.0 / params.temperature);
    sample_rows_.push_back(to);
  }
  const int count = static_cast<int>(rows.size());
  auto* drawn = sampled_memory_.get<CudaSampled>(rows.size());
  kernels_.sample(stream_, logits, sample_rows_memory_.fill(sample_rows_), count, vocab_size,
                  sample_weights(count, vocab_size), sample_blocks(count, vocab_size), drawn);
  sampled_.resize(rows.size());
  runtime_->download(drawn, rows.size() * sizeof(CudaSampled), sampled_.data());
  for (size_t i = 0; i < rows.size(); ++i) {
    const CudaSampled& one = sampled_[i];
    out[i] = {one.token, one.token < 0 ? 0.0 : double{one.difference} - std::log(one.total)};
  }
}

}  // namespace

std::unique_ptr<Ops> make_cuda_ops(std::unique_ptr<CudaRuntime> runtime, Activations activations) {
  CHECK(activations == Activations::kBF16x2 || activations == Activations::kBF16);
  return std::make_unique<CudaOps>(std::move(runtime), activations);
}

}  // namespace assay
