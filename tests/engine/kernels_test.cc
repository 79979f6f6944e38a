// Every instruction set's kernels against each other, bit for bit, and against plain references.
#include "engine/cpu/kernels.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

namespace assay {
namespace {

std::vector<float> random_floats(size_t count, uint32_t seed, float scale = 1) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> out(count);
  for (float& value : out) value = normal(rng);
  return out;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

const CpuKernels& portable() { return *cpu_kernels("portable"); }

class Kernels : public ::testing::TestWithParam<const CpuKernels*> {
 protected:
  const CpuKernels& kernels() const { return *GetParam(); }
};

INSTANTIATE_TEST_SUITE_P(Isa, Kernels, ::testing::ValuesIn(available_cpu_kernels()),
                         [](const auto& tested) { return std::string(tested.param->isa); });

// A row of blocks of the type with random bits, but finite fp16 scales.
std::vector<uint8_t> random_row(DType dtype, int64_t count, uint32_t seed) {
  const TypeInfo& type = type_info(dtype);
  std::mt19937 rng(seed);
  std::vector<uint8_t> row(static_cast<size_t>(count / type.values * type.bytes));
  for (uint8_t& byte : row) byte = static_cast<uint8_t>(rng());
  if (dtype == DType::kF32) {
    const auto values = random_floats(static_cast<size_t>(count), seed);
    std::memcpy(row.data(), values.data(), row.size());
    return row;
  }
  // Where fp16 (and BF16) values stand in a block; clearing one exponent bit keeps them finite.
  std::vector<int> halves = {0, 2};
  if (dtype == DType::kQ2_K) halves = {80, 82};
  if (dtype == DType::kQ3_K) halves = {108, 108};
  if (dtype == DType::kQ6_K) halves = {208, 208};
  for (size_t at = 0; at < row.size(); at += static_cast<size_t>(type.bytes)) {
    for (const int half : halves) {
      if (half + 1 < type.bytes) row[at + half + 1] &= 0xBB;
    }
  }
  return row;
}

Weight as_weight(const std::vector<uint8_t>& bytes, DType dtype, int64_t rows, int64_t columns) {
  return {bytes.data(), dtype, rows, columns};
}

TEST_P(Kernels, ProductF32IsBitEqualToThePortableOneForAllShapes) {
  for (const int count : {1, 7, 16, 58, 64, 256}) {
    for (const int rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 17}) {
      const auto w = random_floats(static_cast<size_t>(count * 16), 1);
      const auto x = random_floats(static_cast<size_t>(rows * count), 2);
      std::vector<float> ours(static_cast<size_t>(rows * 20), 0.5f), theirs = ours;
      for (const bool add : {false, true}) {
        kernels().product_f32(w.data(), 16, x.data(), count, rows, count, ours.data(), 20, add);
        portable().product_f32(w.data(), 16, x.data(), count, rows, count, theirs.data(), 20, add);
        ASSERT_TRUE(same_bits(ours, theirs)) << count << " " << rows;
      }
    }
  }
}

TEST_P(Kernels, PackedTilesUnpackToWhatTheirTypeDefines) {
  for (const TypeInfo& type : kTypes) {
    const int64_t columns = type.values == 1 ? 33 : 512, rows = 19;  // a tile and a part of one
    std::vector<uint8_t> bytes;
    for (int64_t r = 0; r < rows; ++r) {
      const auto row = random_row(type.dtype, columns, static_cast<uint32_t>(r));
      bytes.insert(bytes.end(), row.begin(), row.end());
    }
    const Weight weight = as_weight(bytes, type.dtype, rows, columns);
    const PackFormat format(type.dtype);
    std::vector<float> expected(static_cast<size_t>(columns)), out(expected.size() * 16);
    for (const int64_t first : {0, 16}) {
      std::vector<uint8_t> tile(format.tile_bytes(columns));
      pack_tile(weight, format, first, tile.data());
      kernels().unpack_f32(format, tile.data(), 0, columns, out.data());
      for (int64_t c = 0; c < 16; ++c) {
        std::fill(expected.begin(), expected.end(), 0.0f);
        const bool real = first + c < rows;
        if (real) dequantize(type.dtype, weight.row(first + c), columns, expected.data());
        for (int64_t k = 0; k < columns; ++k) {
          ASSERT_EQ(std::bit_cast<uint32_t>(out[k * 16 + c]) & (real ? ~0u : ~(1u << 31)),
                    std::bit_cast<uint32_t>(expected[k]))
              << type.name << " row " << first + c << " value " << k;
        }
      }
    }
  }
}

TEST_P(Kernels, ProductIntIsBitEqualToThePortableOneForAllTypesAndShapes) {
  for (const TypeInfo& type : kTypes) {
    if (!is_quantized(type.dtype)) continue;
    const int64_t columns = 512;
    std::vector<uint8_t> bytes;
    for (int64_t r = 0; r < 16; ++r) {
      const auto row = random_row(type.dtype, columns, static_cast<uint32_t>(r));
      bytes.insert(bytes.end(), row.begin(), row.end());
    }
    const PackFormat format(type.dtype);
    std::vector<uint8_t> tile(format.tile_bytes(columns));
    pack_tile(as_weight(bytes, type.dtype, 16, columns), format, 0, tile.data());
    const auto run = [&](const CpuKernels& table, int rows, int limit) {
      auto x = random_floats(static_cast<size_t>(rows * columns), 3);
      for (size_t i = 5; i < x.size(); i += 77) x[i] *= 40;  // outliers
      std::vector<Outlier> outliers(x.size() / 32);
      std::vector<int32_t> counts(static_cast<size_t>(rows));
      std::vector<int16_t> a(x.size()), q(static_cast<size_t>(columns * 16));
      std::vector<float> scales(x.size() / 32), mins(q.size() / 16), w_scales(q.size() / 16);
      std::vector<float> sums(static_cast<size_t>(rows * IntRows::sums_of(columns)));
      for (int r = 0; r < rows; ++r) {
        table.quantize_row(x.data() + r * columns, columns, limit, a.data() + r * columns,
                           scales.data() + r * columns / 32,
                           sums.data() + r * IntRows::sums_of(columns),
                           outliers.data() + r * columns / 32, &counts[r]);
        EXPECT_GT(counts[r], 2);
      }
      table.unpack_int(format, tile.data(), 0, columns, q.data(), w_scales.data(), mins.data());
      const IntTile unpacked = {q.data(), w_scales.data(),
                                format.quant.has_min ? mins.data() : nullptr, format.quant.group};
      const IntRows int_rows = {columns,     a.data(),        scales.data(),
                                sums.data(), outliers.data(), counts.data()};
      std::vector<float> out(static_cast<size_t>(rows * 16));
      table.product_int(unpacked, int_rows, rows, 0, columns, out.data(), 16, false);
      return out;
    };
    for (const int rows : {1, 2, 3, 4, 5, 7, 8, 11, 19}) {
      for (const int limit : {127, 32767}) {
        ASSERT_TRUE(same_bits(run(kernels(), rows, limit), run(portable(), rows, limit)))
            << type.name << " " << rows << " rows, limit " << limit;
      }
    }
  }
}

TEST_P(Kernels, AnOutlierStaysExactAndDoesNotCoarsenTheOthers) {
  auto x = random_floats(64, 4);
  x[50] = -1000;
  std::vector<int16_t> a(64);
  std::vector<float> scales(2), sums(6);
  std::vector<Outlier> outliers(2);
  int32_t count = -1;
  kernels().quantize_row(x.data(), 64, 32767, a.data(), scales.data(), sums.data(), outliers.data(),
                         &count);
  ASSERT_EQ(count, 1);
  EXPECT_EQ(outliers[0].k, 50);
  EXPECT_EQ(outliers[0].value, -1000);
  EXPECT_EQ(a[50], 0);
  EXPECT_LT(scales[1], 4.0f / 32767);
  EXPECT_NEAR(sums[3] + 1000, std::accumulate(x.begin() + 48, x.end(), 1000.0), 1e-3);
  EXPECT_NEAR(sums[5], std::accumulate(x.begin() + 32, x.end(), 0.0), 1e-3);
}

TEST_P(Kernels, WidenedKeysAndValuesAreBitEqualToThePortableOnes) {
  std::mt19937 rng(8);
  for (const int dim : {6, 16, 32, 58, 64, 80, 128}) {
    std::vector<int16_t> whole(static_cast<size_t>(dim * kPageTokens));
    for (int16_t& value : whole) value = static_cast<int16_t>(rng());
    const auto scales = random_floats(whole.size(), 5);
    std::vector<float> a(whole.size()), b = a;
    kernels().widen_keys(whole.data(), scales.data(), dim, a.data());
    portable().widen_keys(whole.data(), scales.data(), dim, b.data());
    EXPECT_TRUE(same_bits(a, b)) << "keys " << dim;
    EXPECT_EQ(a[17 % a.size()], static_cast<float>(whole[17 % a.size()]) * scales[1]);
    kernels().widen_value(whole.data(), scales.data(), dim, a.data());
    portable().widen_value(whole.data(), scales.data(), dim, b.data());
    EXPECT_TRUE(same_bits(a, b)) << "value " << dim;
    EXPECT_EQ(a[dim - 1], static_cast<float>(whole[dim - 1]) * scales[(dim - 1) / 32]);
  }
}

TEST_P(Kernels, QuantizedActivationsAreWithinHalfAStepAndNotFiniteStaysNotFinite) {
  const int columns = 96;
  auto x = random_floats(columns, 9, 5);
  std::fill_n(x.begin() + 32, 32, 0.0f);
  std::vector<int16_t> a(x.size());
  std::vector<float> scales(3), sums(static_cast<size_t>(IntRows::sums_of(columns)));
  for (const int limit : {127, 32767}) {
    kernels().quantize_row(x.data(), columns, limit, a.data(), scales.data(), sums.data(), nullptr,
                           nullptr);
    for (int i = 0; i < columns; ++i) {
      EXPECT_NEAR(x[i], scales[i / 32] * static_cast<float>(a[i]), 0.501f * scales[i / 32]);
    }
    EXPECT_EQ(scales[1], 0.0f);
    for (int g = 0; g < 6; ++g) {
      int total = 0;
      for (int i = 0; i < 16; ++i) total += a[16 * g + i];
      EXPECT_EQ(sums[g], scales[g / 2] * static_cast<float>(total));
    }
  }
  x[70] = INFINITY;
  kernels().quantize_row(x.data(), columns, 32767, a.data(), scales.data(), sums.data(), nullptr,
                         nullptr);
  EXPECT_TRUE(std::isfinite(scales[0]));
  EXPECT_TRUE(std::isnan(scales[2]));
}

TEST_P(Kernels, ElementwiseKernelsAreBitEqualToThePortableOnes) {
  for (const int width : {1, 5, 16, 36, 100, 576, 1030}) {
    const auto size = static_cast<size_t>(width);
    const auto x = random_floats(size, 5, 3), y = random_floats(size, 6);
    std::vector<float> a(size), b(size);
    kernels().rms_norm(x.data(), y.data(), 1e-5f, width, a.data());
    portable().rms_norm(x.data(), y.data(), 1e-5f, width, b.data());
    EXPECT_TRUE(same_bits(a, b)) << "rms_norm " << width;
    a = b = x;
    kernels().add(a.data(), y.data(), width);
    portable().add(b.data(), y.data(), width);
    EXPECT_TRUE(same_bits(a, b)) << "add " << width;
    a = b = x;
    kernels().swiglu(a.data(), y.data(), width);
    portable().swiglu(b.data(), y.data(), width);
    EXPECT_TRUE(same_bits(a, b)) << "swiglu " << width;
    EXPECT_EQ(kernels().exp_sum(x.data(), width, 2.5f, 1.25f, a.data()),
              portable().exp_sum(x.data(), width, 2.5f, 1.25f, b.data()));
    EXPECT_TRUE(same_bits(a, b)) << "exp_sum " << width;
    EXPECT_EQ(kernels().max(x.data(), width), portable().max(x.data(), width));
  }
}

TEST_P(Kernels, ExpIsWithinTwoUlpAndZeroBelowTheNormalFloats) {
  std::vector<float> x;
  for (float value = -87.0f; value < 0.5f; value += 0.0137f) x.push_back(value);
  std::vector<float> out(x.size());
  kernels().exp_sum(x.data(), static_cast<int64_t>(x.size()), 0, 1, out.data());
  for (size_t i = 0; i < x.size(); ++i) {
    const double exact = std::exp(double{x[i]});
    EXPECT_NEAR(out[i], exact, exact * 2 * 0x1p-23) << x[i];
  }
  const float low[] = {-88.0f, -1000.0f, -INFINITY};
  kernels().exp_sum(low, 3, 0, 1, out.data());
  EXPECT_EQ(out[0], 0);
  EXPECT_EQ(out[1], 0);
  EXPECT_EQ(out[2], 0);
}

TEST(KernelTable, KnowsItsNames) {
  EXPECT_EQ(cpu_kernels("auto"), available_cpu_kernels().front());
  EXPECT_NE(cpu_kernels("portable"), nullptr);
  EXPECT_EQ(cpu_kernels("sse9"), nullptr);
  std::string names;
  for (const CpuKernels* table : available_cpu_kernels()) names += std::string(" ") + table->isa;
  std::printf("instruction sets on this machine:%s\n", names.c_str());
}

}  // namespace
}  // namespace assay
