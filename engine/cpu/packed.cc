#include "engine/cpu/packed.h"

#include <algorithm>
#include <bit>
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

// Whether every F32 value loses nothing; `lost`: not zero for the bits of one that does.
bool keeps_all(const Weight& weight, const auto& lost) {
  for (int64_t row = 0; row < weight.rows; ++row) {
    const uint8_t* values = weight.row(row);
    uint32_t any = 0;
    for (int64_t k = 0; k < weight.columns; ++k) {
      uint32_t bits;
      std::memcpy(&bits, values + 4 * k, 4);
      any |= lost(bits);
    }
    if (any != 0) return false;
  }
  return true;
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

DType packed_type(const Weight& weight) {
  if (weight.dtype != DType::kF32) return weight.dtype;
  if (keeps_all(weight, [](uint32_t bits) { return bits & 0xFFFF; })) return DType::kBF16;
  const auto lost = [](uint32_t bits) {
    return bits ^ std::bit_cast<uint32_t>(half_to_float(to_half(bits)));
  };
  return keeps_all(weight, lost) ? DType::kF16 : DType::kF32;
}

void pack_tile(const Weight& weight, const PackFormat& format, int64_t first, uint8_t* tile) {
  std::memset(tile, 0, format.tile_bytes(weight.columns));
  if (!format.quantized()) return pack_plain(weight, format.dtype, first, tile);
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
}

}  // namespace assay
