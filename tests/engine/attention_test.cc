// Rotary positions, the KV cache and attention on every device. References are plain loops in f64.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "engine/half.h"
#include "tests/engine/ops_fixture.h"

namespace assay {
namespace {

using testing::random_floats;

class AttentionTest : public testing::OpsTest {
 protected:
  // Keys are rotated by angles_at() of their positions, or not at all.
  void store(const std::vector<BatchRow>& rows, const std::vector<float>& keys,
             const std::vector<float>& values, const KvLayout& kv, size_t offset,
             std::optional<RopePairs> pairs);
};
INSTANTIATE_TEST_SUITE_P(Device, AttentionTest, ::testing::ValuesIn(testing::kDevices),
                         testing::device_name);

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

TEST_P(AttentionTest, RopeRotatesBothKindsOfPairsOfQueries) {
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

void AttentionTest::store(const std::vector<BatchRow>& rows, const std::vector<float>& keys,
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
        *at = bf16_to_float(float_to_bf16(static_cast<float>(*at)));
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
TEST_P(AttentionTest, AttentionIsTheSoftmaxOverEachRowsOwnPositions) {
  std::vector<AttentionShape> shapes = {
      {4, 2, 32, {1, 2, 16, 17, 40}, 0}, {9, 3, 64, {33, 34, 49}, 32}, {7, 1, 64, {270, 300}, 256}};
  if (testing::kOptimized) {
    shapes.push_back({5, 5, 128, {600, 3}, 0});
    shapes.push_back({4, 1, 64, {530, 545}, 512});
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

TEST_P(AttentionTest, AttentionReachesBackOver131072Positions) {
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

}  // namespace
}  // namespace assay
