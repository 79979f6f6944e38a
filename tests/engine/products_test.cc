// Products and embeddings of every type on every device. References are plain loops in f64.
#include <array>
#include <cmath>
#include <utility>

#include "engine/blocks.h"
#include "engine/half.h"
#include "tests/engine/ops_fixture.h"

namespace assay {
namespace {

using testing::Device;
using testing::random_floats;
using testing::random_weight;

class ProductsTest : public testing::OpsTest {};

// With cuBLASLt for bf16 weights too, on the emulator its reference.
constexpr Device kWithGemm[] = {
    {"simt", Activations::kBF16x2, KvType::kBF16, 0x1p-16, 0x1p-8, true},
    {"cuda", Activations::kBF16x2, KvType::kBF16, 0x1p-16, 0x1p-8, true},
};
INSTANTIATE_TEST_SUITE_P(Device, ProductsTest, ::testing::ValuesIn(testing::kDevices),
                         testing::device_name);
INSTANTIATE_TEST_SUITE_P(DeviceGemm, ProductsTest, ::testing::ValuesIn(kWithGemm),
                         testing::device_name);

struct ProductShape {
  int64_t outputs, columns;
  int rows;
};

TEST_P(ProductsTest, ProductsWithEveryTypeAreWithinTheirErrorBound) {
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

// Far beyond what fp16 holds, and nothing at all.
TEST_P(ProductsTest, RowsOfAnyMagnitudeAreMultiplied) {
  const std::vector<double> sizes = {1, 1e-30, 1e30, 0, 1e-6, 70000};
  const int rows = static_cast<int>(sizes.size()), columns = 192, outputs = 20;
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kQ8_0}) {
    const auto bytes = random_weight(dtype, outputs, columns, 6);
    const Weight weight{bytes.data(), dtype, outputs, columns};
    auto x = random_floats(static_cast<size_t>(rows * columns), 7);
    for (int i = 0; i < rows * columns; ++i) {
      x[static_cast<size_t>(i)] *= static_cast<float>(sizes[static_cast<size_t>(i / columns)]);
    }
    const auto packed = ops_->pack(weight);
    const auto device_x = on_device(x);
    const size_t size = static_cast<size_t>(rows * outputs);
    const auto out = ops_->allocate(size);
    const Product products[] = {{packed.get(), nullptr, out.get()}};
    ops_->matmul(device_x.get(), rows, products);
    const auto result = from_device(out, size);
    std::vector<float> w(static_cast<size_t>(columns));
    for (int o = 0; o < outputs; ++o) {
      dequantize(dtype, weight.row(o), columns, w.data());
      for (int r = 0; r < rows; ++r) {
        double sum = 0, bound = 0;
        for (int k = 0; k < columns; ++k) {
          const double product =
              double{w[static_cast<size_t>(k)]} * x[static_cast<size_t>(r * columns + k)];
          sum += product;
          bound += std::abs(product);
        }
        ASSERT_NEAR(result[static_cast<size_t>(r * outputs + o)], sum,
                    GetParam().product_tolerance * bound)
            << to_string(dtype) << " row " << r;
      }
    }
  }
}

TEST_P(ProductsTest, ARowsProductsHaveTheSameBitsInEveryBatch) {
  for (const DType dtype : {DType::kQ4_K, DType::kQ8_0, DType::kBF16, DType::kF16}) {
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

// A device may keep what it made for the product that follows; it is that of the values, and of
// those only.
TEST_P(ProductsTest, AProductOfWhatAnOperationLeftIsThatOfItsValues) {
  for (const int width : {72, 576, 8259}) {
    const int rows = 5, outputs = 20;
    const size_t size = static_cast<size_t>(rows * width);
    const auto bytes = random_weight(DType::kBF16, outputs, width, 3);
    const auto packed = ops_->pack({bytes.data(), DType::kBF16, outputs, width});
    const auto out = ops_->allocate(static_cast<size_t>(rows * outputs));
    const auto product = [&](const float* x) {
      const Product products[] = {{packed.get(), nullptr, out.get()}};
      ops_->matmul(x, rows, products);
      return from_device(out, static_cast<size_t>(rows * outputs));
    };
    const auto scale = on_device(random_floats(static_cast<size_t>(width), 4));
    const auto y = on_device(random_floats(size, 5));
    const auto x = on_device(random_floats(size, 6)), normed = ops_->allocate(size);
    const auto expect_own = [&](const Ops::Buffer& left, const char* what) {
      const auto found = product(left.get());
      EXPECT_EQ(found, product(on_device(from_device(left, size)).get())) << what << " " << width;
    };
    ops_->rms_norm(x.get(), scale.get(), 1e-5f, rows, width, normed.get());
    expect_own(normed, "rms_norm");
    ops_->add_rms_norm(x.get(), y.get(), scale.get(), 1e-5f, rows, width, normed.get());
    expect_own(normed, "add_rms_norm");
    const auto gate = on_device(random_floats(size, 7));
    ops_->swiglu(gate.get(), y.get(), rows, width);
    expect_own(gate, "swiglu");
    // What changes the values in between is not overlooked.
    ops_->rms_norm(x.get(), scale.get(), 1e-5f, rows, width, normed.get());
    std::byte* no_pages[] = {nullptr};
    const std::vector<BatchRow> batch(static_cast<size_t>(rows), BatchRow{0, 0, no_pages});
    const std::vector<int> wanted = {4, 2, 0, 1, 3};
    ops_->begin({batch, wanted, 1});
    ops_->gather(y.get(), width, normed.get());
    expect_own(normed, "rms_norm, gather");
    ops_->rms_norm(x.get(), scale.get(), 1e-5f, rows, width, normed.get());
    ops_->upload(random_floats(size, 8).data(), size, normed.get());
    expect_own(normed, "rms_norm, upload");
  }
}

TEST_P(ProductsTest, EmbeddingRowsAreWhatTheirTypeDefines) {
  for (const TypeInfo& type : kTypes) {
    const int64_t columns = type.values == 1 ? 72 : 512;
    const auto bytes = random_weight(type.dtype, 21, columns, 8);
    const Weight table{bytes.data(), type.dtype, 21, columns};
    std::byte* no_pages[] = {nullptr};
    const std::vector<BatchRow> rows = {{0, 0, no_pages}, {20, 0, no_pages}, {9, 0, no_pages}};
    const auto out = ops_->allocate(3 * static_cast<size_t>(columns));
    const auto packed = ops_->pack(table);
    ops_->begin({rows, {}, 1});
    const auto expect_rows = [&](const PackedWeight* from) {
      ops_->embed(table, from, out.get());
      const auto result = from_device(out, 3 * static_cast<size_t>(columns));
      std::vector<float> expected(static_cast<size_t>(columns));
      for (int r = 0; r < 3; ++r) {
        dequantize(type.dtype, table.row(rows[r].token), columns, expected.data());
        EXPECT_TRUE(std::equal(expected.begin(), expected.end(), result.begin() + r * columns))
            << type.name << (from == nullptr ? ", not packed" : "");
      }
    };
    expect_rows(packed.get());
    if (!ops_->packs_embedding()) expect_rows(nullptr);
  }
}

// As long as four runs of a sum, and in an embedding.
TEST(CpuProducts, F32WeightsThatHaveCodesGiveTheSameBitsWithLessMemory) {
  const int64_t outputs = 37, columns = 1000;
  const int rows = 11;
  const auto x = random_floats(static_cast<size_t>(rows * columns), 4);
  const auto ops = std::move(make_cpu_ops({2, "auto", Activations::kFixed16})).value();
  auto values = random_floats(static_cast<size_t>(outputs * columns), 5);
  for (float& value : values) value = std::round(value * 0x1p12f) * 0x1p-12f;  // up to 15 bits
  const Weight weight{reinterpret_cast<const uint8_t*>(values.data()), DType::kF32, outputs,
                      columns};
  const auto product = [&] {
    const auto packed = ops->pack(weight);
    EXPECT_EQ(packed->size_bytes(), ops->packed_bytes(weight));
    std::vector<float> out(static_cast<size_t>(rows * outputs));
    const Product products[] = {{packed.get(), nullptr, out.data()}};
    ops->matmul(x.data(), rows, products);
    std::byte* no_pages[] = {nullptr};
    const std::vector<BatchRow> batch = {{35, 0, no_pages}};
    std::vector<float> row(static_cast<size_t>(columns));
    ops->begin({batch, {}, 1});
    ops->embed(weight, packed.get(), row.data());
    EXPECT_TRUE(std::equal(row.begin(), row.end(), values.begin() + 35 * columns));
    return std::pair(packed->size_bytes(), out);
  };
  const auto coded = product();
  values.back() += 0x1p-22f;
  const auto plain = product();
  EXPECT_EQ(coded.first * 4, plain.first * 3);
  for (size_t i = 0; i < plain.second.size(); ++i) {
    if (i % outputs == outputs - 1) continue;
    EXPECT_EQ(coded.second[i], plain.second[i]) << i;
  }
}

// What is packed, and its product with x.
std::pair<size_t, std::vector<float>> packed_product(Ops& ops, const Weight& weight,
                                                     const std::vector<float>& x) {
  const auto packed = ops.pack(weight);
  EXPECT_EQ(packed->size_bytes(), ops.packed_bytes(weight));
  const auto rows = static_cast<int64_t>(x.size()) / weight.columns;
  std::vector<float> out(static_cast<size_t>(rows * weight.rows));
  const Product products[] = {{packed.get(), nullptr, out.data()}};
  ops.matmul(x.data(), static_cast<int>(rows), products);
  return {packed->size_bytes(), out};
}

TEST(CpuProducts, F32WeightsThatAreNumbersOfAHalfTypeTakeHalfTheMemoryAndGiveTheSameBits) {
  const int64_t outputs = 37, columns = 320;
  const int rows = 11;
  const auto x = random_floats(static_cast<size_t>(rows * columns), 4);
  const auto ops = std::move(make_cpu_ops({1, "auto", Activations::kF32})).value();
  const auto product = [&](const Weight& weight) { return packed_product(*ops, weight, x); };
  for (const DType half : {DType::kBF16, DType::kF16}) {
    const auto narrow = random_weight(half, outputs, columns, 3);
    std::vector<float> wide(static_cast<size_t>(outputs * columns));
    dequantize(half, narrow.data(), outputs * columns, wide.data());
    const Weight as_f32{reinterpret_cast<const uint8_t*>(wide.data()), DType::kF32, outputs,
                        columns};
    const auto of_f32 = product(as_f32);
    EXPECT_EQ(of_f32, product({narrow.data(), half, outputs, columns}));
    // Only the last value of all is none of its numbers, nor one of the other type's.
    wide.back() = 1.0f + 0x1p-20f;
    const auto other = product(as_f32);
    EXPECT_EQ(other.first, 2 * of_f32.first);
    EXPECT_NE(other.second.back(), of_f32.second.back());
    for (size_t i = 0; i < of_f32.second.size(); ++i) {
      if (i % outputs == outputs - 1) continue;
      EXPECT_EQ(other.second[i], of_f32.second[i]) << i;
    }
  }
}

TEST(CpuProducts, F32WeightsThatAreBf16NumbersAreMultipliedAsBf16OnesAre) {
  const int64_t outputs = 37, columns = 384;
  const auto x = random_floats(static_cast<size_t>(11 * columns), 4);
  const auto narrow = random_weight(DType::kBF16, outputs, columns, 3);
  std::vector<float> wide(static_cast<size_t>(outputs * columns));
  dequantize(DType::kBF16, narrow.data(), outputs * columns, wide.data());
  const Weight bf16{narrow.data(), DType::kBF16, outputs, columns};
  const Weight f32{reinterpret_cast<const uint8_t*>(wide.data()), DType::kF32, outputs, columns};
  for (const Activations activations : {Activations::kFixed16, Activations::kInt8}) {
    const auto ops = std::move(make_cpu_ops({2, "auto", activations})).value();
    const auto of_bf16 = packed_product(*ops, bf16, x);
    EXPECT_EQ(of_bf16, packed_product(*ops, f32, x));
    EXPECT_EQ(of_bf16.first, 48 * size_t{columns} * 2 + 48 * size_t{columns} / 32);
  }
}

// All as large as they can be: sums of more bits than they have would wrap around.
TEST(CpuProducts, Bf16WeightsAndActivationsThatAreAllAlikeAreMultipliedWithoutOverflow) {
  const int64_t columns = 576;
  std::vector<float> w(static_cast<size_t>(columns)), x(static_cast<size_t>(9 * columns));
  for (const float weight : {1.9921875f, 1.0f, -1.4140625f, 0x1.fep100f, 0x1p-126f}) {
    std::fill(w.begin(), w.end(), weight);
    for (const float sign : {1.0f, -1.0f}) {
      std::fill(x.begin(), x.end(), sign * 3.1f);
      const auto ops = std::move(make_cpu_ops({1, "auto", Activations::kFixed16})).value();
      const Weight f32{reinterpret_cast<const uint8_t*>(w.data()), DType::kF32, 1, columns};
      const double expected = double{weight} * x[0] * static_cast<double>(columns);
      for (const float product : packed_product(*ops, f32, x).second) {
        EXPECT_NEAR(product, expected, std::abs(expected) * 0x1p-14);
      }
    }
  }
}

TEST(CpuProducts, AnEmbeddingThatIsPackedAsWholeNumbersIsReadFromThem) {
  const int64_t columns = 96;
  const auto values = random_floats(static_cast<size_t>(21 * columns), 9);
  std::vector<uint16_t> bits(values.size());
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = float_to_bf16(values[i]);
  const Weight table{reinterpret_cast<const uint8_t*>(bits.data()), DType::kBF16, 21, columns};
  const auto ops = std::move(make_cpu_ops({1, "auto", Activations::kFixed16})).value();
  const auto packed = ops->pack(table);
  std::byte* no_pages[] = {nullptr};
  const std::vector<BatchRow> rows = {{20, 0, no_pages}};
  ops->begin({rows, {}, 1});
  std::vector<float> out(static_cast<size_t>(columns));
  ops->embed(table, packed.get(), out.data());
  for (size_t i = 0; i < out.size(); ++i) {
    EXPECT_NEAR(out[i], bf16_to_float(bits[20 * out.size() + i]), 8 * 0x1p-15f);
  }
}

TEST(CpuProducts, Bf16WeightsThatAreNotFiniteAreMultipliedInF32) {
  const int64_t outputs = 20, columns = 64;
  const auto x = random_floats(static_cast<size_t>(3 * columns), 4);
  const auto fixed16 = std::move(make_cpu_ops({1, "auto", Activations::kFixed16})).value();
  const auto f32 = std::move(make_cpu_ops({1, "auto", Activations::kF32})).value();
  auto bytes = random_weight(DType::kBF16, outputs, columns, 3);
  const Weight weight{bytes.data(), DType::kBF16, outputs, columns};
  for (const uint16_t value :
       std::to_array<uint16_t>({0x7F80, 0xFF80, 0x7FC0})) {  // infinities, and not a number
    std::memcpy(bytes.data() + bytes.size() - 2, &value, 2);
    const auto expected = packed_product(*f32, weight, x).second;
    const auto packed = fixed16->pack(weight);
    std::vector<float> out(expected.size());
    const Product products[] = {{packed.get(), nullptr, out.data()}};
    fixed16->matmul(x.data(), 3, products);
    EXPECT_FALSE(std::isfinite(out.back()));
    EXPECT_EQ(std::memcmp(out.data(), expected.data(), out.size() * sizeof(float)), 0);
  }
}

}  // namespace
}  // namespace assay
