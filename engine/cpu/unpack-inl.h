// From packed tiles to the form that products multiply; included once for each target.
#if defined(ASSAY_ENGINE_CPU_UNPACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ASSAY_ENGINE_CPU_UNPACK_INL_H_
#undef ASSAY_ENGINE_CPU_UNPACK_INL_H_
#else
#define ASSAY_ENGINE_CPU_UNPACK_INL_H_
#endif

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/cpu/lanes-inl.h"
#include "engine/cpu/packed.h"
#include "engine/half.h"

HWY_BEFORE_NAMESPACE();
namespace assay {
namespace HWY_NAMESPACE {

constexpr int kQuad = 4 * kTileColumns;  // entries of a quad of k

#ifdef ASSAY_VECTOR_LANES

HWY_INLINE Part load_f16(const uint8_t* at) {
  const hn::Rebind<hwy::float16_t, D> half;
  return hn::PromoteTo(D(), hn::LoadU(half, reinterpret_cast<const hwy::float16_t*>(at)));
}

HWY_INLINE Part load_bf16(const uint8_t* at) {
  const hn::Rebind<hwy::bfloat16_t, D> half;
  return hn::PromoteTo(D(), hn::LoadU(half, reinterpret_cast<const hwy::bfloat16_t*>(at)));
}

// Powers of two, from a float's biased exponents.
HWY_INLINE Part load_powers(const uint8_t* at) {
  const hn::Rebind<uint8_t, D> narrow;
  return words_as_floats(words_shift<23>(hn::PromoteTo(DI(), hn::LoadU(narrow, at))));
}

template <typename T>
HWY_INLINE Part load_whole(const T* at) {
  const hn::Rebind<T, D> narrow;
  return hn::ConvertTo(D(), hn::PromoteTo(DI(), hn::LoadU(narrow, at)));
}

// Entries of a quad that a vector holds.
using DU8 = hn::Repartition<uint8_t, D>;
constexpr int kLanes8 = 4 * kPartLanes;

// Writes a quad's entries as q + 128.
struct ByteQuads {
  uint8_t* q;
  HWY_INLINE void operator()(hn::Vec<DU8> entries, int quad, int e, int zero) const {
    const auto biased = hn::Add(entries, hn::Set(DU8(), static_cast<uint8_t>(128 - zero)));
    hn::StoreU(biased, DU8(), q + quad * kQuad + e);
  }
};

// Writes a quad's entries as two pairs of int16.
struct PairQuads {
  int16_t* q;
  HWY_INLINE void operator()(hn::Vec<DU8> entries, int quad, int e, int zero) const {
    // In each 128 bits four columns: first their k 0 and 1, then 2 and 3.
    alignas(16) static constexpr uint8_t kOrder[16] = {0, 1, 4, 5, 8,  9,  12, 13,
                                                       2, 3, 6, 7, 10, 11, 14, 15};
    const hn::Repartition<uint64_t, D> d64;
    const hn::Rebind<uint8_t, D16> narrow;
    const auto order = hn::LoadDup128(DU8(), kOrder);
    const auto pairs = hn::BitCast(d64, hn::TableLookupBytes(entries, order));
    const auto first = hn::BitCast(DU8(), hn::ConcatEven(d64, pairs, pairs));
    const auto second = hn::BitCast(DU8(), hn::ConcatOdd(d64, pairs, pairs));
    const auto offset = hn::Set(D16(), static_cast<int16_t>(zero));
    int16_t* at = q + quad * kQuad + e / 2;
    hn::StoreU(hn::Sub(hn::PromoteTo(D16(), hn::LowerHalf(narrow, first)), offset), D16(), at);
    hn::StoreU(hn::Sub(hn::PromoteTo(D16(), hn::LowerHalf(narrow, second)), offset), D16(),
               at + kQuad / 2);
  }
};

template <int kHighBits, typename Quads>
HWY_INLINE void unpack_nibbles(const uint8_t* data, int zero, const Quads& quads) {
  const auto high = [&](int quad, int e) HWY_ATTR {
    if constexpr (kHighBits == 0) {
      return hn::Zero(DU8());
    } else {
      const auto bytes = hn::LoadU(DU8(), data + 256 + quad % kHighBits * kQuad + e);
      const auto bits = hn::And(hn::ShiftRightSame(bytes, quad / kHighBits * kHighBits),
                                hn::Set(DU8(), (1 << kHighBits) - 1));
      return hn::ShiftLeft<4>(bits);
    }
  };
  for (int quad = 0; quad < 4; ++quad) {
    for (int e = 0; e < kQuad; e += kLanes8) {
      const auto bytes = hn::LoadU(DU8(), data + quad * kQuad + e);
      quads(hn::Or(hn::And(bytes, hn::Set(DU8(), 15)), high(quad, e)), quad, e, zero);
      quads(hn::Or(hn::ShiftRight<4>(bytes), high(quad + 4, e)), quad + 4, e, zero);
    }
  }
}

template <typename Quads>
HWY_INLINE void unpack_bytes(const uint8_t* data, int zero, const Quads& quads) {
  for (int quad = 0; quad < 8; ++quad) {
    for (int e = 0; e < kQuad; e += kLanes8) {
      quads(hn::LoadU(DU8(), data + quad * kQuad + e), quad, e, zero);
    }
  }
}

#else

inline Part load_f16(const uint8_t* at) { return half_to_float(at); }
inline Part load_bf16(const uint8_t* at) {
  uint16_t bits;
  std::memcpy(&bits, at, 2);
  return bf16_to_float(bits);
}
inline Part load_powers(const uint8_t* at) { return words_as_floats(words_shift<23>(PartI{*at})); }
template <typename T>
inline Part load_whole(const T* at) {
  return static_cast<float>(*at);
}

struct PairQuads {
  int16_t* q;
  void operator()(int value, int quad, int e, int zero) const {
    q[quad * kQuad + e % 4 / 2 * (kQuad / 2) + e / 4 * 2 + e % 2] =
        static_cast<int16_t>(value - zero);
  }
};

template <int kHighBits, typename Quads>
inline void unpack_nibbles(const uint8_t* data, int zero, const Quads& quads) {
  for (int quad = 0; quad < 8; ++quad) {
    for (int e = 0; e < kQuad; ++e) {
      int value = data[quad % 4 * kQuad + e] >> (quad / 4 * 4) & 15;
      if constexpr (kHighBits > 0) {
        const int bits = data[256 + quad % kHighBits * kQuad + e] >> (quad / kHighBits * kHighBits);
        value |= (bits & ((1 << kHighBits) - 1)) << 4;
      }
      quads(value, quad, e, zero);
    }
  }
}

template <typename Quads>
inline void unpack_bytes(const uint8_t* data, int zero, const Quads& quads) {
  for (int i = 0; i < 8 * kQuad; ++i) quads(data[i], i / kQuad, i % kQuad, zero);
}

#endif

// Scales and minima of a block, [groups][16] each.
HWY_INLINE void unpack_header(const PackFormat& format, const uint8_t* block, float* scales,
                              float* mins) {
  const QuantFormat& quant = format.quant;
  const int groups = quant.groups();
  const uint8_t* d_min = block + 2 * kTileColumns;
  const uint8_t* subs = d_min + (quant.has_min ? 2 * kTileColumns : 0);
  for (int c = 0; c < kTileColumns; c += kPartLanes) {
    const Part d = load_f16(block + 2 * c);
    const Part m = quant.has_min ? load_f16(d_min + 2 * c) : part_zero();
    for (int g = 0; g < groups; ++g) {
      const int at = g * kTileColumns + c;
      Part scale = d, min = m;
      if (quant.has_sub_scales) {
        scale = part_mul(d, load_whole(reinterpret_cast<const int8_t*>(subs) + at));
        if (quant.has_min) min = part_mul(m, load_whole(subs + groups * kTileColumns + at));
      }
      part_store(scale, scales + at);
      if (quant.has_min) part_store(min, mins + at);
    }
  }
}

template <typename Quads>
HWY_INLINE void unpack_sub_block(const PackFormat& format, const uint8_t* data,
                                 const Quads& quads) {
  switch (format.quant.bits) {
    case 8:
      return unpack_bytes(data, format.zero(), quads);
    case 6:
      return unpack_nibbles<2>(data, format.zero(), quads);
    case 5:
      return unpack_nibbles<1>(data, format.zero(), quads);
    default:
      return unpack_nibbles<0>(data, format.zero(), quads);
  }
}

HWY_INLINE void unpack_scales(const PackedTile& tile, int64_t k, int64_t count, float* scales,
                              float* mins) {
  const PackFormat& format = tile.format;
  const int values = format.quant.block_values;
  const int floats = format.quant.groups() * kTileColumns;
  const uint8_t* header = tile.data + k / values * format.header_bytes;
  for (int64_t start = 0; start < count; start += values, header += format.header_bytes) {
    for (int line = 0; line < format.header_bytes; line += 64) prefetch(header + tile.ahead + line);
    unpack_header(format, header, scales, mins);
    scales += floats;
    mins += floats;
  }
}

inline IntTile unpack_int(const PackedTile& tile, int64_t k, int64_t count, IntScratch& scratch) {
  const PackFormat& format = tile.format;
  if (format.has_exponents()) {  // they lie as they are multiplied
    const uint8_t* q = tile.data + format.data_offset(tile.columns) + k * kTileColumns * 2;
    return {q, nullptr, nullptr, kSubBlock, tile.data + k / kSubBlock * kTileColumns};
  }
  const QuantFormat& quant = format.quant;
  unpack_scales(tile, k, count, scratch.scales, scratch.mins);
  const uint8_t* data =
      tile.data + format.data_offset(tile.columns) + k / kSubBlock * format.data_bytes;
  IntTile out = {scratch.q, scratch.scales, quant.has_min ? scratch.mins : nullptr, quant.group};
  if (kByteForm && quant.bits == 8) {
    out.q = data;
    return out;
  }
  for (int64_t i = 0; i < count; i += kSubBlock, data += format.data_bytes) {
    for (int line = 0; line < format.data_bytes; line += 64) prefetch(data + tile.ahead + line);
#ifdef ASSAY_BYTE_PRODUCTS
    auto* q = reinterpret_cast<uint8_t*>(scratch.q) + i * kTileColumns;
    unpack_sub_block(format, data, ByteQuads{q});
#else
    unpack_sub_block(format, data, PairQuads{scratch.q + i * kTileColumns});
#endif
  }
  return out;
}

inline void unpack_quantized_f32(const PackedTile& tile, int64_t k, int64_t count, float* out) {
  const PackFormat& format = tile.format;
  const QuantFormat& quant = format.quant;
  constexpr int kMostGroups = DecodedBlock::kMaxGroups * kTileColumns;
  float scales[kMostGroups], mins[kMostGroups] = {};
  int16_t q[kSubBlock * kTileColumns];
  const uint8_t* data =
      tile.data + format.data_offset(tile.columns) + k / kSubBlock * format.data_bytes;
  for (int64_t i = 0; i < count; i += kSubBlock, data += format.data_bytes) {
    const int in_block = static_cast<int>(i % quant.block_values);
    if (in_block == 0) unpack_scales(tile, k + i, quant.block_values, scales, mins);
    for (int line = 0; line < format.data_bytes; line += 64) prefetch(data + tile.ahead + line);
    unpack_sub_block(format, data, PairQuads{q});
    for (int j = 0; j < kSubBlock; ++j, out += kTileColumns) {
      const int at = (in_block + j) / quant.group * kTileColumns;
      const int16_t* pair = q + j / 2 * 2 * kTileColumns;
      for (int p = 0; p < kParts; ++p) {
        const int c = p * kPartLanes;
        const Part scale = part_load(scales + at + c);
        const Part value = part_mul(scale, pairs_side(pairs_load(pair + 2 * c), j % 2));
        part_store(quant.has_min ? part_sub(value, part_load(mins + at + c)) : value, out + c);
      }
    }
  }
}

// Sixteen columns of value `j` of a group of codes. A code is at the top of its lane; moved down it
// is a float with a small exponent.
template <int j>
HWY_INLINE Part load_codes(const uint8_t* group, int column, float scale) {
  const uint8_t* lane = group + 4 * column;
  const auto load = [lane](int offset) HWY_ATTR {
    return words_load(reinterpret_cast<const int32_t*>(lane + offset));
  };
  constexpr int kUp = j % 2 == 0 ? 16 : 0;
  const PartI upper = words_and(words_shift<kUp>(load(j / 2 * 64)), ~0xFFFF);
  const PartI next = words_and(words_shift<8 - j % 4 * 8>(load(256 + j / 4 * 64)), 0xFF00);
  constexpr auto kKept = static_cast<int32_t>(F32Code::kSign | ~0u >> (1 + F32Code::kShift));
  const PartI small = words_and(words_shift<-F32Code::kShift>(words_or(upper, next)), kKept);
  return part_mul(words_as_floats(small), part_set(scale));
}

// Weights as they are in memory, by type. each() calls body(k, w[kCount][kParts]) for every k.
template <typename Load, int kValueBytes>
struct PlainWeights {
  static constexpr bool kNarrow = kValueBytes < 4;
  template <int kCount, typename Body>
  static HWY_INLINE void each(const F32Tile* tiles, int64_t count, const Body& body) {
    for (int64_t k = 0; k < count; ++k) {
      Part ws[kCount][kParts];
      for (int t = 0; t < kCount; ++t) {
        const uint8_t* w = static_cast<const uint8_t*>(tiles[t].w) + k * kTileColumns * kValueBytes;
        for (int p = 0; p < kParts; ++p) ws[t][p] = Load::load(w + p * kPartLanes * kValueBytes);
      }
      body(k, ws);
    }
  }
};
struct LoadF32 {
  static HWY_INLINE Part load(const uint8_t* at) {
    return part_load(reinterpret_cast<const float*>(at));
  }
};
struct LoadF16 {
  static HWY_INLINE Part load(const uint8_t* at) { return load_f16(at); }
};
struct LoadBf16 {
  static HWY_INLINE Part load(const uint8_t* at) { return load_bf16(at); }
};
using F32Weights = PlainWeights<LoadF32, 4>;
using F16Weights = PlainWeights<LoadF16, 2>;
using Bf16Weights = PlainWeights<LoadBf16, 2>;

// Unrolled, because where a value's bits are depends on its number in the group.
struct CodedWeights {
  static constexpr bool kNarrow = true;
  template <int kCount, typename Body>
  static HWY_INLINE void each(const F32Tile* tiles, int64_t count, const Body& body) {
    const float scale = tiles[0].code->scale();
    for (int64_t k = 0; k < count; k += kCodeGroup) {
      const auto one = [&]<int j>() HWY_ATTR __attribute__((always_inline)) {
        Part ws[kCount][kParts];
        for (int t = 0; t < kCount; ++t) {
          const uint8_t* group = static_cast<const uint8_t*>(tiles[t].w) + k * 3 * kTileColumns;
          for (int p = 0; p < kParts; ++p) ws[t][p] = load_codes<j>(group, p * kPartLanes, scale);
        }
        body(k + j, ws);
      };
      [&]<int... j>(std::integer_sequence<int, j...>) HWY_ATTR __attribute__((always_inline)) {
        (one.template operator()<j>(), ...);
      }
      (std::make_integer_sequence<int, kCodeGroup>());
    }
  }
};

inline F32Tile unpack_f32(const PackedTile& tile, int64_t k, int64_t count, float* scratch) {
  const PackFormat& format = tile.format;
  if (!format.quantized()) {
    return {tile.data + k * kTileColumns * format.value_bytes, format.dtype, nullptr,
            format.coded() ? &format.code : nullptr};
  }
  unpack_quantized_f32(tile, k, count, scratch);
  return {scratch, DType::kF32};
}

}  // namespace HWY_NAMESPACE
}  // namespace assay
HWY_AFTER_NAMESPACE();

#endif
