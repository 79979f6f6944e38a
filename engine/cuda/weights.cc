#include "engine/cuda/weights.h"

#include <algorithm>
#include <cstring>

#include "engine/blocks.h"
#include "harness/base/parallel.h"

namespace assay {
namespace {

// Where value k of a chunk of output `output` of a tile goes: its lane, its mma, and which half i
// of which register r it is.
struct Place {
  int lane, m, r, i;
};

Place place_of(int output, int k) {
  return {output % 8 * 4 + k % 8 / 2, k / 16, output / 8 + 2 * (k % 16 / 8), k % 2};
}

void put_16_bits(uint16_t bits, uint8_t* at) { std::memcpy(at, &bits, 2); }

void put_bits(unsigned bits, int bit, uint8_t* word) {
  word[bit / 8] = static_cast<uint8_t>(word[bit / 8] | bits << bit % 8);
}

// Block `index` of the tile's unit.
void put_block(const CudaWeightFormat& format, const DecodedBlock& block, int index, int output,
               uint8_t* tile) {
  for (int i = 0; i < format.block; ++i) {
    const int k = index * format.block + i, chunk = k / kCudaChunk;
    const Place at = place_of(output, k % kCudaChunk);
    const unsigned stored = block.stored[i];
    if (format.low_bits == 8) {
      uint8_t* word =
          tile + format.values_at(chunk, at.m / 2, at.lane) + 4 * (at.m % 2 * 2 + at.r / 2);
      word[at.r % 2 + 2 * at.i] = static_cast<uint8_t>(stored);
      continue;
    }
    put_bits(stored & 15, 4 * at.r + 16 * at.i,
             tile + format.values_at(chunk, 0, at.lane) + 4 * at.m);
    if (format.high_bits == 0) continue;
    uint8_t* high = tile + format.high_at(chunk, at.lane);
    if (format.high_bits == 1) {
      put_bits(stored >> 4, 4 * at.m + at.r + 16 * at.i, high);
    } else {
      put_bits(stored >> 4, 2 * (at.m % 2 * 4 + at.r) + 16 * at.i, high + 4 * (at.m / 2));
    }
  }
  const int g = output % 8, half = output / 8;
  uint8_t* d = tile + format.d_at(index, g);
  put_16_bits(block.d, d + 2 * half);
  if (format.has_min) put_16_bits(block.d_min, d + 4 + 2 * half);
  if (!format.has_sub_scales) return;
  const int groups = format.chunk_groups();
  for (int i = 0; i < format.block / format.group; ++i) {
    uint8_t* scales = tile + format.scales_at(i / groups, g) + half * groups + i % groups;
    *scales = static_cast<uint8_t>(block.sub_scale[i]);
    if (format.has_min) scales[2 * groups] = block.sub_min[i];
  }
}

void put_wide(const CudaWeightFormat& format, const uint8_t* values, int count, int output,
              uint8_t* tile) {
  const auto bytes = static_cast<size_t>(format.value_bytes);
  const int per_piece = 16 / format.value_bytes;  // a lane's values in 16 bytes
  for (int k = 0; k < count; ++k) {
    const Place place = place_of(output, k);
    const int index = 8 * place.m + 2 * place.r + place.i;
    uint8_t* at = tile + format.values_at(0, index / per_piece, place.lane);
    std::memcpy(at + index % per_piece * bytes, values + k * bytes, bytes);
  }
}

// Writes tiles first..first + count of the weight in the form of weight_format.h.
void repack(const Weight& weight, int first_tile, int count, uint8_t* packed) {
  const CudaWeightFormat format = cuda_weight_format(weight.dtype);
  const CudaWeightShape shape = cuda_weight_shape(weight.dtype, weight.rows, weight.columns);
  const int block_bytes = type_info(weight.dtype).bytes;
  const int64_t row_bytes = int64_t{shape.units} * format.tile_bytes();
  parallel_for(count, [&](int64_t tile) {
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
          for (int i = 0; i < format.blocks(); ++i) {
            const int64_t index = int64_t{unit} * format.blocks() + i;
            if (index * format.block >= weight.columns) break;
            decode_block(weight.dtype, row + index * block_bytes, block);
            put_block(format, block, i, own, to);
          }
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
