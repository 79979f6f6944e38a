// From packed tiles to the form that products multiply; included once for each target.
#if defined(ASSAY_ENGINE_CPU_UNPACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ASSAY_ENGINE_CPU_UNPACK_INL_H_
#undef ASSAY_ENGINE_CPU_UNPACK_INL_H_
#else
#define ASSAY_ENGINE_CPU_UNPACK_INL_H_
#endif

#include <cstring>

#include "engine/cpu/lanes-inl.h"
#include "engine/cpu/packed.h"
#include "engine/half.h"

HWY_BEFORE_NAMESPACE();
namespace assay {
namespace HWY_NAMESPACE {

constexpr int kEntries = 2 * kTileColumns;  // of a pair of k

#ifdef ASSAY_VECTOR_LANES

HWY_INLINE Part load_f16(const uint8_t* at) {
  const hn::Rebind<hwy::float16_t, D> half;
  return hn::PromoteTo(D(), hn::LoadU(half, reinterpret_cast<const hwy::float16_t*>(at)));
}

HWY_INLINE Part load_bf16(const uint8_t* at) {
  const hn::Rebind<hwy::bfloat16_t, D> half;
  return hn::PromoteTo(D(), hn::LoadU(half, reinterpret_cast<const hwy::bfloat16_t*>(at)));
}

template <typename T>
HWY_INLINE Part load_whole(const T* at) {
  const hn::Rebind<T, D> narrow;
  return hn::ConvertTo(D(), hn::PromoteTo(DI(), hn::LoadU(narrow, at)));
}

template <int kHighBits>
HWY_INLINE void unpack_nibbles(const uint8_t* data, int zero, int16_t* q) {
  const hn::Rebind<uint8_t, D16> narrow;
  constexpr int kBytes = 2 * kHighBits;
  const auto offset = hn::Set(D16(), static_cast<int16_t>(zero));
  const auto high = [&](int pair, int e) HWY_ATTR {
    if constexpr (kHighBits == 0) {
      return hn::Zero(D16());
    } else {
      const auto bytes =
          hn::PromoteTo(D16(), hn::LoadU(narrow, data + 256 + pair % kBytes * kEntries + e));
      const auto bits = hn::And(hn::ShiftRightSame(bytes, pair / kBytes * kHighBits),
                                hn::Set(D16(), (1 << kHighBits) - 1));
      return hn::ShiftLeft<4>(bits);
    }
  };
  for (int pair = 0; pair < 8; ++pair) {
    for (int e = 0; e < kEntries; e += kLanes16) {
      const auto bytes = hn::PromoteTo(D16(), hn::LoadU(narrow, data + pair * kEntries + e));
      const auto low = hn::Or(hn::And(bytes, hn::Set(D16(), 15)), high(pair, e));
      const auto top = hn::Or(hn::ShiftRight<4>(bytes), high(pair + 8, e));
      hn::StoreU(hn::Sub(low, offset), D16(), q + pair * kEntries + e);
      hn::StoreU(hn::Sub(top, offset), D16(), q + (pair + 8) * kEntries + e);
    }
  }
}

HWY_INLINE void unpack_bytes(const uint8_t* data, int16_t* q) {
  const hn::Rebind<int8_t, D16> narrow;
  for (int i = 0; i < 16 * kEntries; i += kLanes16) {
    hn::StoreU(hn::PromoteTo(D16(), hn::LoadU(narrow, reinterpret_cast<const int8_t*>(data) + i)),
               D16(), q + i);
  }
}

#else

inline Part load_f16(const uint8_t* at) { return half_to_float(at); }
inline Part load_bf16(const uint8_t* at) {
  uint16_t bits;
  std::memcpy(&bits, at, 2);
  return std::bit_cast<float>(uint32_t{bits} << 16);
}
template <typename T>
inline Part load_whole(const T* at) {
  return static_cast<float>(*at);
}

template <int kHighBits>
inline void unpack_nibbles(const uint8_t* data, int zero, int16_t* q) {
  for (int pair = 0; pair < 16; ++pair) {
    for (int e = 0; e < kEntries; ++e) {
      int value = data[pair % 8 * kEntries + e] >> (pair / 8 * 4) & 15;
      if constexpr (kHighBits > 0) {
        constexpr int kBytes = 2 * kHighBits;
        const int bits = data[256 + pair % kBytes * kEntries + e] >> (pair / kBytes * kHighBits);
        value |= (bits & ((1 << kHighBits) - 1)) << 4;
      }
      q[pair * kEntries + e] = static_cast<int16_t>(value - zero);
    }
  }
}

inline void unpack_bytes(const uint8_t* data, int16_t* q) {
  for (int i = 0; i < 16 * kEntries; ++i) q[i] = static_cast<int8_t>(data[i]);
}

#endif

// Scales and minima of one block, [groups][16] each; returns where the values begin.
HWY_INLINE const uint8_t* unpack_header(const PackFormat& format, const uint8_t* block,
                                        float* scales, float* mins) {
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
  return block + format.header_bytes;
}

HWY_INLINE void unpack_sub_block(const PackFormat& format, const uint8_t* data, int16_t* q) {
  const int zero = format.quant.zero;
  switch (format.quant.bits) {
    case 8:
      return unpack_bytes(data, q);
    case 6:
      return unpack_nibbles<2>(data, zero, q);
    case 5:
      return unpack_nibbles<1>(data, zero, q);
    default:
      return unpack_nibbles<0>(data, zero, q);
  }
}

// With one sequence a product is as fast as memory: ask for it in time. Reading ahead of the
// allocation's end is a hint that the processor drops.
constexpr int kAhead = 4096;
inline void prefetch(const uint8_t* at) { __builtin_prefetch(at); }

inline void unpack_int(const PackFormat& format, const uint8_t* tile, int64_t k, int64_t count,
                       int16_t* q, float* scales, float* mins) {
  const int values = format.quant.block_values;
  const int header_floats = format.quant.groups() * kTileColumns;
  const uint8_t* block = tile + k / values * format.block_bytes();
  for (int64_t start = 0; start < count; start += values, block += format.block_bytes()) {
    const uint8_t* data = unpack_header(format, block, scales, mins);
    scales += header_floats;
    mins += header_floats;
    for (int i = 0; i < values; i += kSubBlock) {
      for (int line = 0; line < format.data_bytes; line += 64) prefetch(data + kAhead + line);
      unpack_sub_block(format, data, q);
      data += format.data_bytes;
      q += kSubBlock * kTileColumns;
    }
  }
}

inline void unpack_quantized_f32(const PackFormat& format, const uint8_t* tile, int64_t k,
                                 int64_t count, float* out) {
  const QuantFormat& quant = format.quant;
  float scales[DecodedBlock::kMaxGroups * kTileColumns];
  float mins[DecodedBlock::kMaxGroups * kTileColumns];
  int16_t q[DecodedBlock::kMaxValues * kTileColumns];
  for (int64_t start = 0; start < count; start += quant.block_values) {
    unpack_int(format, tile, k + start, quant.block_values, q, scales, mins);
    for (int i = 0; i < quant.block_values; ++i, out += kTileColumns) {
      const int at = i / quant.group * kTileColumns;
      const int16_t* pair = q + i / 2 * kEntries + i % 2;
      for (int c = 0; c < kTileColumns; ++c) {
        const float value = scales[at + c] * static_cast<float>(pair[2 * c]);
        out[c] = quant.has_min ? value - mins[at + c] : value;
      }
    }
  }
}

inline void unpack_f32(const PackFormat& format, const uint8_t* tile, int64_t k, int64_t count,
                       float* out) {
  if (format.quantized()) return unpack_quantized_f32(format, tile, k, count, out);
  const uint8_t* from = tile + k * kTileColumns * format.value_bytes;
  const int64_t values = count * kTileColumns;
  if (format.dtype == DType::kF32) {
    std::memcpy(out, from, static_cast<size_t>(values) * 4);
  } else if (format.dtype == DType::kF16) {
    for (int64_t i = 0; i < values; i += kPartLanes) part_store(load_f16(from + 2 * i), out + i);
  } else {
    for (int64_t i = 0; i < values; i += kPartLanes) part_store(load_bf16(from + 2 * i), out + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace assay
HWY_AFTER_NAMESPACE();

#endif
