// Every instruction set's kernels against each other, bit for bit, and against plain references.
#include "engine/cpu/kernels.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <utility>

#include "engine/cpu/int_rows.h"
#include "engine/half.h"
#include "tests/engine/random_weights.h"

namespace assay {
namespace {

using testing::random_floats;
using testing::random_row;

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

Weight as_weight(const std::vector<uint8_t>& bytes, DType dtype, int64_t rows, int64_t columns) {
  return {bytes.data(), dtype, rows, columns};
}

TEST_P(Kernels, ProductF32IsBitEqualToThePortableOneForAllTypesAndShapes) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const int value_bytes = type_info(dtype).bytes;
    for (const int count : {1, 7, 16, 58, 64, 256}) {
      const auto w = random_row(dtype, count * 32, 1);
      std::vector<float> wide(static_cast<size_t>(count * 32));
      dequantize(dtype, w.data(), count * 32, wide.data());
      const F32Tile both[] = {{w.data(), dtype}, {w.data() + count * 16 * value_bytes, dtype}};
      for (const int rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 29}) {
        const auto x = random_floats(static_cast<size_t>(rows * count), 2);
        for (const size_t tiles : {1, 2}) {
          std::vector<float> ours(static_cast<size_t>(rows * 40), 0.5f), theirs = ours;
          for (const bool add : {false, true}) {
            const std::span<const F32Tile> span(both, tiles);
            kernels().product_f32(span, x.data(), count, rows, count, ours.data(), 40, add, {});
            portable().product_f32(span, x.data(), count, rows, count, theirs.data(), 40, add, {});
            ASSERT_TRUE(same_bits(ours, theirs)) << count << " " << rows;
          }
          double last = 0, size = 0;  // of the last row and column, twice: it was added once
          for (int k = 0; k < count; ++k) {
            const double product =
                double{x[(rows - 1) * count + k]} * wide[(tiles - 1) * count * 16 + k * 16 + 15];
            last += 2 * product;
            size += 2 * std::abs(product);
          }
          EXPECT_NEAR(ours[(rows - 1) * 40 + tiles * 16 - 1], last, 1e-6 * size + 1e-37);
        }
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
      F32Tile wide =
          kernels().unpack_f32({format, tile.data(), columns, 0}, 0, columns, out.data());
      if (wide.dtype != DType::kF32) {  // products widen them
        wide.wide = out.data();
        const std::vector<float> x(static_cast<size_t>(kF32Rows * columns), 1.0f);
        std::vector<float> sums(kF32Rows * 16);
        kernels().product_f32({&wide, 1}, x.data(), columns, kF32Rows, columns, sums.data(), 16,
                              false, {});
        wide.w = wide.wide;
      }
      const auto* unpacked = static_cast<const float*>(wide.w);
      for (int64_t c = 0; c < 16; ++c) {
        std::fill(expected.begin(), expected.end(), 0.0f);
        const bool real = first + c < rows;
        if (real) dequantize(type.dtype, weight.row(first + c), columns, expected.data());
        for (int64_t k = 0; k < columns; ++k) {
          ASSERT_EQ(std::bit_cast<uint32_t>(unpacked[k * 16 + c]) & (real ? ~0u : ~(1u << 31)),
                    std::bit_cast<uint32_t>(expected[k]))
              << type.name << " row " << first + c << " value " << k;
        }
      }
    }
  }
}

// Rounded to whole numbers of a power of two that the others of its block allow.
TEST(PackFormat, Bf16AsWholeNumbersIsOffByNoMoreThanAPartOfItsNeighboursNorm) {
  const int64_t columns = 4096;
  Team team(1);
  std::vector<uint16_t> bits(static_cast<size_t>(columns));
  const auto values = random_floats(bits.size(), 7, 0.02f);
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = float_to_bf16(values[i]);
  const Weight weight{reinterpret_cast<const uint8_t*>(bits.data()), DType::kBF16, 1, columns};
  const PackFormat format = pack_format(weight, true, team);
  ASSERT_TRUE(format.has_exponents());
  std::vector<uint8_t> tile(format.tile_bytes(columns));
  ASSERT_TRUE(pack_tile(weight, format, 0, tile.data()));
  int exact = 0;
  for (int64_t block = 0; block < columns; block += 32) {
    double norms[2] = {};
    for (int64_t k = block; k < block + 32; ++k) {
      const double value = bf16_to_float(bits[static_cast<size_t>(k)]);
      norms[(k - block) / 16] += value * value;
    }
    const double norm = std::sqrt(std::max(norms[0], norms[1]));
    for (int64_t k = block; k < block + 32; ++k) {
      const float value = bf16_to_float(bits[static_cast<size_t>(k)]);
      const float packed = rounded_value(format, tile.data(), columns, k, 0);
      EXPECT_LE(std::abs(packed - value), norm * 0x1p-15 * 1.001);
      exact += packed == value;
    }
  }
  EXPECT_GT(exact, columns * 9 / 10);
  std::printf("%.1f %% of normally distributed weights are exact\n", 100.0 * exact / columns);
  EXPECT_FALSE(pack_format(weight, false, team).has_exponents());
  EXPECT_FALSE(pack_format({weight.data, DType::kBF16, 1, 40}, true, team).has_exponents());
}

// Floats of as many exponents, 60 to 122, as codes have, with zeros of both signs; none has its
// last six bits.
std::vector<uint32_t> random_coded(int64_t count, uint32_t seed) {
  std::mt19937 rng(seed);
  std::vector<uint32_t> bits(static_cast<size_t>(count));
  for (uint32_t& value : bits) {
    value = static_cast<uint32_t>(rng() & 0x807FFFC0) | static_cast<uint32_t>(60 + rng() % 63)
                                                            << 23;
    if (rng() % 50 == 0) value &= F32Code::kSign;
  }
  bits[0] = 60u << 23;
  bits[1] = F32Code::kSign | 122u << 23 | 0x7FFFC0;
  bits[2] = 0;
  bits[3] = F32Code::kSign;
  return bits;
}

TEST_P(Kernels, F32WeightsInCodesTakeThreeBytesAndGiveTheSameBits) {
  const int64_t rows = 19, columns = 72;
  Team team(2);
  auto bits = random_coded(rows * columns, 3);
  const Weight weight{reinterpret_cast<const uint8_t*>(bits.data()), DType::kF32, rows, columns};
  const PackFormat coded = pack_format(weight, true, team), plain(DType::kF32);
  ASSERT_TRUE(coded.coded());
  EXPECT_EQ(coded.tile_bytes(columns), 3 * 16 * size_t{columns});
  const auto x = random_floats(static_cast<size_t>(20 * columns), 4);
  std::vector<std::vector<uint8_t>> tiles, plain_tiles;
  for (const int64_t first : {0, 16}) {
    tiles.emplace_back(coded.tile_bytes(columns));
    pack_tile(weight, coded, first, tiles.back().data());
    plain_tiles.emplace_back(plain.tile_bytes(columns));
    pack_tile(weight, plain, first, plain_tiles.back().data());
  }
  for (int64_t i = 0; i < 16 * columns; ++i) {
    const float value = coded_value(coded.code, tiles[0].data(), i / 16, i % 16);
    ASSERT_EQ(std::bit_cast<uint32_t>(value), bits[static_cast<size_t>(i % 16 * columns + i / 16)]);
  }
  for (const int count : {1, 2}) {
    for (const int x_rows : {1, 3, 8, 20}) {
      std::vector<float> wide[2], sums[2];
      for (const bool codes : {false, true}) {
        F32Tile both[2];
        for (const int t : {0, 1}) {
          const PackFormat& format = codes ? coded : plain;
          const auto& tile = (codes ? tiles : plain_tiles)[static_cast<size_t>(t)];
          both[t] = kernels().unpack_f32({format, tile.data(), columns, 0}, 0, columns, nullptr);
          wide[t].assign(static_cast<size_t>(16 * columns), 1.0f);
          if (both[t].narrow() && x_rows > kF32Rows) both[t].wide = wide[t].data();
        }
        sums[codes].assign(static_cast<size_t>(x_rows * 32), 1.0f);
        kernels().product_f32({both, static_cast<size_t>(count)}, x.data(), columns, x_rows,
                              columns, sums[codes].data(), 32, true, {});
      }
      EXPECT_TRUE(same_bits(sums[0], sums[1])) << count << " tiles, " << x_rows << " rows";
      if (x_rows <= kF32Rows) continue;
      for (int t = 0; t < count; ++t) {
        const auto& expected = plain_tiles[static_cast<size_t>(t)];
        EXPECT_EQ(std::memcmp(wide[t].data(), expected.data(), expected.size()), 0);
      }
    }
  }
}

TEST(PackFormat, F32WithAValueThatHasNoCodeIsPackedAsItIs) {
  const int64_t columns = 72;
  Team team(2);
  auto bits = random_coded(3 * columns, 5);
  const auto format = [&](int64_t of_columns) {
    const auto* data = reinterpret_cast<const uint8_t*>(bits.data());
    return pack_format({data, DType::kF32, 3, of_columns}, true, team);
  };
  EXPECT_TRUE(format(columns).coded());
  EXPECT_FALSE(format(columns - 1).coded());  // not in groups
  const uint32_t kOdd = 100u << 23 | 0x20, kSmall = 59u << 23, kLarge = 123u << 23, kDenormal = 64,
                 kInfinity = 255u << 23, kNan = kInfinity | 1u << 22;
  for (const uint32_t value : {kOdd, kSmall, kLarge, kDenormal, kInfinity, kNan}) {
    auto& last = bits.back();
    const uint32_t was = std::exchange(last, value);
    EXPECT_FALSE(format(columns).coded()) << std::hex << value;
    EXPECT_EQ(format(columns).value_bytes, 4);
    last = was;
  }
}

// All of x as `count` quantized rows in `buffer`.
const IntRows& quantize(const CpuKernels& table, const std::vector<float>& x, int64_t count,
                        bool fixed16, IntRowsBuffer& buffer, bool for_bf16 = false) {
  const int64_t columns = static_cast<int64_t>(x.size()) / count;
  const IntRows& rows = buffer.shape(count, columns, fixed16, for_bf16);
  for (int64_t r = 0; r < count; ++r) table.quantize_row(x.data() + r * columns, r, rows);
  return rows;
}

// What the a of value k of the first row stands for, in either form.
int whole_value(const CpuKernels& table, const IntRows& rows, int64_t k) {
  const int16_t* block = rows.a + k / 32 * 32;
  if (table.isa != std::string("avx512_vnni")) return block[k % 32];
  const auto* bytes = reinterpret_cast<const int8_t*>(block);
  return 256 * bytes[k % 32] + bytes[32 + k % 32];
}

TEST_P(Kernels, ProductIntIsBitEqualToThePortableOneForAllTypesAndShapes) {
  for (const TypeInfo& type : kTypes) {
    const bool bf16 = type.dtype == DType::kBF16;
    if (!is_quantized(type.dtype) && !bf16) continue;
    // A chunk and a part of one, which products can take at once if they are few.
    const int64_t columns = type.values == 32 ? 608 : 768;
    std::vector<uint8_t> bytes;
    for (int64_t r = 0; r < 32; ++r) {
      const auto row = random_row(type.dtype, columns, static_cast<uint32_t>(r));
      bytes.insert(bytes.end(), row.begin(), row.end());
    }
    Team team(1);
    const PackFormat format = pack_format(as_weight(bytes, type.dtype, 32, columns), true, team);
    std::vector<uint8_t> packed[2];
    for (int t = 0; t < 2; ++t) {
      packed[t].resize(format.tile_bytes(columns));
      pack_tile(as_weight(bytes, type.dtype, 32, columns), format, 16 * t, packed[t].data());
    }
    const auto run = [&](const CpuKernels& table, int rows, bool fixed16, int tiles,
                         int64_t chunk) {
      auto x = random_floats(static_cast<size_t>(rows * columns), 3);
      for (size_t i = 5; i < x.size(); i += 40) x[i] *= 40;  // outliers
      IntRowsBuffer buffer;
      const IntRows& int_rows = quantize(table, x, rows, fixed16 || bf16, buffer, bf16);
      for (int i = 0; fixed16 && i < 2 * rows; ++i) EXPECT_GT(int_rows.outlier_counts[i], 0);
      std::vector<float> out(static_cast<size_t>(rows * 40), 0.25f);
      std::vector<IntScratch> scratch(2);
      for (int64_t k = 0; k < columns; k += chunk) {
        const int64_t count = std::min(chunk, columns - k);
        IntTile unpacked[2];
        for (int t = 0; t < tiles; ++t) {
          unpacked[t] =
              table.unpack_int({format, packed[t].data(), columns, 0}, k, count, scratch[t]);
        }
        table.product_int({unpacked, static_cast<size_t>(tiles)}, int_rows, rows, k, count,
                          out.data(), 40, k > 0, {});
      }
      return out;
    };
    for (const int rows : {1, 2, 3, 4, 5, 6, 7, 8, 11, 19}) {
      for (const bool fixed16 : {false, true}) {
        for (const int tiles : {1, 2}) {
          const auto expected = run(portable(), rows, fixed16, tiles, kIntChunk);
          const int64_t chunk = columns <= kMostIntValues ? columns : kIntChunk;
          ASSERT_TRUE(same_bits(run(kernels(), rows, fixed16, tiles, chunk), expected))
              << type.name << " " << rows << " rows, fixed16 " << fixed16 << ", " << tiles
              << " tiles";
        }
      }
    }
  }
}

TEST_P(Kernels, ProductIntIsTheProductOfTheQuantizedValues) {
  const int64_t columns = 64;
  std::vector<uint8_t> bytes;
  for (int64_t r = 0; r < 16; ++r) {
    const auto row = random_row(DType::kQ5_1, columns, static_cast<uint32_t>(r));
    bytes.insert(bytes.end(), row.begin(), row.end());
  }
  const Weight weight = as_weight(bytes, DType::kQ5_1, 16, columns);
  const PackFormat format(DType::kQ5_1);
  std::vector<uint8_t> packed(format.tile_bytes(columns));
  pack_tile(weight, format, 0, packed.data());
  std::vector<float> x = random_floats(static_cast<size_t>(columns), 3);
  x[40] = 70;
  IntRowsBuffer buffer;
  const IntRows& int_rows = quantize(kernels(), x, 1, true, buffer);
  std::vector<IntScratch> scratch(1);
  const IntTile tile =
      kernels().unpack_int({format, packed.data(), columns, 0}, 0, columns, scratch[0]);
  std::vector<float> out(16), row(static_cast<size_t>(columns));
  kernels().product_int({&tile, 1}, int_rows, 1, 0, columns, out.data(), 16, false, {});
  for (int64_t c = 0; c < 16; ++c) {
    dequantize(DType::kQ5_1, weight.row(c), columns, row.data());
    double expected = 0, size = 0;
    for (int64_t k = 0; k < columns; ++k) {
      expected += double{row[k]} * x[k];
      size += std::abs(double{row[k]} * x[k]);
    }
    EXPECT_NEAR(out[c], expected, 1e-4 * size);
  }
}

TEST_P(Kernels, RowsForBf16WeightsKeepTheNormOfSixteenValuesInBounds) {
  auto x = random_floats(40 * 32, 4);
  std::fill(x.begin(), x.begin() + 32, 0.7f);         // the largest norm for its largest value
  std::fill(x.begin() + 32, x.begin() + 48, -1e-3f);  // a half
  x[70] = 1000;                                       // an outlier
  std::fill(x.begin() + 96, x.begin() + 128, 0.0f);
  IntRowsBuffer buffer, portable_buffer;
  const IntRows& rows = quantize(kernels(), x, 1, true, buffer, true);
  const IntRows& expected = quantize(portable(), x, 1, true, portable_buffer, true);
  EXPECT_EQ(std::memcmp(rows.a, expected.a, x.size() * sizeof(int16_t)), 0);
  EXPECT_EQ(std::memcmp(rows.scales, expected.scales, 40 * sizeof(float)), 0);
  std::vector<size_t> outliers;
  for (int64_t chunk = 0; chunk < rows.chunks(); ++chunk) {
    for (int i = 0; i < rows.outlier_counts[chunk]; ++i) {
      outliers.push_back(static_cast<size_t>(rows.outliers[chunk * kIntChunk / 32 + i].k));
    }
  }
  EXPECT_EQ(outliers.at(0), 70);
  double largest = 0;
  for (size_t start = 0; start < x.size(); start += 16) {
    double squares = 0;
    for (size_t i = start; i < start + 16; ++i) {
      squares += double(rows.a[i]) * rows.a[i];
      const float value = static_cast<float>(rows.a[i]) * rows.scales[i / 32];
      if (std::find(outliers.begin(), outliers.end(), i) != outliers.end()) {
        EXPECT_EQ(value, 0);
      } else {
        EXPECT_NEAR(value, x[i], 0.51f * rows.scales[i / 32]);
      }
    }
    largest = std::max(largest, std::sqrt(squares));
  }
  EXPECT_LE(largest, kActivationNorm);
  EXPECT_GT(largest, kActivationNorm - 10);
}

TEST_P(Kernels, AnOutlierStaysExactAndDoesNotCoarsenTheOthers) {
  auto x = random_floats(64, 4);
  x[50] = -1000;
  IntRowsBuffer buffer;
  const IntRows& rows = quantize(kernels(), x, 1, true, buffer);
  ASSERT_EQ(rows.outlier_counts[0], 1);
  EXPECT_EQ(rows.outliers[0].k, 50);
  EXPECT_EQ(rows.outliers[0].value, -1000);
  EXPECT_EQ(whole_value(kernels(), rows, 50), 0);
  EXPECT_LT(rows.scales[1], 4.0f / 32767);
  EXPECT_NEAR(rows.sums[3] + 1000, std::accumulate(x.begin() + 48, x.end(), 1000.0), 1e-3);
  EXPECT_NEAR(rows.sums[5], std::accumulate(x.begin() + 32, x.end(), 0.0), 1e-3);
}

// A page with random contents.
struct RandomPage {
  RandomPage(int dim, KvType type, uint32_t seed) {
    const KvLayout layout{type, 1, dim};
    std::mt19937 rng(seed);
    bytes.resize(layout.key_scales(2));
    auto* floats = reinterpret_cast<float*>(bytes.data());
    const auto values = random_floats(bytes.size() / 4, seed);
    std::copy(values.begin(), values.end(), floats);
    if (type == KvType::kBF16) {
      for (size_t i = 0; i < layout.key_scales(0) / 2; ++i) {
        const uint16_t bits = float_to_bf16(values[i % values.size()]);
        std::memcpy(bytes.data() + 2 * i, &bits, 2);
      }
    } else if (type == KvType::kFixed16) {
      for (size_t i = 0; i < layout.key_scales(0); ++i) bytes[i] = std::byte(rng());
    }
    const auto scales = [&](size_t at) {
      return type == KvType::kFixed16 ? floats + at / 4 : nullptr;
    };
    page = {type,
            bytes.data() + layout.keys(0),
            bytes.data() + layout.values(0),
            scales(layout.key_scales(0)),
            scales(layout.value_scales(0)),
            0};
  }
  double key(int d, int t) const { return value_of(page.keys, d * 16 + t, page.key_scales, d, t); }
  double value(int d, int t, int padded) const {
    return value_of(page.values, t * padded + d, page.value_scales, d, t);
  }
  double value_of(const std::byte* at, int index, const float* scales, int d, int t) const {
    if (page.type == KvType::kF32) return reinterpret_cast<const float*>(at)[index];
    if (page.type == KvType::kBF16) {
      uint16_t bits;
      std::memcpy(&bits, at + 2 * index, 2);
      return bf16_to_float(bits);
    }
    return double{scales[d / 32 * 16 + t]} * reinterpret_cast<const int16_t*>(at)[index];
  }

  std::vector<std::byte> bytes;
  KvPage page{};
};

TEST_P(Kernels, PagesAreScoredAndMixedAsThePortableKernelsAndTheDefinitionDo) {
  constexpr int kPages = 7, kStride = kPages * 16 + 4;
  for (const int dim : {6, 16, 32, 58, 64, 80, 128}) {
    const int padded = KvLayout{KvType::kF32, 1, dim}.padded_dim();
    for (const KvType type : {KvType::kF32, KvType::kFixed16, KvType::kBF16}) {
      std::vector<RandomPage> random;
      std::vector<KvPage> all;
      for (int n = 0; n < kPages; ++n) {
        random.emplace_back(dim, type, 8 + n);
        all.push_back(random.back().page);
        all.back().left = kPages - 1 - n;
      }
      for (const int vectors : {1, 2, 3, 4, 5, 8, 9, 20}) {
        const auto q = random_floats(static_cast<size_t>(vectors * dim), 6);
        const auto p = random_floats(static_cast<size_t>(vectors * kStride), 7);
        const auto run = [&](const CpuKernels& table, size_t count, int tokens, bool add) {
          const std::span<const KvPage> pages(all.data(), count);
          std::vector<float> scores(p.size()), mixed(static_cast<size_t>(vectors * padded), 0.5f);
          table.score_pages(pages, q.data(), vectors, dim, scores.data(), kStride);
          table.mix_pages(pages, p.data(), kStride, vectors, padded, tokens, mixed.data(), add);
          for (int i = 0; i < vectors; ++i) {  // what is in the padding means nothing
            const auto row = mixed.begin() + i * padded;
            scores.insert(scores.end(), row, row + dim);
          }
          return scores;
        };
        for (const size_t count : {1, 2, 5, 7}) {
          for (const int tokens : {1, 11, 16}) {
            const bool add = tokens == 11;
            ASSERT_TRUE(
                same_bits(run(kernels(), count, tokens, add), run(portable(), count, tokens, add)))
                << dim << " " << static_cast<int>(type) << " " << vectors << " " << count;
          }
        }
        const auto ours = run(kernels(), kPages, 11, true);
        double score = 0, size = 0, mixed = 0.5, mixed_size = 1;
        const int i = vectors - 1, d = dim - 1, at = (kPages - 1) * 16 + 3;
        for (int e = 0; e < dim; ++e) {
          score += q[i * dim + e] * random[kPages - 1].key(e, 3);
          size += std::abs(q[i * dim + e] * random[kPages - 1].key(e, 3));
        }
        for (int t = 0; t < (kPages - 1) * 16 + 11; ++t) {
          const double value = random[t / 16].value(d, t % 16, padded);
          mixed += p[i * kStride + t] * value;
          mixed_size += std::abs(p[i * kStride + t] * value);
        }
        EXPECT_NEAR(ours[i * kStride + at], score, 1e-6 * size);
        EXPECT_NEAR(ours[vectors * kStride + i * dim + d], mixed, 1e-6 * mixed_size);
      }
    }
  }
}

TEST_P(Kernels, Fixed16IsWithinHalfAStepAndNotFiniteStaysNotFinite) {
  auto x = random_floats(32, 9);
  for (const int count : {1, 26, 32}) {
    std::vector<int16_t> whole(32, 77), expected = whole;
    const float scale = kernels().to_fixed16(x.data(), count, whole.data());
    EXPECT_EQ(scale, portable().to_fixed16(x.data(), count, expected.data()));
    EXPECT_EQ(whole, expected);
    for (int i = 0; i < count; ++i) {
      EXPECT_NEAR(x[i], scale * static_cast<float>(whole[i]), 0.501f * scale);
    }
  }
  std::vector<int16_t> whole(32);
  x[20] = INFINITY;
  EXPECT_TRUE(std::isnan(kernels().to_fixed16(x.data(), 32, whole.data())));
  EXPECT_TRUE(std::isfinite(kernels().to_fixed16(x.data(), 20, whole.data())));
  std::fill(x.begin(), x.end(), 0.0f);
  EXPECT_EQ(kernels().to_fixed16(x.data(), 32, whole.data()), 0.0f);
}

TEST_P(Kernels, QuantizedActivationsAreWithinHalfAStepAndNotFiniteStaysNotFinite) {
  const int columns = 96;
  auto x = random_floats(columns, 9, 5);
  std::fill_n(x.begin() + 32, 32, 0.0f);
  IntRowsBuffer buffer;
  for (const bool fixed16 : {false, true}) {
    const IntRows& rows = quantize(kernels(), x, 1, fixed16, buffer);
    EXPECT_EQ(rows.limit, fixed16 ? 32639 : 127);
    for (int i = 0; i < columns; ++i) {
      const float scale = rows.scales[i / 32];
      EXPECT_NEAR(x[i], scale * static_cast<float>(whole_value(kernels(), rows, i)),
                  0.501f * scale);
    }
    EXPECT_EQ(rows.scales[1], 0.0f);
    for (int g = 0; g < 6; ++g) {
      int total = 0;
      for (int i = 0; i < 16; ++i) total += whole_value(kernels(), rows, 16 * g + i);
      EXPECT_EQ(rows.sums[g], rows.scales[g / 2] * static_cast<float>(total));
    }
  }
  x[70] = INFINITY;
  const IntRows& rows = quantize(kernels(), x, 1, true, buffer);
  EXPECT_TRUE(std::isfinite(rows.scales[0]));
  EXPECT_TRUE(std::isnan(rows.scales[2]));
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
