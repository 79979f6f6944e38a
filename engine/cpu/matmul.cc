#include "engine/cpu/matmul.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

#include "harness/base/check.h"

namespace assay {
namespace {

constexpr size_t kHugePage = size_t{2} << 20, kChunk = 32 * kHugePage;

// As kIntChunk, and the runs in which f32 sums are taken, which keeps those sums' error low.
constexpr int64_t kChunkF32 = 256;
static_assert(kIntChunk % DecodedBlock::kMaxValues == 0);
static_assert(kChunkF32 % DecodedBlock::kMaxValues == 0);

struct alignas(64) TileScratch {
  union {
    int16_t q[kIntChunk * kTileColumns];
    float w[kChunkF32 * kTileColumns];
  };
  float scales[kIntChunk / 16 * kTileColumns];
  float mins[kIntChunk / 16 * kTileColumns];
};

template <typename T>
void grow(std::vector<T>& buffer, size_t count) {
  if (buffer.size() < count) buffer.resize(count);
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

CpuWeight::CpuWeight(const Weight& weight, WeightArena& arena, Team& team)
    : format_(weight.dtype),
      rows_(weight.rows),
      columns_(weight.columns),
      tile_bytes_(format_.tile_bytes(weight.columns)),
      data_(arena.allocate(size_bytes())) {
  team.for_each(tiles(), [&](int64_t index) {
    pack_tile(weight, format_, index * kTileColumns, data_ + index * tile_bytes_);
  });
}

void Matmul::quantize(const float* x, int rows, int64_t columns) {
  const int64_t blocks = columns / kSubBlock, sums = IntRows::sums_of(columns);
  const bool exact_outliers = activations_ == Activations::kFixed16;
  const int limit = exact_outliers ? 32767 : 127;
  grow(whole_, static_cast<size_t>(rows * columns));
  grow(scales_, static_cast<size_t>(rows * blocks));
  grow(sums_, static_cast<size_t>(rows * sums));
  grow(outliers_, scales_.size());
  int_rows_ = {columns, whole_.data(), scales_.data(), sums_.data(), nullptr, nullptr};
  const int64_t chunks = int_rows_.chunks();
  grow(outlier_counts_, static_cast<size_t>(rows * chunks));
  if (exact_outliers) {
    int_rows_.outliers = outliers_.data();
    int_rows_.outlier_counts = outlier_counts_.data();
  }
  const auto one = [=, this](int64_t r) {
    kernels_.quantize_row(x + r * columns, columns, limit, whole_.data() + r * columns,
                          scales_.data() + r * blocks, sums_.data() + r * sums,
                          exact_outliers ? outliers_.data() + r * blocks : nullptr,
                          outlier_counts_.data() + r * chunks);
  };
  if (rows < 4) {
    for (int r = 0; r < rows; ++r) one(r);
  } else {
    team_.for_each(rows, one);
  }
}

void Matmul::run(const float* x, int rows, std::span<const Product> products) {
  int64_t tiles = 0;
  bool any_int = false;
  for (const Product& product : products) {
    const auto& weight = static_cast<const CpuWeight&>(*product.weight);
    tiles += weight.tiles();
    any_int = any_int || takes_int(weight);
  }
  if (any_int) quantize(x, rows, products[0].weight->columns());
  team_.for_each(tiles, [=, this](int64_t index) {
    for (const Product& product : products) {
      const int64_t count = static_cast<const CpuWeight&>(*product.weight).tiles();
      if (index < count) return run_tile(x, rows, product, index);
      index -= count;
    }
  });
}

void Matmul::run_tile(const float* x, int rows, const Product& product, int64_t tile) const {
  const auto& weight = static_cast<const CpuWeight&>(*product.weight);
  const PackFormat& format = weight.format();
  const int64_t columns = weight.columns(), first = tile * kTileColumns;
  const int64_t count = std::min<int64_t>(kTileColumns, weight.rows() - first);
  float* out = product.out + first;
  int64_t out_stride = weight.rows();
  if (count < kTileColumns) {  // the kernels write all sixteen columns
    thread_local std::vector<float> whole_tile;
    grow(whole_tile, static_cast<size_t>(rows) * kTileColumns);
    out = whole_tile.data();
    out_stride = kTileColumns;
  }
  thread_local TileScratch scratch;
  const uint8_t* packed = weight.tile(tile);
  if (takes_int(weight)) {
    const IntTile unpacked = {scratch.q, scratch.scales,
                              format.quant.has_min ? scratch.mins : nullptr, format.quant.group};
    for (int64_t k = 0; k < columns; k += kIntChunk) {
      const int64_t values = std::min(kIntChunk, columns - k);
      kernels_.unpack_int(format, packed, k, values, scratch.q, scratch.scales, scratch.mins);
      kernels_.product_int(unpacked, int_rows_, rows, k, values, out, out_stride, k > 0);
    }
  } else {
    for (int64_t k = 0; k < columns; k += kChunkF32) {
      const int64_t values = std::min(kChunkF32, columns - k);
      const float* w = scratch.w;
      if (format.dtype == DType::kF32) {
        w = reinterpret_cast<const float*>(packed) + k * kTileColumns;
      } else {
        kernels_.unpack_f32(format, packed, k, values, scratch.w);
      }
      kernels_.product_f32(w, kTileColumns, x + k, columns, rows, values, out, out_stride, k > 0);
    }
  }
  for (int r = 0; r < rows; ++r) {
    float* row = product.out + r * weight.rows() + first;
    if (count < kTileColumns) std::copy_n(out + r * kTileColumns, count, row);
    if (product.bias != nullptr) kernels_.add(row, product.bias + first, count);
  }
}

}  // namespace assay
