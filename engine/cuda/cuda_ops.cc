#include "engine/cuda/cuda_ops.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <tuple>
#include <vector>

#include "engine/cuda/weights.h"
#include "harness/base/check.h"

namespace assay {
namespace {

constexpr int kSplitPages = kCudaSplitTokens / kPageTokens;

// Memory of the device that grows when it must. `moves` counts what has been given back: a graph
// that was captured before may use it.
class Scratch {
 public:
  Scratch(CudaRuntime& runtime, uint64_t& moves) : runtime_(runtime), moves_(moves) {}
  ~Scratch() { runtime_.release(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  template <typename T>
  T* get(size_t count) {
    const size_t bytes = count * sizeof(T);
    if (bytes > size_bytes_) {
      ++moves_;
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
  uint64_t& moves_;
  void* data_ = nullptr;
  size_t size_bytes_ = 0;
};

class CudaOps : public Ops {
 public:
  CudaOps(std::unique_ptr<CudaRuntime> runtime, Activations activations, bool for_gemm)
      : runtime_(std::move(runtime)),
        kernels_(runtime_->kernels()),
        stream_(runtime_->stream()),
        name_(runtime_->name()),
        both_parts_(activations == Activations::kBF16x2),
        for_gemm_(for_gemm) {}

  std::string_view name() const override { return name_; }
  Status status() override { return runtime_->status(); }
  uint64_t free_bytes() const override { return runtime_->free_bytes(); }

  Buffer allocate(size_t count) override {
    auto* data = static_cast<float*>(runtime_->allocate(count * sizeof(float)));
    return Buffer(data, [this](float* at) {
      ++moves_;
      runtime_->release(at);
    });
  }
  void upload(const float* from, size_t count, float* to) override {
    split_x_ = nullptr;
    runtime_->upload(from, count * sizeof(float), to);
  }
  void download(const float* from, size_t count, float* to) override {
    runtime_->download(from, count * sizeof(float), to);
  }
  void copy(const std::byte* from, size_t bytes, std::byte* to) override {
    split_x_ = nullptr;
    runtime_->copy(from, bytes, to);
  }

  std::unique_ptr<PackedWeight> pack(const Weight& weight) override {
    return std::make_unique<CudaWeight>(*runtime_, weight, for_gemm_);
  }
  size_t packed_bytes(const Weight& weight) override {
    return cuda_weight_bytes(weight, for_gemm_);
  }

  void begin(const Batch& batch) override;
  void run(const float* output, const std::function<void()>& body) override;
  bool runs_ahead() const override { return true; }
  bool packs_embedding() const override { return true; }
  void embed(const Weight& table, const PackedWeight* packed, float* out) override;
  void matmul(const float* x, int rows, std::span<const Product> products) override;
  void all_reduce(float* x, int rows, int width) override {
    split_x_ = nullptr;
    const int ranks = runtime_->ranks();
    if (ranks == 1) return;
    const size_t count = static_cast<size_t>(rows) * width;
    float* parts = ranks_memory_.get<float>(ranks * count);
    runtime_->all_gather(x, count, parts);
    CudaSums sums;
    sums.each[sums.count++] = {parts, ranks, static_cast<int64_t>(count), width, nullptr, x};
    kernels_.sum_parts(stream_, sums);
  }
  void leave() override { runtime_->leave(); }
  void attention(const float* q, int heads, const KvLayout& kv, size_t layer_offset,
                 float* out) override;
  void sample(const float* logits, int vocab_size, std::span<const SampleRow> rows) override;
  void collect(std::span<SampledToken> out) override;

  void gather(const float* x, int width, float* out) override {
    split_x_ = nullptr;
    kernels_.gather(stream_, x, wanted_at_, static_cast<int>(wanted_.size()), width, out);
  }
  void rms_norm(const float* x, const float* scale, float eps, int rows, int width,
                float* out) override {
    kernels_.rms_norm(stream_, x, scale, eps, rows, width, out, split_of(out, rows, width));
  }
  void swiglu(float* gate, const float* up, int rows, int width) override {
    kernels_.swiglu(stream_, gate, up, rows, width, split_of(gate, rows, width));
  }
  void add_rms_norm(float* x, const float* y, const float* scale, float eps, int rows, int width,
                    float* out) override {
    kernels_.add_rms_norm(stream_, x, y, scale, eps, rows, width, out, split_of(out, rows, width));
  }
  void rope_and_store(float* q, float* k, const float* v, const float* angles, int heads,
                      RopePairs pairs, const KvLayout& kv, size_t layer_offset) override {
    split_x_ = nullptr;
    CHECK(kv.type == KvType::kBF16 || kv.type == KvType::kInt8);
    kernels_.rope_and_store(stream_, q, k, v, angles, batch_, static_cast<int>(rows_.size()), heads,
                            kv.kv_heads, kv.head_dim, pairs, kv.type, layer_offset);
  }
  void token_logprobs(const float* logits, int vocab_size, std::span<const int32_t> tokens,
                      double* out) override {
    const int rows = static_cast<int>(tokens.size());
    wanted_.assign(tokens.begin(), tokens.end());
    auto* logprobs = results_memory_.get<double>(tokens.size());
    kernels_.token_logprobs(stream_, logits, wanted_memory_.fill(wanted_), rows, vocab_size,
                            sample_weights(rows, vocab_size), sample_blocks(rows, vocab_size),
                            logprobs);
    runtime_->download(logprobs, tokens.size() * sizeof(double), out);
  }
  void compare_logits(const float* base, const float* other, int vocab_size,
                      std::span<LogitsDifference> out) override;
  void log_softmax(float* x, int rows, int width) override {
    split_x_ = nullptr;
    kernels_.log_softmax(stream_, x, rows, width, sample_weights(rows, width),
                         sample_blocks(rows, width));
  }

 private:
  // Of what a graph depends on: rows, wanted ones, splits, units of attention, the output.
  using GraphKey = std::tuple<size_t, size_t, int, size_t, const float*>;
  struct Graph {
    uint64_t moves = 0;  // when it was captured, or first asked for
    std::unique_ptr<CudaGraph> graph;
  };

  void plan_attention();
  static int stride_of(int columns) { return (columns + kCudaChunk - 1) / kCudaChunk * kCudaChunk; }
  CudaActivations activations_for(int rows, int columns) {
    const int stride = stride_of(columns);
    CHECK(int64_t{rows} * stride <= INT32_MAX);  // kernels index activations by int
    const int filled_rows = for_gemm_ ? (rows + kGemmRows - 1) / kGemmRows * kGemmRows : rows;
    const size_t values = static_cast<size_t>(filled_rows) * stride;
    return {high_memory_.get<uint16_t>(values),
            both_parts_ ? low_memory_.get<uint16_t>(values) : nullptr,
            sums_memory_.get<float>(values / 16), stride};
  }
  // For a kernel that leaves its result x [rows][columns] as products take it, too: the next
  // operation is their product, or it is forgotten.
  CudaActivations split_of(const float* x, int rows, int columns) {
    split_ = activations_for(rows, columns);
    split_x_ = x;
    split_count_ = size_t{1} * rows * columns;
    return split_;
  }
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
  bool both_parts_, for_gemm_;

  uint64_t moves_ = 0;
  std::map<GraphKey, Graph> graphs_;

  std::span<const BatchRow> rows_;
  CudaRows batch_;
  const int* wanted_at_ = nullptr;
  int group_ = 1, splits_ = 0;
  const CudaAttentionUnit* units_ = nullptr;
  const CudaSampled* drawn_ = nullptr;  // by the last sample()
  CudaActivations split_;               // of the values at split_x_, if it is not null
  const float* split_x_ = nullptr;
  size_t split_count_ = 0;

  // Of one step, kept so that a step allocates nothing.
  std::vector<int32_t> tokens_, positions_, wanted_;
  std::vector<uint64_t> pages_;
  std::vector<CudaAttentionUnit> host_units_;
  std::vector<CudaSampleRow> sample_rows_;
  std::vector<CudaSampled> sampled_;

  Scratch tokens_memory_{*runtime_, moves_}, positions_memory_{*runtime_, moves_},
      pages_memory_{*runtime_, moves_}, units_memory_{*runtime_, moves_},
      wanted_memory_{*runtime_, moves_}, high_memory_{*runtime_, moves_},
      low_memory_{*runtime_, moves_}, sums_memory_{*runtime_, moves_},
      half_high_memory_{*runtime_, moves_}, half_low_memory_{*runtime_, moves_},
      factors_memory_{*runtime_, moves_}, workspace_{*runtime_, moves_},
      partial_memory_{*runtime_, moves_}, partial_scale_memory_{*runtime_, moves_},
      weights_memory_{*runtime_, moves_}, blocks_memory_{*runtime_, moves_},
      sample_rows_memory_{*runtime_, moves_}, sampled_memory_{*runtime_, moves_},
      results_memory_{*runtime_, moves_}, ranks_memory_{*runtime_, moves_};
};

void CudaOps::begin(const Batch& batch) {
  rows_ = batch.rows;
  wanted_.assign(batch.wanted.begin(), batch.wanted.end());
  tokens_.clear();
  positions_.clear();
  int longest = 0;
  bool drawn = false;
  for (const BatchRow& row : rows_) {
    tokens_.push_back(row.token);
    positions_.push_back(row.position);
    longest = std::max(longest, row.position);
    drawn = drawn || row.token < 0;
  }
  // Sizes that graphs depend on go up in steps, so that a graph lasts.
  splits_ = static_cast<int>(std::bit_ceil(static_cast<unsigned>(longest / kCudaSplitTokens) + 1));
  const int stride = splits_ * kSplitPages;
  pages_.assign(rows_.size() * stride, 0);
  for (size_t r = 0; r < rows_.size(); ++r) {
    for (int i = 0; i <= rows_[r].position / kPageTokens; ++i) {
      pages_[r * stride + i] = reinterpret_cast<uint64_t>(rows_[r].pages[i]);
    }
  }
  batch_ = {tokens_memory_.fill(tokens_), positions_memory_.fill(positions_),
            pages_memory_.fill(pages_), stride};
  if (drawn) {
    kernels_.take_drawn(stream_, tokens_memory_.get<int32_t>(tokens_.size()),
                        static_cast<int>(rows_.size()), drawn_);
  }
  wanted_at_ = wanted_.empty() ? nullptr : wanted_memory_.fill(wanted_);
  group_ = batch.group;
  plan_attention();
}

// A step of decoding comes again and again: the second time it is captured, when all memory that it
// needs is there, from then on it is one launch.
void CudaOps::run(const float* output, const std::function<void()>& body) {
  if (wanted_.size() != rows_.size()) return body();
  constexpr size_t kMostGraphs = 256;
  if (graphs_.size() >= kMostGraphs) graphs_.clear();
  const GraphKey key{rows_.size(), wanted_.size(), splits_, host_units_.size(), output};
  const auto [found, is_new] = graphs_.try_emplace(key);
  Graph& known = found->second;
  if (is_new || known.moves != moves_) {
    known.graph.reset();
    body();
    known.moves = moves_;
    return;
  }
  if (!known.graph) {
    runtime_->begin_capture();
    body();
    known.graph = runtime_->end_capture();
  }
  if (known.graph) runtime_->launch(*known.graph);
}

// Puts rows side by side into units where they see the same pages in a split.
void CudaOps::plan_attention() {
  const int rows_of_unit = std::max(1, 16 / group_);
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
  constexpr size_t kLeastUnits = 32;
  host_units_.resize(std::bit_ceil(std::max(kLeastUnits, host_units_.size())));
  units_ = units_memory_.fill(host_units_);
}

void CudaOps::embed(const Weight& table, const PackedWeight* packed, float* out) {
  split_x_ = nullptr;
  for (const BatchRow& row : rows_) CHECK(row.token < table.rows);
  kernels_.embed(stream_, static_cast<const CudaWeight*>(packed)->view(), batch_,
                 static_cast<int>(rows_.size()), out);
}

void CudaOps::matmul(const float* x, int rows, std::span<const Product> products) {
  const auto columns = static_cast<int>(products[0].weight->columns());
  const int filled_rows = (rows + kGemmRows - 1) / kGemmRows * kGemmRows;
  CudaActivations activations;
  if (split_x_ == x && split_count_ == size_t{1} * rows * columns) activations = split_;
  split_x_ = nullptr;
  CudaHalves halves;
  CudaLinears linears;
  DType linears_type{};
  size_t parts = 0, parts_of[kCudaLinears];  // values of the workspace before each one's
  const auto launch_linears = [&] {
    if (linears.count == 0) return;
    auto* workspace = workspace_.get<float>(parts);
    for (int i = 0; i < linears.count; ++i) linears.each[i].parts = workspace + parts_of[i];
    kernels_.linear(stream_, linears_type, linears, activations, rows);
    linears.count = 0;
    parts = 0;
  };
  for (const Product& product : products) {
    const CudaWeightView& view = static_cast<const CudaWeight*>(product.weight)->view();
    const int64_t outputs = view.shape.outputs;
    const bool by_gemm = view.row_stride > 0, half = by_gemm && view.dtype == DType::kF16;
    if (half && halves.stride == 0) {
      const int stride = stride_of(columns);
      const size_t values = static_cast<size_t>(filled_rows) * stride;
      halves = {half_high_memory_.get<uint16_t>(values),
                both_parts_ ? half_low_memory_.get<uint16_t>(values) : nullptr,
                factors_memory_.get<float>(static_cast<size_t>(rows)), stride};
      kernels_.split_halves(stream_, x, rows, columns, halves);
    }
    if (!half && activations.stride == 0) {
      activations = activations_for(rows, columns);
      kernels_.split_activations(stream_, x, rows, columns, activations);
    }
    if (by_gemm) {
      float* sums = workspace_.get<float>(static_cast<size_t>(filled_rows * outputs));
      CudaGemm gemm{view.data,
                    half ? halves.high : activations.high,
                    sums,
                    outputs,
                    stride_of(columns),
                    filled_rows,
                    false,
                    half};
      runtime_->gemm(gemm);
      gemm.x = half ? halves.low : activations.low;
      gemm.add = true;
      if (both_parts_) runtime_->gemm(gemm);
      if (half) {
        kernels_.scale_rows(stream_, sums, halves.factors, rows, outputs, product.bias,
                            product.out);
      } else {
        CudaSums all;
        all.each[all.count++] = {sums, 1, rows * outputs, outputs, product.bias, product.out};
        kernels_.sum_parts(stream_, all);
      }
      continue;
    }
    if (linears.count == kCudaLinears || view.dtype != linears_type) launch_linears();
    linears_type = view.dtype;
    const int splits = cuda_linear_splits(view.shape);
    parts_of[linears.count] = parts;
    if (splits > 1) parts += static_cast<size_t>(splits * rows) * static_cast<size_t>(outputs);
    linears.each[linears.count++] = {view.data,   view.shape, product.bias,
                                     product.out, nullptr,    splits};
  }
  launch_linears();
}

void CudaOps::attention(const float* q, int heads, const KvLayout& kv, size_t layer_offset,
                        float* out) {
  split_x_ = nullptr;
  CHECK(heads == group_ * kv.kv_heads);
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

void CudaOps::sample(const float* logits, int vocab_size, std::span<const SampleRow> rows) {
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
  drawn_ = drawn;
  runtime_->start_download(drawn, rows.size() * sizeof(CudaSampled));
}

void CudaOps::collect(std::span<SampledToken> out) {
  sampled_.resize(out.size());
  runtime_->finish_download(out.size() * sizeof(CudaSampled), sampled_.data());
  for (size_t i = 0; i < out.size(); ++i) {
    const CudaSampled& one = sampled_[i];
    out[i] = {one.token, one.token < 0 ? 0.0 : double{one.difference} - std::log(one.total)};
  }
}

void CudaOps::compare_logits(const float* base, const float* other, int vocab_size,
                             std::span<LogitsDifference> out) {
  const int rows = static_cast<int>(out.size());
  auto* differences = results_memory_.get<CudaLogitsDifference>(out.size());
  kernels_.compare_logits(stream_, base, other, rows, vocab_size, sample_weights(rows, vocab_size),
                          sample_blocks(rows, vocab_size), differences);
  std::vector<CudaLogitsDifference> host(out.size());
  runtime_->download(differences, host.size() * sizeof(CudaLogitsDifference), host.data());
  for (size_t r = 0; r < out.size(); ++r) {
    out[r] = {host[r].kl_divergence, host[r].best, host[r].other_best};
  }
}

}  // namespace

std::unique_ptr<Ops> make_cuda_ops(std::unique_ptr<CudaRuntime> runtime, Activations activations,
                                   bool for_gemm) {
  CHECK(activations == Activations::kBF16x2 || activations == Activations::kBF16);
  return std::make_unique<CudaOps>(std::move(runtime), activations, for_gemm);
}

}  // namespace assay
