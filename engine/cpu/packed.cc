#include "engine/cpu/packed.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>

#include "engine/half.h"

namespace assay {
namespace {

uint16_t to_bf16(uint32_t f32_bits) { return static_cast<uint16_t>(f32_bits >> 16); }
uint16_t to_half(uint32_t f32_bits) { return float_to_half(std::bit_cast<float>(f32_bits)); }

void pack_plain(const Weight& weight, DType packed, int64_t first, uint8_t* tile) {
  const int64_t count = std::min<int64_t>(kTileColumns, weight.rows - first);
  const auto pack = [&]<typename From, typename To>(From, To, const auto& convert) {
    for (int64_t c = 0; c < count; ++c) {
      const uint8_t* row = weight.row(first + c);
      for (int64_t k = 0; k < weight.columns; ++k) {
        From bits;
        std::memcpy(&bits, row + k * static_cast<int64_t>(sizeof bits), sizeof bits);
        reinterpret_cast<To*>(tile)[k * kTileColumns + c] = convert(bits);
      }
    }
  };
  const auto same = [](auto bits) { return bits; };
  if (weight.dtype != DType::kF32) {
    pack(uint16_t{}, uint16_t{}, same);
  } else if (packed == DType::kF32) {
    pack(uint32_t{}, uint32_t{}, same);
  } else {
    pack(uint32_t{}, uint16_t{}, packed == DType::kBF16 ? to_bf16 : to_half);
  }
}

// The largest exponent with which 16 values are whole numbers of a norm of at most kWeightNorm.
int exponent_of(double squares) {
  constexpr double kLeast = 1e-70;  // 2^126 does for all below
  const double most = (kWeightNorm - kNormRounding) / std::sqrt(std::max(squares, kLeast));
  return std::min(std::ilogb(most), 126);
}

// Of sixteen values; in four sums, so that none waits for the one before.
double sum_of_squares(const float* values) {
  double lanes[4] = {};
  for (int i = 0; i < 16; i += 4) {
    for (int lane = 0; lane < 4; ++lane) lanes[lane] += double{values[i + lane]} * values[i + lane];
  }
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

// Where value k of a column is, in int16 after the exponents.
int64_t whole_number_at(int64_t k, int64_t column) {
  return k / 2 * 2 * kTileColumns + column * 2 + k % 2;
}

bool pack_whole_numbers(const Weight& weight, const PackFormat& format, int64_t first,
                        uint8_t* tile) {
  const int64_t count = std::min<int64_t>(kTileColumns, weight.rows - first);
  auto* whole = reinterpret_cast<int16_t*>(tile + format.data_offset(weight.columns));
  for (int64_t c = 0; c < count; ++c) {
    const uint8_t* row = weight.row(first + c);
    for (int64_t k = 0; k < weight.columns; k += kSubBlock) {
      float values[kSubBlock];
      dequantize(weight.dtype, row + k * type_info(weight.dtype).bytes, kSubBlock, values);
      const double squares[] = {sum_of_squares(values), sum_of_squares(values + 16)};
      if (!std::isfinite(squares[0] + squares[1])) return false;
      const int exponent = exponent_of(std::max(squares[0], squares[1]));
      tile[k / kSubBlock * kTileColumns + c] = static_cast<uint8_t>(127 - exponent);
      const float factor = std::bit_cast<float>((127 + exponent) << 23);
      for (int i = 0; i < kSubBlock; ++i) {
        // Where 3 · 2^22 is added, a float's last bits are the nearest whole number's.
        const float rounded = values[i] * factor + 0x1.8p23f;
        const auto bits = std::bit_cast<uint32_t>(rounded);
        whole[whole_number_at(k + i, c)] = static_cast<int16_t>(bits & 0xFFFF);
      }
    }
  }
  return true;
}

// Where value k of a column has its upper 16 bits, and its next 8.
struct CodePlace {
  int64_t upper, next;
  CodePlace(int64_t k, int64_t column) {
    const int64_t j = k % kCodeGroup, lane = (k - j) * 3 * kTileColumns + column * 4;
    upper = lane + j / 2 * 64 + j % 2 * 2;
    next = lane + 256 + j / 4 * 64 + j % 4;
  }
};

void pack_codes(const Weight& weight, const F32Code& code, int64_t first, uint8_t* tile) {
  const int64_t count = std::min<int64_t>(kTileColumns, weight.rows - first);
  for (int64_t c = 0; c < count; ++c) {
    const uint8_t* row = weight.row(first + c);
    for (int64_t k = 0; k < weight.columns; ++k) {
      uint32_t bits;
      std::memcpy(&bits, row + 4 * k, 4);
      const uint32_t coded = code.encode(bits);
      const auto upper = static_cast<uint16_t>(coded >> 16);
      const CodePlace place(k, c);
      std::memcpy(tile + place.upper, &upper, 2);
      tile[place.next] = static_cast<uint8_t>(coded >> 8);
    }
  }
}

// Whether every F32 value loses nothing; `lost`: not zero for the bits of one that does.
bool keeps_all(const Weight& weight, Team& team, const auto& lost) {
  std::atomic<bool> all = true;
  team.for_each(weight.rows, [&](int64_t row) {
    if (!all.load(std::memory_order_relaxed)) return;
    const uint8_t* values = weight.row(row);
    uint32_t any = 0;
    for (int64_t k = 0; k < weight.columns; ++k) {
      uint32_t bits;
      std::memcpy(&bits, values + 4 * k, 4);
      any |= lost(bits);
    }
    if (any != 0) all.store(false, std::memory_order_relaxed);
  });
  return all;
}

// One sub-block of one column; `stored` are its 32 values.
void pack_values(const PackFormat& format, const uint8_t* stored, int column, uint8_t* data) {
  const int high_bits = format.high_bits();
  for (int k = 0; k < kSubBlock; ++k) {
    const int quad = k / 4, entry = column * 4 + k % 4;
    if (format.quant.bits == 8) {
      data[quad * 64 + entry] = stored[k] ^ 0x80;  // an int8 as q + 128
      continue;
    }
    uint8_t& nibbles = data[quad % 4 * 64 + entry];
    nibbles = static_cast<uint8_t>(nibbles | (stored[k] & 15) << (quad / 4 * 4));
    if (high_bits == 0) continue;
    uint8_t& high = data[256 + quad % high_bits * 64 + entry];
    high = static_cast<uint8_t>(high | (stored[k] >> 4) << (quad / high_bits * high_bits));
  }
}

void pack_block(const PackFormat& format, const DecodedBlock& block, int column, uint8_t* out,
                uint8_t* data) {
  const QuantFormat& quant = format.quant;
  std::memcpy(out + 2 * column, &block.d, 2);
  out += 2 * kTileColumns;
  if (quant.has_min) {
    std::memcpy(out + 2 * column, &block.d_min, 2);
    out += 2 * kTileColumns;
  }
  if (quant.has_sub_scales) {
    const int groups = quant.groups();
    for (int g = 0; g < groups; ++g) {
      std::memcpy(out + g * kTileColumns + column, &block.sub_scale[g], 1);
      if (quant.has_min) out[(groups + g) * kTileColumns + column] = block.sub_min[g];
    }
  }
  for (int start = 0; start < quant.block_values; start += kSubBlock, data += format.data_bytes) {
    pack_values(format, block.stored + start, column, data);
  }
}

// None, if a value has no code.
F32Code code_for(const Weight& weight, Team& team) {
  if (weight.columns % kCodeGroup != 0) return {};
  if (!keeps_all(weight, team, [](uint32_t bits) { return bits & F32Code::kLost; })) return {};
  std::atomic<uint32_t> least = 255, most = 0;  // exponents
  team.for_each(weight.rows, [&](int64_t row) {
    uint32_t low = 255, high = 0;
    for (int64_t k = 0; k < weight.columns; ++k) {
      uint32_t bits;
      std::memcpy(&bits, weight.row(row) + 4 * k, 4);
      if ((bits & ~F32Code::kSign) == 0) continue;
      low = std::min(low, bits >> 23 & 255);
      high = std::max(high, bits >> 23 & 255);
    }
    for (uint32_t seen = least; low < seen && !least.compare_exchange_weak(seen, low);) {
    }
    for (uint32_t seen = most; high > seen && !most.compare_exchange_weak(seen, high);) {
    }
  });
  return F32Code::of(static_cast<int>(least), static_cast<int>(most));
}

}  // namespace

PackFormat::PackFormat(DType type) : dtype(type) {
  if (!is_quantized(type)) {
    value_bytes = type_info(type).bytes;
    return;
  }
  quant = quant_format(type);
  const int arrays = quant.has_min ? 2 : 1;
  header_bytes = kTileColumns * (2 * arrays + (quant.has_sub_scales ? quant.groups() * arrays : 0));
  data_bytes = quant.bits == 8 ? 512 : 256 + 64 * high_bits();
}

PackFormat pack_format(const Weight& weight, bool whole_numbers, Team& team) {
  PackFormat own(weight.dtype), bf16(DType::kBF16);
  if (whole_numbers && weight.columns % kSubBlock == 0) bf16.header_bytes = kTileColumns;
  if (weight.dtype == DType::kBF16) return bf16;
  if (weight.dtype != DType::kF32) return own;
  const auto lost_by_bf16 = [](uint32_t bits) { return bits & 0xFFFF; };
  if (keeps_all(weight, team, lost_by_bf16)) return bf16;
  const auto lost_by_f16 = [](uint32_t bits) {
    return bits ^ std::bit_cast<uint32_t>(half_to_float(to_half(bits)));
  };
  if (keeps_all(weight, team, lost_by_f16)) return PackFormat(DType::kF16);
  own.code = code_for(weight, team);
  if (own.coded()) own.value_bytes = 3;
  return own;
}

float coded_value(const F32Code& code, const uint8_t* tile, int64_t k, int64_t column) {
  const CodePlace place(k, column);
  uint16_t upper;
  std::memcpy(&upper, tile + place.upper, 2);
  return code.decode(uint32_t{upper} << 16 | uint32_t{tile[place.next]} << 8);
}

float rounded_value(const PackFormat& format, const uint8_t* tile, int64_t columns, int64_t k,
                    int64_t column) {
  int16_t whole;
  const uint8_t* data = tile + format.data_offset(columns);
  std::memcpy(&whole, data + 2 * whole_number_at(k, column), sizeof whole);
  return std::ldexp(static_cast<float>(whole), tile[k / kSubBlock * kTileColumns + column] - 127);
}

bool pack_tile(const Weight& weight, const PackFormat& format, int64_t first, uint8_t* tile) {
  std::memset(tile, 0, format.tile_bytes(weight.columns));
  if (format.coded()) {
    pack_codes(weight, format.code, first, tile);
    return true;
  }
  if (!format.quantized()) {
    if (format.has_exponents()) return pack_whole_numbers(weight, format, first, tile);
    pack_plain(weight, format.dtype, first, tile);
    return true;
  }
  const int block_bytes = type_info(weight.dtype).bytes;
  const int64_t count = std::min<int64_t>(kTileColumns, weight.rows - first);
  DecodedBlock block;
  for (int64_t c = 0; c < count; ++c) {
    const uint8_t* from = weight.row(first + c);
    uint8_t *header = tile, *data = tile + format.data_offset(weight.columns);
    for (int64_t k = 0; k < weight.columns; k += format.quant.block_values) {
      decode_block(weight.dtype, from, block);
      pack_block(format, block, static_cast<int>(c), header, data);
      from += block_bytes;
      header += format.header_bytes;
      data += format.quant.block_values / kSubBlock * format.data_bytes;
    }
  }
  return true;
}

}  // namespace assay
