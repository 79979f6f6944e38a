// One table of cases for every device: the CPU's, the CUDA device's kernels in the emulator, and a
// GPU where there is one. References are plain loops in f64.
#include "engine/ops.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <optional>

#include "engine/blocks.h"
#include "engine/cpu/cpu_ops.h"
#include "engine/cpu/sampler.h"
#include "engine/cuda/cuda_ops.h"
#include "engine/cuda/simt/block.h"
#include "engine/half.h"
#include "tests/engine/random_weights.h"
#include "tests/support.h"

namespace assay {
namespace {

using testing::random_floats;
using testing::random_row;

struct Device {
  const char* name;
  Activations activations;
  KvType kv_type;
  // Relative to Σ|w||x|: what rounding the activations costs, and the f32 sums.
  double product_tolerance;
  double kv_tolerance;  // what rounding a key or value the other way costs
};

// bf16x2 keeps 16 bits of an activation, bf16 8; f32 sums of up to 512 terms err by 2^-19 at most.
constexpr Device kDevices[] = {
    {"cpu", Activations::kF32, KvType::kF32, 0x1p-18, 0},
    {"cpu", Activations::kFixed16, KvType::kFixed16, 0x1p-14, 0x1p-16},
    {"simt", Activations::kBF16x2, KvType::kBF16, 0x1p-16, 0x1p-8},
    {"simt", Activations::kBF16, KvType::kInt8, 0x1p-8, 0x1p-6},
    {"cuda", Activations::kBF16x2, KvType::kBF16, 0x1p-16, 0x1p-8},
};

class OpsTest : public ::testing::TestWithParam<Device> {
 protected:
  void SetUp() override {
    const Device& device = GetParam();
    const std::string name = device.name;
    if (name == "cpu") {
      ops_ = std::move(make_cpu_ops({2, "auto", device.activations})).value();
    } else if (name == "simt") {
      ops_ = make_cuda_ops(make_simt_runtime(), device.activations);
    } else {
      auto runtime = make_gpu_runtime(0);
      if (!runtime.ok()) GTEST_SKIP() << runtime.error().message;
      ops_ = make_cuda_ops(std::move(runtime).value(), device.activations);
    }
  }
  void TearDown() override {
    if (!ops_) return;
    const Status status = ops_->status();
    EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
  }

  Ops::Buffer on_device(const std::vector<float>& values) {
    Ops::Buffer buffer = ops_->allocate(values.size());
    ops_->upload(values.data(), values.size(), buffer.get());
    return buffer;
  }
  std::vector<float> from_device(const Ops::Buffer& buffer, size_t count) {
    std::vector<float> values(count);
    ops_->download(buffer.get(), count, values.data());
    return values;
  }

  // Keys are rotated by angles_at() of their positions, or not at all.
  void store(const std::vector<BatchRow>& rows, const std::vector<float>& keys,
             const std::vector<float>& values, const KvLayout& kv, size_t offset,
             std::optional<RopePairs> pairs);

  std::unique_ptr<Ops> ops_;
};

std::string device_name(const ::testing::TestParamInfo<Device>& tested) {
  return std::string(tested.param.name) + "_" +
         std::string(kActivationNames[static_cast<int>(tested.param.activations)]) + "_" +
         std::string(kKvTypeNames[static_cast<int>(tested.param.kv_type)]);
}
INSTANTIATE_TEST_SUITE_P(Device, OpsTest, ::testing::ValuesIn(kDevices), device_name);

std::vector<uint8_t> random_weight(DType dtype, int64_t rows, int64_t columns, uint32_t seed) {
  std::vector<uint8_t> bytes;
  for (int64_t r = 0; r < rows; ++r) {
    const auto row = random_row(dtype, columns, seed + static_cast<uint32_t>(r));
    bytes.insert(bytes.end(), row.begin(), row.end());
  }
  return bytes;
}

struct ProductShape {
  int64_t outputs, columns;
  int rows;
};

TEST_P(OpsTest, ProductsWithEveryTypeAreWithinTheirErrorBound) {
  const bool optimized = testing::kOptimized;
  double worst = 0;
  for (const TypeInfo& type : kTypes) {
    std::vector<ProductShape> shapes = {{16, 512, 1}, {100, 512, 9}, {70, 1024, 3}};
    if (type.values == 1) shapes.push_back({33, 72, 5});
    if (type.values == 32) shapes.push_back({40, 96, 8});
    if (optimized) shapes.push_back({130, 768, 67});
    for (const ProductShape& shape : shapes) {
      const auto bytes = random_weight(type.dtype, shape.outputs, shape.columns, 3);
      const Weight weight{bytes.data(), type.dtype, shape.outputs, shape.columns};
      const auto x = random_floats(static_cast<size_t>(shape.rows * shape.columns), 4);
      const auto bias = random_floats(static_cast<size_t>(shape.outputs), 5);
      const auto packed = ops_->pack(weight);
      const auto device_x = on_device(x), device_bias = on_device(bias);
      const size_t size = static_cast<size_t>(shape.rows * shape.outputs);
      const auto out = ops_->allocate(size), biased = ops_->allocate(size);
      const Product products[] = {{packed.get(), nullptr, out.get()},
                                  {packed.get(), device_bias.get(), biased.get()}};
      ops_->matmul(device_x.get(), shape.rows, products);
      const auto result = from_device(out, size), with_bias = from_device(biased, size);
      std::vector<float> w(static_cast<size_t>(shape.columns));
      for (int64_t o = 0; o < shape.outputs; ++o) {
        dequantize(type.dtype, weight.row(o), shape.columns, w.data());
        for (int r = 0; r < shape.rows; ++r) {
          double sum = 0, bound = 0;
          for (int64_t k = 0; k < shape.columns; ++k) {
            const double product = double{w[k]} * x[r * shape.columns + k];
            sum += product;
            bound += std::abs(product);
          }
          const size_t at = static_cast<size_t>(r * shape.outputs + o);
          const double tolerance = GetParam().product_tolerance * bound + 1e-30;
          worst = std::max(worst, std::abs(result[at] - sum) / tolerance);
          ASSERT_NEAR(result[at], sum, tolerance)
              << type.name << " " << shape.rows << " rows, output " << o << " of row " << r;
          ASSERT_NEAR(with_bias[at], result[at] + bias[o], 1e-6 * std::abs(with_bias[at]) + 1e-6);
        }
      }
    }
  }
  std::printf("largest error: %.2f of the bound\n", worst);
}

TEST_P(OpsTest, ARowsProductsHaveTheSameBitsInEveryBatch) {
  for (const DType dtype : {DType::kQ4_K, DType::kQ8_0, DType::kBF16}) {
    const auto bytes = random_weight(dtype, 50, 768, 3);
    const auto packed = ops_->pack({bytes.data(), dtype, 50, 768});
    const auto x = random_floats(70 * 768, 4);
    const auto device_x = on_device(x);
    const auto out = ops_->allocate(70 * 50), one = ops_->allocate(50);
    const Product all[] = {{packed.get(), nullptr, out.get()}};
    ops_->matmul(device_x.get(), 70, all);
    const auto expected = from_device(out, 70 * 50);
    for (const int row : {0, 7, 63, 64, 69}) {
      const auto own = on_device({x.begin() + row * 768, x.begin() + (row + 1) * 768});
      const Product alone[] = {{packed.get(), nullptr, one.get()}};
      ops_->matmul(own.get(), 1, alone);
      const auto result = from_device(one, 50);
      EXPECT_TRUE(std::equal(result.begin(), result.end(), expected.begin() + row * 50)) << row;
    }
  }
}

TEST_P(OpsTest, EmbeddingRowsAreWhatTheirTypeDefines) {
  for (const TypeInfo& type : kTypes) {
    const int64_t columns = type.values == 1 ? 72 : 512;
    const auto bytes = random_weight(type.dtype, 21, columns, 8);
    const Weight table{bytes.data(), type.dtype, 21, columns};
    std::byte* no_pages[] = {nullptr};
    const std::vector<BatchRow> rows = {{0, 0, no_pages}, {20, 0, no_pages}, {9, 0, no_pages}};
    const auto out = ops_->allocate(3 * static_cast<size_t>(columns));
    const auto packed = ops_->packs_embedding() ? ops_->pack(table) : nullptr;
    ops_->begin({rows, {}, 1});
    ops_->embed(table, packed.get(), out.get());
    const auto result = from_device(out, 3 * static_cast<size_t>(columns));
    std::vector<float> expected(static_cast<size_t>(columns));
    for (int r = 0; r < 3; ++r) {
      dequantize(type.dtype, table.row(rows[r].token), columns, expected.data());
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), result.begin() + r * columns))
          << type.name;
    }
  }
}

TEST_P(OpsTest, NormsGatedUnitsAndSumsAreThoseOfTheirFormulas) {
  for (const int width : {1, 33, 128, 576}) {
    const int rows = 5;
    const size_t size = static_cast<size_t>(rows * width);
    const auto x = random_floats(size, 1), y = random_floats(size, 2, 4);
    const auto scale = random_floats(static_cast<size_t>(width), 3);
    const auto device_x = on_device(x), device_y = on_device(y), device_scale = on_device(scale);
    const auto out = ops_->allocate(size);
    ops_->rms_norm(device_x.get(), device_scale.get(), 1e-5f, rows, width, out.get());
    const auto norm = from_device(out, size);
    const std::vector<int> wanted = {4, 0};
    std::byte* no_pages = nullptr;
    const auto gathered_memory = ops_->allocate(2 * static_cast<size_t>(width));
    const std::vector<BatchRow> no_rows(5, BatchRow{0, 0, &no_pages});
    ops_->begin({no_rows, wanted, 1});
    ops_->gather(device_x.get(), width, gathered_memory.get());
    const auto gathered = from_device(gathered_memory, 2 * static_cast<size_t>(width));
    EXPECT_TRUE(std::equal(gathered.begin(), gathered.begin() + width, x.begin() + 4 * width));
    EXPECT_TRUE(std::equal(gathered.begin() + width, gathered.end(), x.begin()));
    const auto gate = on_device(x);
    ops_->swiglu(gate.get(), device_y.get(), rows, width);
    const auto gated = from_device(gate, size);
    const auto own_x = on_device(x);
    ops_->add_rms_norm(own_x.get(), device_y.get(), device_scale.get(), 1e-5f, rows, width,
                       out.get());
    const auto fused_sum = from_device(own_x, size), fused_norm = from_device(out, size);
    ops_->add(device_x.get(), device_y.get(), rows, width);
    const auto sum = from_device(device_x, size);
    ops_->rms_norm(device_x.get(), device_scale.get(), 1e-5f, rows, width, out.get());
    EXPECT_EQ(fused_sum, sum);
    EXPECT_EQ(fused_norm, from_device(out, size));
    for (int r = 0; r < rows; ++r) {
      double squares = 0;
      for (int i = 0; i < width; ++i) squares += double{x[r * width + i]} * x[r * width + i];
      for (int i = 0; i < width; ++i) {
        const int at = r * width + i;
        const double normed = x[at] / std::sqrt(squares / width + 1e-5) * scale[i];
        EXPECT_NEAR(norm[at], normed, 1e-6 * std::abs(normed));
        const double silu = x[at] / (1 + std::exp(-double{x[at]})) * y[at];
        EXPECT_NEAR(gated[at], silu, 1e-6 * std::abs(silu));
        EXPECT_EQ(sum[at], x[at] + y[at]);
      }
    }
  }
}

// Cosine and sine of angles that depend on position and dimension, [head_dim].
std::vector<float> angles_at(int position, int dim) {
  std::vector<float> angles(static_cast<size_t>(dim));
  for (int i = 0; i < dim; i += 2) {
    const double angle = position * std::pow(100.0, -static_cast<double>(i) / dim);
    angles[i] = static_cast<float>(std::cos(angle));
    angles[i + 1] = static_cast<float>(std::sin(angle));
  }
  return angles;
}

// Of one head, in f64.
std::vector<double> rotated(const float* head, int dim, const std::vector<float>& angles,
                            RopePairs pairs) {
  std::vector<double> out(head, head + dim);
  const int step = pairs == RopePairs::kHalves ? 1 : 2;
  const int apart = pairs == RopePairs::kHalves ? dim / 2 : 1;
  for (int i = 0; i < dim / 2; ++i) {
    const double a = head[i * step], b = head[i * step + apart];
    out[i * step] = a * angles[2 * i] - b * angles[2 * i + 1];
    out[i * step + apart] = a * angles[2 * i + 1] + b * angles[2 * i];
  }
  return out;
}

TEST_P(OpsTest, RopeRotatesBothKindsOfPairsOfQueries) {
  const int rows = 3, heads = 5, dim = 32;
  const KvLayout kv{GetParam().kv_type, 2, dim};
  const auto q = random_floats(rows * heads * dim, 1), k = random_floats(rows * 2 * dim, 2);
  const auto memory = ops_->allocate(kv.size_bytes() / sizeof(float));
  std::byte* table[] = {reinterpret_cast<std::byte*>(memory.get())};
  std::vector<BatchRow> batch;
  std::vector<float> angles;
  for (int r = 0; r < rows; ++r) {
    batch.push_back({0, 3 * r, table});
    const auto own = angles_at(3 * r, dim);
    angles.insert(angles.end(), own.begin(), own.end());
  }
  const auto device_angles = on_device(angles), device_v = on_device(k);
  for (const RopePairs pairs : {RopePairs::kHalves, RopePairs::kNeighbours}) {
    const auto device_q = on_device(q), device_k = on_device(k);
    ops_->begin({batch, {}, 1});
    ops_->rope_and_store(device_q.get(), device_k.get(), device_v.get(), device_angles.get(), heads,
                         pairs, kv, 0);
    const auto result = from_device(device_q, q.size());
    for (int r = 0; r < rows; ++r) {
      for (int h = 0; h < heads; ++h) {
        const size_t at = static_cast<size_t>((r * heads + h) * dim);
        const auto expected = rotated(q.data() + at, dim, angles_at(3 * r, dim), pairs);
        for (int d = 0; d < dim; ++d) EXPECT_NEAR(result[at + d], expected[d], 1e-6);
      }
    }
  }
}

void OpsTest::store(const std::vector<BatchRow>& rows, const std::vector<float>& keys,
                    const std::vector<float>& values, const KvLayout& kv, size_t offset,
                    std::optional<RopePairs> pairs) {
  std::vector<float> angles;
  for (const BatchRow& row : rows) {
    const auto own = angles_at(pairs ? row.position : 0, kv.head_dim);
    angles.insert(angles.end(), own.begin(), own.end());
  }
  const auto q = on_device(keys), k = on_device(keys), v = on_device(values);
  ops_->begin({rows, {}, 1});
  ops_->rope_and_store(q.get(), k.get(), v.get(), on_device(angles).get(), kv.kv_heads,
                       pairs.value_or(RopePairs::kHalves), kv, offset);
}

// What a head's key or value is once it is in the cache.
std::vector<double> kept(std::vector<double> head, KvType type) {
  const size_t count = head.size();
  for (size_t start = 0; start < count; start += kKvGroup) {
    const auto begin = head.begin() + static_cast<int64_t>(start);
    const auto end = head.begin() + static_cast<int64_t>(std::min(count, start + kKvGroup));
    double most = 0;
    for (auto at = begin; at != end; ++at) most = std::max(most, std::abs(*at));
    const double unit = most / (type == KvType::kInt8 ? 127 : 32767);
    for (auto at = begin; at != end; ++at) {
      if (type == KvType::kBF16) {
        const uint32_t bits = float_to_bf16(static_cast<float>(*at));
        *at = std::bit_cast<float>(bits << 16);
      } else if (type != KvType::kF32) {
        *at = std::nearbyint(*at / unit) * unit;
      }
    }
  }
  return head;
}

struct AttentionShape {
  int heads, kv_heads, dim;
  std::vector<int> lengths;  // of the sequences; each is one row, its last position
  int shared;                // positions that all share
};

// Sequences that share a prefix, each with one row at its end; the last one is also there as a
// prompt, with a row for each position.
TEST_P(OpsTest, AttentionIsTheSoftmaxOverEachRowsOwnPositions) {
  std::vector<AttentionShape> shapes = {
      {4, 2, 32, {1, 2, 16, 17, 40}, 0}, {9, 3, 64, {33, 34, 49}, 32}, {7, 1, 64, {270, 300}, 256}};
  if (testing::kOptimized) {
    shapes.push_back({5, 5, 128, {600, 3}, 0});
    shapes.push_back({8, 1, 96, {70, 71, 72, 75}, 64});
    shapes.push_back({20, 1, 32, {40, 44}, 16});
  }
  const KvType kv_type = GetParam().kv_type;
  RopePairs pairs = RopePairs::kNeighbours;
  for (const AttentionShape& shape : shapes) {
    pairs = pairs == RopePairs::kHalves ? RopePairs::kNeighbours : RopePairs::kHalves;
    const KvLayout kv{kv_type, shape.kv_heads, shape.dim};
    const size_t offset = kv.size_bytes();  // the second of two layers
    const int sequences = static_cast<int>(shape.lengths.size());
    const int width = shape.kv_heads * shape.dim;
    std::vector<Ops::Buffer> memory;
    std::vector<std::vector<std::byte*>> tables(shape.lengths.size());
    for (int s = 0; s < sequences; ++s) {
      for (int page = 0; page * kPageTokens < shape.lengths[s]; ++page) {
        if (s > 0 && (page + 1) * kPageTokens <= shape.shared) {
          tables[s].push_back(tables[0][page]);
          continue;
        }
        memory.push_back(ops_->allocate(2 * kv.size_bytes() / sizeof(float)));
        tables[s].push_back(reinterpret_cast<std::byte*>(memory.back().get()));
      }
    }
    // Keys and values of sequence s, position t; those of shared positions are the first one's.
    const auto draw = [&](int s, int t, int what) {
      const int owner = t < shape.shared ? 0 : s;
      return random_floats(static_cast<size_t>(width),
                           static_cast<uint32_t>(2 * (owner * 1000 + t) + what));
    };
    for (int s = 0; s < sequences; ++s) {
      std::vector<BatchRow> rows;
      std::vector<float> keys, values;
      for (int t = s > 0 ? shape.shared : 0; t < shape.lengths[s]; ++t) {
        rows.push_back({0, t, tables[s].data()});
        const auto key = draw(s, t, 0), value = draw(s, t, 1);
        keys.insert(keys.end(), key.begin(), key.end());
        values.insert(values.end(), value.begin(), value.end());
      }
      store(rows, keys, values, kv, offset, pairs);
    }
    std::vector<BatchRow> rows;
    std::vector<int> sequence_of;
    for (int s = 0; s < sequences; ++s) {
      rows.push_back({0, shape.lengths[s] - 1, tables[s].data()});
      sequence_of.push_back(s);
    }
    for (int t = 0; t < shape.lengths[sequences - 1]; ++t) {
      rows.push_back({0, t, tables[sequences - 1].data()});
      sequence_of.push_back(sequences - 1);
    }
    const size_t q_width = static_cast<size_t>(shape.heads * shape.dim);
    auto q = random_floats(rows.size() * q_width, 77);
    // The prompt's last row asks what the sequence's own row asks.
    std::copy_n(q.begin() + static_cast<int64_t>((sequences - 1) * q_width), q_width,
                q.end() - static_cast<int64_t>(q_width));
    const auto device_q = on_device(q), out = ops_->allocate(q.size());
    ops_->begin({rows, {}, shape.heads / shape.kv_heads});
    ops_->attention(device_q.get(), shape.heads, kv, offset, out.get());
    const auto result = from_device(out, q.size());
    for (size_t r = 0; r < rows.size(); ++r) {
      if (r > static_cast<size_t>(sequences) && r + 1 < rows.size() && r % 7 != 0) continue;
      for (int h = 0; h < shape.heads; ++h) {
        const int kv_head = h / (shape.heads / shape.kv_heads);
        const float* query = q.data() + r * q_width + static_cast<size_t>(h * shape.dim);
        const int length = rows[r].position + 1;
        std::vector<double> scores(static_cast<size_t>(length));
        std::vector<std::vector<double>> values;
        for (int t = 0; t < length; ++t) {
          const auto drawn = draw(sequence_of[r], t, 0);
          const auto key = kept(rotated(drawn.data() + kv_head * shape.dim, shape.dim,
                                        angles_at(t, shape.dim), pairs),
                                kv_type);
          const auto value = draw(sequence_of[r], t, 1);
          const auto own = value.begin() + kv_head * shape.dim;
          values.push_back(kept({own, own + shape.dim}, kv_type));
          for (int d = 0; d < shape.dim; ++d) scores[t] += query[d] * key[d];
          scores[t] /= std::sqrt(shape.dim);
        }
        const double most = *std::max_element(scores.begin(), scores.end());
        double total = 0;
        for (double& score : scores) total += score = std::exp(score - most);
        for (int d = 0; d < shape.dim; ++d) {
          double expected = 0;
          for (int t = 0; t < length; ++t) {
            expected += scores[t] / total * values[t][d];
          }
          // Rotated in f32, a key next to the middle of two kept ones can fall to the other side.
          const double tolerance = 1e-4 + 0.25 * GetParam().kv_tolerance;
          ASSERT_NEAR(result[r * q_width + static_cast<size_t>(h * shape.dim + d)], expected,
                      tolerance)
              << "row " << r << ", head " << h << ", dimension " << d << " of " << shape.dim;
        }
      }
    }
    EXPECT_TRUE(std::equal(result.begin() + static_cast<int64_t>((sequences - 1) * q_width),
                           result.begin() + static_cast<int64_t>(sequences * q_width),
                           result.end() - static_cast<int64_t>(q_width)))
        << "a row has the same bits alone and in its prompt";
  }
}

TEST_P(OpsTest, AttentionReachesBackOver131072Positions) {
  if (!testing::kOptimized) GTEST_SKIP() << "too slow with sanitizers";
  constexpr int kPositions = 131072, kDim = 64, kHeads = 2, kChunk = 4096;
  const KvLayout kv{GetParam().kv_type, 1, kDim};
  std::vector<Ops::Buffer> memory;
  std::vector<std::byte*> table;
  for (int page = 0; page < kPositions / kPageTokens; ++page) {
    memory.push_back(ops_->allocate(kv.size_bytes() / sizeof(float)));
    table.push_back(reinterpret_cast<std::byte*>(memory.back().get()));
  }
  const auto keys = random_floats(size_t{kPositions} * kDim, 1);
  const auto values = random_floats(size_t{kPositions} * kDim, 2);
  for (int start = 0; start < kPositions; start += kChunk) {
    std::vector<BatchRow> rows;
    for (int t = start; t < start + kChunk; ++t) rows.push_back({0, t, table.data()});
    const auto part = [&](const std::vector<float>& all) {
      const auto first = all.begin() + int64_t{start} * kDim;
      return std::vector<float>(first, first + int64_t{kChunk} * kDim);
    };
    store(rows, part(keys), part(values), kv, 0, std::nullopt);
  }
  // Both look for something: the first for its own far-away key, the second for a broad mixture.
  auto q = random_floats(kHeads * kDim, 3, 0.1f);
  for (int d = 0; d < kDim; ++d) q[d] = 2 * keys[100 * kDim + d];
  const std::vector<BatchRow> rows = {{0, kPositions - 1, table.data()}};
  const auto out = ops_->allocate(q.size());
  const auto device_q = on_device(q);
  ops_->begin({rows, {}, kHeads / kv.kv_heads});
  ops_->attention(device_q.get(), kHeads, kv, 0, out.get());
  const auto result = from_device(out, q.size());
  for (int h = 0; h < kHeads; ++h) {
    std::vector<double> mixed(kDim, 0), scores(kPositions, 0);
    for (int t = 0; t < kPositions; ++t) {
      for (int d = 0; d < kDim; ++d) scores[t] += double{q[h * kDim + d]} * keys[t * kDim + d] / 8;
    }
    const double most = *std::max_element(scores.begin(), scores.end());
    double total = 0;
    for (int t = 0; t < kPositions; ++t) {
      const double p = std::exp(scores[t] - most);
      total += p;
      for (int d = 0; d < kDim; ++d) mixed[d] += p * values[t * kDim + d];
    }
    for (int d = 0; d < kDim; ++d) {
      EXPECT_NEAR(result[h * kDim + d], mixed[d] / total, 1e-4 + 2 * GetParam().kv_tolerance);
    }
  }
}

TEST_P(OpsTest, SamplingDrawsTheTokensOfTheReferenceSampler) {
  const Sampler reference(*cpu_kernels("portable"));
  Sampler::Scratch scratch;
  std::vector<SamplingParams> all;
  const auto add = [&](double temperature, double top_p, int top_k, double min_p) {
    SamplingParams params;
    params.temperature = temperature;
    params.top_p = top_p;
    params.top_k = top_k;
    params.min_p = min_p;
    all.push_back(params);
  };
  add(0, 1, 0, 0);
  add(0.6, 0.95, 0, 0);
  add(1, 1, 0, 0);
  add(1, 0.5, 0, 0);
  add(1.5, 0.9, 40, 0.02);
  add(0.7, 1, 1, 0);
  add(1, 0.999999, 0, 0);
  add(2, 1, 5, 0);
  add(1, 1, 0, 0.3);
  for (const int vocab_size : {5, 512, 3001, 32000, 152064}) {
    if (!testing::kOptimized && vocab_size > 3001) continue;
    const int draws = !testing::kOptimized || vocab_size > 3001 ? 1 : 20;
    for (const float spread : {0.0f, 0.5f, 3.0f}) {  // 0: all equal
      auto logits = random_floats(static_cast<size_t>(vocab_size), 6, spread);
      if (spread == 0.5f) {  // many equal ones
        for (float& logit : logits) logit = std::round(logit * 4) / 4;
      }
      std::vector<SampleRow> rows;
      std::vector<float> repeated;
      for (const SamplingParams& params : all) {
        for (int i = 0; i < draws; ++i) {
          rows.push_back({&params, {1, 2}, static_cast<uint32_t>(i), 3});
          repeated.insert(repeated.end(), logits.begin(), logits.end());
        }
      }
      const auto device_logits = on_device(repeated);
      std::vector<SampledToken> drawn(rows.size());
      ops_->sample(device_logits.get(), vocab_size, rows);
      ops_->collect(drawn);
      for (size_t r = 0; r < rows.size(); ++r) {
        const SampledToken expected = reference.sample(logits.data(), vocab_size, rows[r], scratch);
        const SamplingParams& params = *rows[r].params;
        EXPECT_EQ(drawn[r].token, expected.token)
            << "vocabulary " << vocab_size << ", spread " << spread << ", temperature "
            << params.temperature << ", top_p " << params.top_p << ", top_k " << params.top_k
            << ", min_p " << params.min_p;
        EXPECT_EQ(drawn[r].logprob, expected.logprob);
      }
    }
  }
}

TEST_P(OpsTest, LogitsThatAreNotFiniteGiveNoToken) {
  SamplingParams params;
  const std::vector<SampleRow> rows(3, {&params, {1, 2}, 0, 0});
  std::vector<float> logits(3 * 64, 0.5f);
  logits[10] = NAN;
  logits[64 + 10] = INFINITY;
  std::fill(logits.begin() + 128, logits.end(), -INFINITY);
  std::vector<SampledToken> drawn(3);
  ops_->sample(on_device(logits).get(), 64, rows);
  ops_->collect(drawn);
  for (const SampledToken& one : drawn) EXPECT_EQ(one.token, -1);
}

TEST_P(OpsTest, LogSoftmaxIsNormalised) {
  const int width = 2500;
  const auto x = random_floats(3 * width, 9, 3);
  const auto device_x = on_device(x);
  ops_->log_softmax(device_x.get(), 3, width);
  const auto result = from_device(device_x, x.size());
  for (int r = 0; r < 3; ++r) {
    double total = 0;
    for (int i = 0; i < width; ++i) total += std::exp(double{x[r * width + i]});
    for (int i = 0; i < width; ++i) {
      EXPECT_NEAR(result[r * width + i], x[r * width + i] - std::log(total), 2e-6);
    }
  }
}

TEST_P(OpsTest, TokensLogprobsAreThoseOfTheSoftmax) {
  for (const int width : {1, 1000, 32000}) {
    if (!testing::kOptimized && width > 1000) continue;
    const auto x = random_floats(static_cast<size_t>(3 * width), 9, 3);
    const std::vector<int32_t> tokens = {width - 1, 0, width / 2};
    std::vector<double> logprobs(3);
    ops_->token_logprobs(on_device(x).get(), width, tokens, logprobs.data());
    for (int r = 0; r < 3; ++r) {
      double total = 0;
      for (int i = 0; i < width; ++i) total += std::exp(double{x[r * width + i]});
      EXPECT_NEAR(logprobs[r], x[r * width + tokens[r]] - std::log(total), 1e-6);
    }
  }
}

// From a millionth of a nat, where a sum of p · log(p / q) in f32 would have no right digit, to
// distributions that hardly meet.
TEST_P(OpsTest, TheDivergenceOfTwoRowsIsRightToItsLastDigitsHoweverSmall) {
  const int width = testing::kOptimized ? 32000 : 1000;
  for (const float apart : {0.0f, 1e-3f, 0.1f, 3.0f, 40.0f}) {
    auto x = random_floats(static_cast<size_t>(2 * width), 9, 3);
    const auto noise = random_floats(static_cast<size_t>(2 * width), 10, apart);
    auto y = x;
    for (size_t i = 0; i < y.size(); ++i) y[i] += noise[i] + 5;
    x[10] = -INFINITY;  // neither can be drawn
    y[10] = -200;
    std::vector<LogitsDifference> found(2);
    ops_->compare_logits(on_device(x).get(), on_device(y).get(), width, found);
    for (int r = 0; r < 2; ++r) {
      const float *p = x.data() + r * width, *q = y.data() + r * width;
      long double p_total = 0, q_total = 0, sum = 0;
      for (int i = 0; i < width; ++i) p_total += std::exp(static_cast<long double>(p[i]));
      for (int i = 0; i < width; ++i) q_total += std::exp(static_cast<long double>(q[i]));
      for (int i = 0; i < width; ++i) {
        if (std::isinf(p[i])) continue;
        const long double log_p = p[i] - std::log(p_total), log_q = q[i] - std::log(q_total);
        sum += std::exp(log_p) * (log_p - log_q);
      }
      const auto expected = static_cast<double>(sum);
      EXPECT_NEAR(found[r].kl_divergence, expected, 1e-5 * expected + 1e-12) << apart;
      EXPECT_EQ(found[r].best, std::max_element(p, p + width) - p);
      EXPECT_EQ(found[r].other_best, std::max_element(q, q + width) - q);
    }
  }
}

TEST(Simt, EveryOpIsTheSameInEveryOrderOfThreads) {
  std::vector<std::vector<float>> results;
  for (uint64_t seed = 0; seed < 3; ++seed) {
    simt::set_order_seed(seed);
    const auto ops = make_cuda_ops(make_simt_runtime(), Activations::kBF16x2);
    const auto bytes = random_weight(DType::kQ6_K, 40, 512, 3);
    const auto packed = ops->pack({bytes.data(), DType::kQ6_K, 40, 512});
    const auto x = random_floats(9 * 512, 4);
    const auto device_x = ops->allocate(x.size()), out = ops->allocate(9 * 40);
    ops->upload(x.data(), x.size(), device_x.get());
    const Product products[] = {{packed.get(), nullptr, out.get()}};
    ops->matmul(device_x.get(), 9, products);
    ops->log_softmax(out.get(), 9, 40);
    results.emplace_back(9 * 40);
    ops->download(out.get(), 9 * 40, results.back().data());
    ASSERT_OK(ops->status());
    EXPECT_EQ(results.back(), results.front());
  }
  simt::set_order_seed(0);
}

}  // namespace
}  // namespace assay
