#include "engine/cuda/weights.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <cstring>

#include "engine/blocks.h"

namespace assay {
namespace {

// Where value k of a unit of output `output` of a tile goes: its lane, and which of the lane's
// sixteen values of the step it is.
struct Place {
  int step, lane, index;
};

Place place_of(int output, int k) {
  const int mma = k % 32 / 16, half = k % 16 / 8;
  return {k / 32, output % 8 * 4 + k % 8 / 2, 8 * mma + 2 * (output / 8 + 2 * half) + k % 2};
}

void put_16_bits(uint16_t bits, uint8_t* at) { std::memcpy(at, &bits, 2); }

void put_block(const CudaWeightFormat& format, const DecodedBlock& block, int output,
               uint8_t* tile) {
  for (int k = 0; k < format.unit; ++k) {
    const Place place = place_of(output, k);
    const int lane = place.step * 32 + place.lane;
    uint8_t* values = tile + lane * format.lane_bytes();
    const unsigned stored = block.stored[k];
    if (format.low_bits == 8) {
      values[place.index] = static_cast<uint8_t>(stored);
      continue;
    }
    // In each 32-bit word value j has bits 4 j.., and so in each pair of bytes.
    uint8_t& pair = values[place.index / 2];
    pair = static_cast<uint8_t>(pair | (stored & 15) << (place.index % 2 * 4));
    if (format.high_bits == 0) continue;
    uint8_t* high = tile + format.high_at() + lane * format.high_lane_bytes();
    const int bit = place.index * format.high_bits;
    high[bit / 8] = static_cast<uint8_t>(high[bit / 8] | (stored >> 4) << (bit % 8));
  }
  put_16_bits(block.d, tile + format.d_at() + 2 * output);
  if (format.has_min) put_16_bits(block.d_min, tile + format.d_min_at() + 2 * output);
  if (!format.has_sub_scales) return;
  for (int g = 0; g < format.groups(); ++g) {
    tile[format.scales_at() + 16 * g + output] = static_cast<uint8_t>(block.sub_scale[g]);
    if (format.has_min) tile[format.mins_at() + 16 * g + output] = block.sub_min[g];
  }
}

void put_wide(const CudaWeightFormat& format, const uint8_t* values, int count, int output,
              uint8_t* tile) {
  const auto bytes = static_cast<size_t>(format.value_bytes);
  const int per_piece = 16 / format.value_bytes;  // a lane's values in 16 bytes
  for (int k = 0; k < count; ++k) {
    const Place place = place_of(output, k);
    const int pieces = 16 / per_piece, piece = place.index / per_piece;
    uint8_t* at = tile + ((place.step * pieces + piece) * 32 + place.lane) * 16;
    std::memcpy(at + place.index % per_piece * bytes, values + k * bytes, bytes);
  }
}

// Writes tiles first..first + count of the weight in the form of weight_format.h.
void repack(const Weight& weight, int first_tile, int count, uint8_t* packed) {
  const CudaWeightFormat format = cuda_weight_format(weight.dtype);
  const CudaWeightShape shape = cuda_weight_shape(weight.dtype, weight.rows, weight.columns);
  const int block_bytes = type_info(weight.dtype).bytes;
  const int64_t row_bytes = int64_t{shape.units} * format.tile_bytes();
  tbb::parallel_for(0, count, [&](int tile) {
    uint8_t* to_row = packed + tile * row_bytes;
    std::memset(to_row, 0, static_cast<size_t>(row_bytes));
    DecodedBlock block;
    const int64_t first = int64_t{first_tile + tile} * 16;
    for (int64_t output = first; output < std::min(first + 16, weight.rows); ++output) {
      const uint8_t* row = weight.row(output);
      for (int unit = 0; unit < shape.units; ++unit) {
        uint8_t* to = to_row + int64_t{unit} * format.tile_bytes();
        const int own = static_cast<int>(output - first);
        if (format.quantized) {
          decode_block(weight.dtype, row + int64_t{unit} * block_bytes, block);
          put_block(format, block, own, to);
        } else {
          const int64_t begin = int64_t{unit} * format.unit;
          const auto values =
              static_cast<int>(std::min<int64_t>(format.unit, weight.columns - begin));
          put_wide(format, row + begin * format.value_bytes, values, own, to);
        }
      }
    }
  });
}

// Columns of a 16-bit weight as gemm() takes them; 0: it does not.
int gemm_stride(const Weight& weight, bool for_gemm) {
  if (!for_gemm || (weight.dtype != DType::kBF16 && weight.dtype != DType::kF16)) return 0;
  return static_cast<int>((weight.columns + kCudaChunk - 1) / kCudaChunk * kCudaChunk);
}

}  // namespace

size_t cuda_weight_bytes(const Weight& weight, bool for_gemm) {
  if (const int stride = gemm_stride(weight, for_gemm)) {
    return static_cast<size_t>(weight.rows) * stride * 2;
  }
  const CudaWeightShape shape = cuda_weight_shape(weight.dtype, weight.rows, weight.columns);
  return static_cast<size_t>(shape.tiles) * shape.units *
         cuda_weight_format(weight.dtype).tile_bytes();
}

CudaWeight::CudaWeight(CudaRuntime& runtime, const Weight& weight, bool for_gemm)
    : runtime_(runtime),
      size_bytes_(cuda_weight_bytes(weight, for_gemm)),
      data_(static_cast<uint8_t*>(runtime.allocate(size_bytes_))) {
  const int stride = gemm_stride(weight, for_gemm);
  view_ = {data_, weight.dtype, cuda_weight_shape(weight.dtype, weight.rows, weight.columns),
           stride};
  if (data_ == nullptr) return;
  const auto units = static_cast<size_t>(stride > 0 ? weight.rows : view_.shape.tiles);
  const size_t unit_bytes = size_bytes_ / units;
  const auto fill = [&](size_t first, size_t bytes, uint8_t* to) {
    const size_t unit = first / unit_bytes, count = bytes / unit_bytes;
    if (stride == 0) return repack(weight, static_cast<int>(unit), static_cast<int>(count), to);
    for (size_t i = 0; i < count; ++i, to += unit_bytes) {
      std::memcpy(to, weight.row(static_cast<int64_t>(unit + i)), weight.row_bytes());
      std::memset(to + weight.row_bytes(), 0, unit_bytes - weight.row_bytes());
    }
  };
  runtime.upload_filled(size_bytes_, unit_bytes, fill, data_);
}

CudaWeight::~CudaWeight() { runtime_.release(data_); }

}  // namespace assay
