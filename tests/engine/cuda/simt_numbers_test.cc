// The emulator's arithmetic: mma of the types that kernels do not use yet, and conversions.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "engine/cuda/device.h"

namespace assay::emulated {
namespace {

template <typename T>
struct Memory {
  explicit Memory(size_t count) : data(static_cast<T*>(simt::allocate(count * sizeof(T)))) {}
  ~Memory() { simt::release(data); }
  Memory(const Memory&) = delete;
  operator T*() const { return data; }
  T* data;
};

// Fragments by the tables of the PTX ISA, read here element by element.
__global__ void multiply_f16(Global<const uint16_t> a, Global<const uint16_t> b, Global<float> d) {
  const int lane = static_cast<int>(threadIdx.x), group = lane / 4, pair = lane % 4 * 2;
  uint32_t fa[4], fb[2];
  for (int r = 0; r < 4; ++r) {
    const int row = group + r % 2 * 8, column = pair + r / 2 * 8;
    fa[r] = a[row * 16 + column] | uint32_t{a[row * 16 + column + 1]} << 16;
  }
  for (int r = 0; r < 2; ++r) {
    const int k = pair + r * 8;
    fb[r] = b[k * 8 + group] | uint32_t{b[(k + 1) * 8 + group]} << 16;
  }
  float sums[4] = {1, 1, 1, 1};
  mma_f16(sums, fa, fb);
  for (int i = 0; i < 4; ++i) d[(group + i / 2 * 8) * 8 + pair + i % 2] = sums[i];
}

TEST(SimtNumbers, MmaOfFp16MultipliesAndAdds) {
  const Memory<uint16_t> a(256), b(128);
  const Memory<float> d(128);
  for (int i = 0; i < 256; ++i) a[i] = float_to_half_bits(static_cast<float>(i % 17 - 8) * 0.25f);
  for (int i = 0; i < 128; ++i) b[i] = float_to_half_bits(static_cast<float>(i % 11 - 5));
  ASSAY_LAUNCH(multiply_f16, dim3{1}, dim3{32}, 0, nullptr, a, b, d);
  EXPECT_FALSE(simt::take_fault());
  for (int m = 0; m < 16; ++m) {
    for (int n = 0; n < 8; ++n) {
      float sum = 1;
      for (int k = 0; k < 16; ++k) {
        sum += half_bits_to_float(a[m * 16 + k]) * half_bits_to_float(b[k * 8 + n]);
      }
      EXPECT_EQ(d[m * 8 + n], sum);
    }
  }
}

__global__ void multiply_s8(Global<const uint32_t> a, Global<const uint32_t> b, Global<int> d,
                            int start) {
  // Both lie so that four values of k are a word: a [16][32], b [8][32].
  const int lane = static_cast<int>(threadIdx.x), group = lane / 4, word = lane % 4;
  const uint32_t fa[4] = {a[group * 8 + word], a[(group + 8) * 8 + word], a[group * 8 + word + 4],
                          a[(group + 8) * 8 + word + 4]};
  const uint32_t fb[2] = {b[group * 8 + word], b[group * 8 + word + 4]};
  int32_t sums[4] = {start, start, start, start};
  mma_s8(sums, fa, fb);
  for (int i = 0; i < 4; ++i) d[(group + i / 2 * 8) * 8 + word * 2 + i % 2] = sums[i];
}

TEST(SimtNumbers, MmaOfBytesIsExact) {
  const Memory<uint32_t> a(128), b(64);
  const Memory<int> d(128);
  auto* a_bytes = reinterpret_cast<int8_t*>(a.data);
  auto* b_bytes = reinterpret_cast<int8_t*>(b.data);
  for (int i = 0; i < 512; ++i) a_bytes[i] = static_cast<int8_t>(i * 37 % 256 - 128);
  for (int i = 0; i < 256; ++i) b_bytes[i] = static_cast<int8_t>(i * 91 % 256 - 128);
  ASSAY_LAUNCH(multiply_s8, dim3{1}, dim3{32}, 0, nullptr, a, b, d, 1000);
  EXPECT_FALSE(simt::take_fault());
  for (int m = 0; m < 16; ++m) {
    for (int n = 0; n < 8; ++n) {
      int sum = 1000;
      for (int k = 0; k < 32; ++k) sum += a_bytes[m * 32 + k] * b_bytes[n * 32 + k];
      EXPECT_EQ(d[m * 8 + n], sum);
    }
  }
}

// Of all codes of a type in order of their values: each value's own code, and, half way between two
// neighbours, the one whose last bit is 0.
template <typename Code, typename Widen, typename Narrow>
void check_rounding(int codes, const Widen& widen, const Narrow& narrow) {
  for (int code = 0; code < codes; ++code) {
    const float value = widen(static_cast<Code>(code));
    const Code sign = static_cast<Code>(sizeof(Code) == 1 ? 0x80 : 0x8000);
    ASSERT_EQ(narrow(value), static_cast<Code>(code));
    ASSERT_EQ(narrow(-value), static_cast<Code>(code | sign));
    if (code + 1 == codes) break;
    const float next = widen(static_cast<Code>(code + 1)), middle = (value + next) / 2;  // exact
    const auto even = static_cast<Code>(code % 2 == 0 ? code : code + 1);
    ASSERT_EQ(narrow(middle), even) << code;
    ASSERT_EQ(narrow(std::nextafter(middle, 0.0f)), static_cast<Code>(code));
    ASSERT_EQ(narrow(std::nextafter(middle, 1e9f)), static_cast<Code>(code + 1));
  }
}

TEST(SimtNumbers, Fp16RoundsToTheNearestAndHalfToEven) {
  check_rounding<uint16_t>(0x7C00, half_bits_to_float, float_to_half_bits);
  EXPECT_EQ(float_to_half_bits(65519.0f), 0x7BFF);
  EXPECT_EQ(float_to_half_bits(65520.0f), 0x7C00);  // half way to 65,536: infinite
  EXPECT_EQ(float_to_half_bits(-INFINITY), 0xFC00);
  EXPECT_EQ(float_to_half_bits(1e-30f), 0);
  EXPECT_EQ(float_to_half_bits(NAN), 0x7FFF);
}

TEST(SimtNumbers, Fp8RoundsToTheNearestAndEndsAt448) {
  EXPECT_EQ(e4m3_to_float(0x7E), 448.0f);
  EXPECT_EQ(e4m3_to_float(0x08), 0.015625f);     // the least normal one, 2^-6
  EXPECT_EQ(e4m3_to_float(0x01), 0.001953125f);  // the least of all, 2^-9
  EXPECT_EQ(e4m3_to_float(0xB8), -1.0f);
  EXPECT_TRUE(std::isnan(e4m3_to_float(0x7F)));
  check_rounding<uint8_t>(0x7F, e4m3_to_float, float_to_e4m3);
  for (const float large : {449.0f, 480.0f, 1e30f, INFINITY}) {
    EXPECT_EQ(float_to_e4m3(large), 0x7E);
    EXPECT_EQ(float_to_e4m3(-large), 0xFE);
  }
  EXPECT_EQ(float_to_e4m3(NAN) & 0x7F, 0x7F);
}

}  // namespace
}  // namespace assay::emulated
