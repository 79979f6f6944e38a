#include "engine/cpu/matmul.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <new>

#include "harness/base/check.h"

namespace assay {
namespace {

constexpr size_t kHugePage = size_t{2} << 20, kChunk = 32 * kHugePage;

// Values of k that f32 products take at once, and the runs in which their sums are taken, which
// keeps the sums' error low. All runs are about as long, because a short one costs more.
constexpr int64_t kMostF32Chunk = 256;
static_assert(kMostF32Chunk % DecodedBlock::kMaxValues == 0);

int64_t f32_chunk(const PackFormat& format, int64_t columns) {
  const int64_t block = format.quantized() ? format.quant.block_values : kSubBlock;
  const int64_t chunks = (columns + kMostF32Chunk - 1) / kMostF32Chunk;
  return (columns + chunks * block - 1) / (chunks * block) * block;
}

static_assert(kIntChunk % DecodedBlock::kMaxValues == 0);

// What a product of values k..k+values asks for: the same part of what comes next. Unpacking asks
// for it, too, but faster than memory answers.
std::span<const uint8_t> next_of(std::span<const PackedTile> tiles, int64_t k, int64_t values) {
  const int64_t columns = tiles[0].columns;
  const auto bytes = static_cast<int64_t>(tiles.size() * tiles[0].format.tile_bytes(columns));
  const int64_t first = bytes * k / columns / 64 * 64;
  return {tiles[0].data + tiles[0].ahead + first,
          static_cast<size_t>(bytes * (k + values) / columns - first)};
}

}  // namespace

void WeightArena::Free::operator()(uint8_t* at) const {
  ::operator delete (at, std::align_val_t{kHugePage});
}

uint8_t* WeightArena::allocate(size_t size_bytes) {
  size_bytes = (size_bytes + 63) / 64 * 64;
  if (size_bytes > capacity_ - used_) {
    capacity_ = (std::max(size_bytes, kChunk) + kHugePage - 1) / kHugePage * kHugePage;
    used_ = 0;
    void* chunk = ::operator new (capacity_, std::align_val_t{kHugePage});
    ::madvise(chunk, capacity_, MADV_HUGEPAGE);  // a hint: without it all works as well
    chunks_.emplace_back(static_cast<uint8_t*>(chunk));
  }
  uint8_t* at = chunks_.back().get() + used_;
  used_ += size_bytes;
  return at;
}

CpuWeight::CpuWeight(const Weight& weight, bool whole_numbers, WeightArena& arena, Team& team)
    : format_(pack_format(weight, whole_numbers, team)),
      rows_(weight.rows),
      columns_(weight.columns),
      tile_bytes_(format_.tile_bytes(weight.columns)),
      data_(arena.allocate(size_bytes(format_, rows_, columns_))) {
  const auto pack = [&] {
    std::atomic<bool> finite = true;
    team.for_each(tiles(), [&](int64_t index) {
      uint8_t* tile = data_ + index * tile_bytes_;
      if (!pack_tile(weight, format_, index * kTileColumns, tile)) finite = false;
    });
    return finite.load();
  };
  if (pack()) return;
  format_ = PackFormat(format_.dtype);
  tile_bytes_ = format_.tile_bytes(columns_);
  pack();
}

void CpuWeight::unpack_row(const CpuKernels& kernels, int64_t row, float* out) const {
  const int64_t index = row / kTileColumns, column = row % kTileColumns;
  if (format_.coded()) {
    for (int64_t k = 0; k < columns_; ++k)
      out[k] = coded_value(format_.code, tile(index), k, column);
    return;
  }
  if (format_.has_exponents()) {
    for (int64_t k = 0; k < columns_; ++k)
      out[k] = rounded_value(format_, tile(index), columns_, k, column);
    return;
  }
  alignas(64) thread_local float scratch[kMostF32Chunk * kTileColumns];
  const PackedTile packed{format_, tile(index), columns_, 0};
  for (int64_t k = 0; k < columns_; k += kMostF32Chunk) {
    const int64_t values = std::min(kMostF32Chunk, columns_ - k);
    const F32Tile unpacked = kernels.unpack_f32(packed, k, values, scratch);
    const int bytes = type_info(unpacked.dtype).bytes;
    const auto* at = static_cast<const uint8_t*>(unpacked.w) + column * bytes;
    for (int64_t i = 0; i < values; ++i) {
      dequantize(unpacked.dtype, at + i * kTileColumns * bytes, 1, out + k + i);
    }
  }
}

void Matmul::quantize(const float* x, int rows, const IntRows& to) {
  const auto one = [=, this, &to](int64_t r) { kernels_.quantize_row(x + r * to.columns, r, to); };
  if (rows < 4) {
    for (int r = 0; r < rows; ++r) one(r);
  } else {
    team_.for_each_row(rows, one);
  }
}

void Matmul::run(const float* x, int rows, std::span<const Product> products) {
  int64_t units = 0;
  bool any_int = false, any_bf16 = false;
  for (const Product& product : products) {
    const auto& weight = static_cast<const CpuWeight&>(*product.weight);
    units += units_of(weight);
    const IntRowsBuffer* takes = int_rows_for(weight);
    any_int = any_int || takes == &int_rows_;
    any_bf16 = any_bf16 || takes == &rows_for_bf16_;
  }
  const int64_t columns = products[0].weight->columns();
  const bool fixed16 = activations_ == Activations::kFixed16;
  if (any_int) quantize(x, rows, int_rows_.shape(rows, columns, fixed16));
  if (any_bf16) quantize(x, rows, rows_for_bf16_.shape(rows, columns, true, true));
  const size_t whole_tiles = size_t{kMaxTiles} * kTileColumns * rows * team_.threads();
  if (whole_tiles_.size() < whole_tiles) whole_tiles_.resize(whole_tiles);
  team_.for_each(units, [=, this](int64_t index, int thread) {
    for (const Product& product : products) {
      const int64_t count = units_of(static_cast<const CpuWeight&>(*product.weight));
      if (index < count) return run_unit(x, rows, product, index * unit_tiles(), thread);
      index -= count;
    }
  });
}

void Matmul::run_unit(const float* x, int rows, const Product& product, int64_t tile, int thread) {
  const auto& weight = static_cast<const CpuWeight&>(*product.weight);
  const auto tiles = static_cast<int>(std::min<int64_t>(unit_tiles(), weight.tiles() - tile));
  const int64_t first = tile * kTileColumns;
  const int64_t count = std::min<int64_t>(tiles * kTileColumns, weight.rows() - first);
  float* out = product.out + first;
  int64_t out_stride = weight.rows();
  const bool whole = count == tiles * kTileColumns;
  if (!whole) {  // the kernels write all columns of a tile
    out_stride = tiles * kTileColumns;
    out = whole_tiles_.data() + int64_t{thread} * rows * kMaxTiles * kTileColumns;
  }
  const auto tile_at = [&](int64_t index) {
    return PackedTile{weight.format(), weight.tile(index), weight.columns(),
                      weight.tile(tile + tiles) - weight.tile(tile)};
  };
  const PackedTile both[kMaxTiles] = {tile_at(tile), tile_at(tile + tiles - 1)};
  const std::span<const PackedTile> packed(both, static_cast<size_t>(tiles));
  if (const IntRowsBuffer* takes = int_rows_for(weight)) {
    product_int(packed, takes->rows(), rows, out, out_stride);
  } else {
    product_f32(packed, x, rows, out, out_stride);
  }
  for (int r = 0; r < rows; ++r) {
    float* row = product.out + r * weight.rows() + first;
    if (!whole) std::copy_n(out + r * out_stride, count, row);
    if (product.bias != nullptr) kernels_.add(row, product.bias + first, count);
  }
}

void Matmul::product_int(std::span<const PackedTile> tiles, const IntRows& x, int rows, float* out,
                         int64_t out_stride) const {
  thread_local IntScratch scratch[kMaxTiles];
  const int64_t columns = tiles[0].columns;
  const int64_t chunk = columns <= kMostIntValues ? columns : kIntChunk;
  for (int64_t k = 0; k < columns; k += chunk) {
    const int64_t values = std::min(chunk, columns - k);
    IntTile unpacked[kMaxTiles];
    for (size_t t = 0; t < tiles.size(); ++t) {
      unpacked[t] = kernels_.unpack_int(tiles[t], k, values, scratch[t]);
    }
    kernels_.product_int({unpacked, tiles.size()}, x, rows, k, values, out, out_stride, k > 0,
                         next_of(tiles, k, values));
  }
}

void Matmul::product_f32(std::span<const PackedTile> tiles, const float* x, int rows, float* out,
                         int64_t out_stride) const {
  alignas(64) thread_local float scratch[kMaxTiles][kMostF32Chunk * kTileColumns];
  const int64_t columns = tiles[0].columns;
  const int64_t chunk = f32_chunk(tiles[0].format, columns);
  for (int64_t k = 0; k < columns; k += chunk) {
    const int64_t values = std::min(chunk, columns - k);
    F32Tile unpacked[kMaxTiles];
    for (size_t t = 0; t < tiles.size(); ++t) {
      unpacked[t] = kernels_.unpack_f32(tiles[t], k, values, scratch[t]);
      if (unpacked[t].narrow() && rows > kF32Rows) unpacked[t].wide = scratch[t];
    }
    kernels_.product_f32({unpacked, tiles.size()}, x + k, columns, rows, values, out, out_stride,
                         k > 0, next_of(tiles, k, values));
  }
}

}  // namespace assay
