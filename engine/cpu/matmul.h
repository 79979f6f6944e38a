// Products of rows of activations with packed weights.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/cpu/int_rows.h"
#include "engine/cpu/kernels.h"
#include "engine/cpu/packed.h"
#include "engine/cpu/team.h"
#include "engine/ops.h"

namespace assay {

// Memory for packed weights: never given back before the end, in huge pages where the system has
// them, because a decode step with few sequences is as fast as it can read the weights.
class WeightArena {
 public:
  // 64-byte aligned.
  uint8_t* allocate(size_t size_bytes);

 private:
  struct Free {
    void operator()(uint8_t* at) const;
  };
  std::vector<std::unique_ptr<uint8_t[], Free>> chunks_;
  size_t used_ = 0, capacity_ = 0;  // of the last chunk
};

class CpuWeight : public PackedWeight {
 public:
  // Lives in `arena`; `whole_numbers` as pack_format takes it.
  CpuWeight(const Weight& weight, bool whole_numbers, WeightArena& arena, Team& team);

  int64_t rows() const override { return rows_; }
  int64_t columns() const override { return columns_; }
  size_t size_bytes() const override { return size_bytes(format_, rows_, columns_); }
  static size_t size_bytes(const PackFormat& format, int64_t rows, int64_t columns) {
    return format.tile_bytes(columns) * static_cast<size_t>(tiles_of(rows));
  }

  const PackFormat& format() const { return format_; }
  int64_t tiles() const { return tiles_of(rows_); }
  const uint8_t* tile(int64_t index) const { return data_ + index * tile_bytes_; }
  // out [columns]: the values of one row, exactly as their type defines them, but for BF16 as whole
  // numbers.
  void unpack_row(const CpuKernels& kernels, int64_t row, float* out) const;

 private:
  static int64_t tiles_of(int64_t rows) { return (rows + kTileColumns - 1) / kTileColumns; }

  PackFormat format_;
  int64_t rows_, columns_;
  size_t tile_bytes_;
  uint8_t* data_;
};

// Used by one thread at a time.
class Matmul {
 public:
  Matmul(const CpuKernels& kernels, Team& team, Activations activations)
      : kernels_(kernels), team_(team), activations_(activations) {}

  // Every product's weight is a CpuWeight of the same number of columns.
  void run(const float* x, int rows, std::span<const Product> products);

 private:
  // Null: f32.
  const IntRowsBuffer* int_rows_for(const CpuWeight& weight) const {
    if (!weight.format().has_whole_numbers() || activations_ == Activations::kF32) return nullptr;
    return weight.format().quantized() ? &int_rows_ : &rows_for_bf16_;
  }
  // Tiles that a thread takes at once, and how often it does.
  int unit_tiles() const { return kernels_.tiles; }
  int64_t units_of(const CpuWeight& weight) const {
    return (weight.tiles() + unit_tiles() - 1) / unit_tiles();
  }
  void quantize(const float* x, int rows, const IntRows& to);
  void run_unit(const float* x, int rows, const Product& product, int64_t tile, int thread);
  void product_int(std::span<const PackedTile> tiles, const IntRows& x, int rows, float* out,
                   int64_t out_stride) const;
  void product_f32(std::span<const PackedTile> tiles, const float* x, int rows, float* out,
                   int64_t out_stride) const;

  const CpuKernels& kernels_;
  Team& team_;
  Activations activations_;
  IntRowsBuffer int_rows_, rows_for_bf16_;
  std::vector<float> whole_tiles_;  // [threads][rows][kMaxTiles · kTileColumns]
};

}  // namespace assay
