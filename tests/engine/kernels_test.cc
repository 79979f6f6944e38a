// Every instruction set's kernels against each other, bit for bit, and against plain references.
#include "engine/cpu/kernels.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
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

TEST_P(Kernels, DotTileIsBitEqualToThePortableOneForAllShapes) {
  for (const int width : {1, 7, 16, 31, 36, 58, 64, 128, 576}) {
    for (const int w_rows : {1, 2, 3, 5, 6, 13, 24}) {
      for (const int x_rows : {1, 2, 3, 4, 9}) {
        const auto w = random_floats(static_cast<size_t>(w_rows * width), 1);
        const auto x = random_floats(static_cast<size_t>(x_rows * width), 2);
        std::vector<float> ours(static_cast<size_t>(x_rows * 30), -1), theirs = ours;
        kernels().dot_tile(w.data(), w_rows, width, x.data(), x_rows, width, width, ours.data(),
                           30);
        portable().dot_tile(w.data(), w_rows, width, x.data(), x_rows, width, width, theirs.data(),
                            30);
        ASSERT_TRUE(same_bits(ours, theirs)) << width << " " << w_rows << " " << x_rows;
      }
    }
  }
}

TEST_P(Kernels, DotTileIsTheExactProductWithinItsRounding) {
  const int width = 1536;
  const auto w = random_floats(width * 6, 3), x = random_floats(width * 4, 4);
  float out[24];
  kernels().dot_tile(w.data(), 6, width, x.data(), 4, width, width, out, 6);
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 6; ++j) {
      double exact = 0, magnitude = 0;
      for (int k = 0; k < width; ++k) {
        const double term = double{x[i * width + k]} * w[j * width + k];
        exact += term;
        magnitude += std::abs(term);
      }
      // 96 fused steps a lane and 4 additions of the tree, each within half an ulp.
      EXPECT_NEAR(out[i * 6 + j], exact, 100 * 0x1p-24 * magnitude);
    }
  }
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

TEST_P(Kernels, WeightedValuesAreBitEqualToThePortableOnes) {
  for (const int head_dim : {6, 16, 32, 64, 80, 128}) {
    const int length = 41;
    std::vector<std::vector<float>> storage;
    std::vector<float*> pages;
    for (int page = 0; page < 3; ++page) {
      storage.push_back(random_floats(static_cast<size_t>(8 + kPageTokens * head_dim),
                                      static_cast<uint32_t>(10 + page)));
      pages.push_back(storage.back().data());
    }
    const auto p = random_floats(static_cast<size_t>(length), 20);
    std::vector<float> a(static_cast<size_t>(head_dim)), b = a;
    kernels().weighted_values(p.data(), length, pages.data(), 8, head_dim, a.data());
    portable().weighted_values(p.data(), length, pages.data(), 8, head_dim, b.data());
    EXPECT_TRUE(same_bits(a, b)) << head_dim;
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

// fp16 by its definition (IEEE 754 binary16), independent of the kernels.
double half_value(uint16_t bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

TEST_P(Kernels, DequantizedBlocksAreThoseOfTheirDefinition) {
  std::mt19937 rng(7);
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_1}) {
    const BlockLayout block = block_layout(dtype);
    const int count = 320;
    std::vector<uint8_t> row(static_cast<size_t>(count / block.values * block.bytes));
    for (uint8_t& byte : row) byte = static_cast<uint8_t>(rng());
    const auto u16 = [&](size_t at) { return static_cast<uint16_t>(row[at] | row[at + 1] << 8); };
    // Keep every fp16 finite; NaNs have no single value.
    for (size_t at = 0; at < row.size(); at += static_cast<size_t>(block.bytes)) {
      for (const size_t half : {at, at + 2}) {
        const bool is_half = dtype == DType::kF16 || (dtype == DType::kQ4_1) || half == at;
        if (is_half && half + 1 < row.size()) row[half + 1] &= 0xBB;
      }
    }
    std::vector<float> out(static_cast<size_t>(count));
    kernels().dequantize(dtype, row.data(), count, out.data());
    for (size_t i = 0; i < out.size(); ++i) {
      const size_t at = i / static_cast<size_t>(block.values) * static_cast<size_t>(block.bytes);
      const size_t in_block = i % static_cast<size_t>(block.values);
      float expected = 0;
      if (dtype == DType::kF16) expected = static_cast<float>(half_value(u16(at)));
      if (dtype == DType::kBF16) expected = std::bit_cast<float>(uint32_t{u16(at)} << 16);
      const auto d = static_cast<float>(half_value(u16(at)));
      if (dtype == DType::kQ8_0) {
        expected = static_cast<float>(static_cast<int8_t>(row[at + 2 + in_block])) * d;
      }
      if (dtype == DType::kQ4_1) {
        const auto m = static_cast<float>(half_value(u16(at + 2)));
        const uint8_t byte = row[at + 4 + in_block % 16];
        expected = static_cast<float>(in_block < 16 ? byte & 15 : byte >> 4) * d + m;
      }
      ASSERT_EQ(std::bit_cast<uint32_t>(out[i]), std::bit_cast<uint32_t>(expected))
          << to_string(dtype) << " " << i;
    }
  }
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
