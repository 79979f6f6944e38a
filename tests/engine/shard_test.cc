// What the ranks of a model have is, put together, the model.
#include "engine/model/shard.h"

#include <gtest/gtest.h>

#include <deque>
#include <numeric>

#include "engine/blocks.h"
#include "engine/cpu/cpu_ops.h"
#include "engine/cuda/cuda_ops.h"
#include "tests/engine/random_weights.h"
#include "tests/support.h"

namespace assay {
namespace {

using testing::random_floats;
using testing::random_weight;

// A layer of one type. Row r of a matrix begins like no other row.
struct Layer {
  Layer(DType dtype, int heads, int kv_heads, int head_dim, int width, int ffn_width) {
    config.layers = 1;
    config.width = width;
    config.ffn_width = ffn_width;
    config.heads = heads;
    config.kv_heads = kv_heads;
    config.head_dim = head_dim;
    LayerWeights layer;
    layer.q = matrix(dtype, heads * head_dim, width);
    layer.k = matrix(dtype, kv_heads * head_dim, width);
    layer.v = matrix(dtype, kv_heads * head_dim, width);
    layer.output = matrix(dtype, width, heads * head_dim);
    layer.gate = matrix(dtype, ffn_width, width);
    layer.up = matrix(dtype, ffn_width, width);
    layer.down = matrix(dtype, width, ffn_width);
    layer.q_bias.resize(static_cast<size_t>(heads * head_dim));
    layer.k_bias.resize(static_cast<size_t>(kv_heads * head_dim));
    layer.v_bias.resize(static_cast<size_t>(kv_heads * head_dim));
    for (auto* bias : {&layer.q_bias, &layer.k_bias, &layer.v_bias}) {
      std::iota(bias->begin(), bias->end(), 0.0f);
    }
    weights.layers.push_back(layer);
  }

  Weight matrix(DType dtype, int64_t rows, int64_t columns) {
    const auto seed = static_cast<uint32_t>(97 * memory.size());
    const auto& bytes = memory.emplace_back(random_weight(dtype, rows, columns, seed));
    return {bytes.data(), dtype, rows, columns};
  }

  ModelConfig config;
  ModelWeights weights;
  std::deque<std::vector<uint8_t>> memory;
};

std::vector<float> values_of(const Weight& weight, int64_t row) {
  std::vector<float> values(static_cast<size_t>(weight.columns));
  dequantize(weight.dtype, weight.row(row), weight.columns, values.data());
  return values;
}

TEST(Shard, RowsAndColumnsOfEveryTypeAreTheRanksOwn) {
  for (const TypeInfo& type : kTypes) {
    const Layer whole(type.dtype, 8, 4, 256, 512, 1024);
    for (const int ranks : {1, 2, 4}) {
      for (int rank = 0; rank < ranks; ++rank) {
        const auto shard = shard_model(whole.config, whole.weights, rank, ranks);
        ASSERT_OK(shard);
        EXPECT_EQ(shard->config.heads, 8 / ranks);
        EXPECT_EQ(shard->config.kv_heads, 4 / ranks);
        EXPECT_EQ(shard->config.ffn_width, 1024 / ranks);
        const LayerWeights &part = shard->weights.layers[0], &all = whole.weights.layers[0];
        EXPECT_EQ(values_of(part.k, 3), values_of(all.k, rank * 1024 / ranks + 3)) << type.name;
        EXPECT_EQ(values_of(part.up, 5), values_of(all.up, rank * 1024 / ranks + 5));
        EXPECT_EQ(part.q_bias[1], all.q_bias[static_cast<size_t>(rank * 2048 / ranks + 1)]);
        const auto down = values_of(part.down, 300), all_down = values_of(all.down, 300);
        EXPECT_TRUE(std::equal(down.begin(), down.end(), all_down.begin() + rank * 1024 / ranks));
        const auto output = values_of(part.output, 511), all_output = values_of(all.output, 511);
        EXPECT_TRUE(
            std::equal(output.begin(), output.end(), all_output.begin() + rank * 2048 / ranks));
      }
    }
  }
}

TEST(Shard, WithMoreRanksThanKvHeadsSeveralHaveTheSame) {
  const Layer whole(DType::kF32, 8, 2, 32, 64, 64);
  for (int rank = 0; rank < 4; ++rank) {
    const auto shard = shard_model(whole.config, whole.weights, rank, 4);
    ASSERT_OK(shard);
    EXPECT_EQ(shard->config.heads, 2);
    EXPECT_EQ(shard->config.kv_heads, 1);
    const LayerWeights &part = shard->weights.layers[0], &all = whole.weights.layers[0];
    EXPECT_EQ(values_of(part.v, 7), values_of(all.v, rank / 2 * 32 + 7));
    EXPECT_EQ(part.v_bias, std::vector<float>(all.v_bias.begin() + rank / 2 * 32,
                                              all.v_bias.begin() + (rank / 2 + 1) * 32));
  }
}

TEST(Shard, WhatWouldCutABlockOrAHeadIsAnError) {
  const Layer whole(DType::kQ4_K, 6, 3, 256, 256, 512);
  EXPECT_EQ(shard_model(whole.config, whole.weights, 0, 4).error().message,
            "--tensor-parallel 4: the model's 6 heads cannot be divided; take fewer ranks");
  EXPECT_EQ(shard_model(whole.config, whole.weights, 0, 2).error().message,
            "--tensor-parallel 2: the model's 3 KV heads cannot be divided; take fewer ranks");
  EXPECT_EQ(
      shard_model(whole.config, whole.weights, 0, 3).error().message,
      "--tensor-parallel 3: the model's 512 FFN values cannot be divided into whole blocks of "
      "256; take fewer ranks");
}

// Devices pack a part, whose rows are apart in memory, as they pack a matrix of its own.
TEST(Shard, APartsProductsAreThoseOfItsCopy) {
  const int64_t columns = 1024, rows = 40, own = 512;
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kQ8_0, DType::kQ4_K, DType::kQ6_K}) {
    Layer memory(DType::kF32, 1, 1, 32, 32, 32);
    const Weight whole = memory.matrix(dtype, rows, columns);
    const TypeInfo& type = type_info(dtype);
    Weight part = whole;
    part.stride_bytes = whole.row_bytes();
    part.data += own / type.values * type.bytes;
    part.columns = own;
    std::vector<uint8_t> copied;
    for (int64_t r = 0; r < rows; ++r) {
      copied.insert(copied.end(), part.row(r), part.row(r) + part.row_bytes());
    }
    const Weight copy{copied.data(), dtype, rows, own};
    std::vector<std::unique_ptr<Ops>> devices;
    devices.push_back(std::move(make_cpu_ops({1, "auto", Activations::kFixed16})).value());
    devices.push_back(make_cuda_ops(make_simt_runtime(), Activations::kBF16x2));
    for (const auto& ops : devices) {
      const auto x = random_floats(static_cast<size_t>(own), 4);
      const auto device_x = ops->allocate(x.size());
      ops->upload(x.data(), x.size(), device_x.get());
      std::vector<std::vector<float>> results;
      for (const Weight& weight : {part, copy}) {
        const auto packed = ops->pack(weight);
        const auto out = ops->allocate(static_cast<size_t>(rows));
        const Product products[] = {{packed.get(), nullptr, out.get()}};
        ops->matmul(device_x.get(), 1, products);
        ops->download(out.get(), static_cast<size_t>(rows), results.emplace_back(rows).data());
      }
      EXPECT_EQ(results[0], results[1]) << type.name << " on " << ops->name();
    }
  }
}

}  // namespace
}  // namespace assay
