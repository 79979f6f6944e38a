#include "engine/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace assay {
namespace {

// Query vectors that pass over a page together.
constexpr int kQueries = 48;

// x ≈ scale · whole; returns the scale, which is not a number if a value is not finite.
float to_fixed16(const float* x, int count, int16_t* whole) {
  float most = 0, bad = 0;
  for (int i = 0; i < count; ++i) {
    most = std::max(most, std::abs(x[i]));
    bad += x[i] - x[i];
  }
  const bool some = bad == 0 && most > 1e-30f;
  const float inverse = some ? 32767.0f / most : 0.0f;
  for (int i = 0; i < count; ++i) {
    whole[i] = some ? static_cast<int16_t>(std::nearbyint(x[i] * inverse)) : int16_t{0};
  }
  return bad != 0 ? NAN : some ? most / 32767.0f : 0.0f;
}

float* at_least(std::vector<float>& buffer, size_t count) {
  if (buffer.size() < count) buffer.resize(std::max(count, 2 * buffer.size()));
  return buffer.data();
}

}  // namespace

// All queries of some rows on one KV head. Rows of samples of one question stand side by side and
// share their prompt's pages: such a run of rows passes over a page together.
struct CpuAttention::Unit {
  std::span<const BatchRow> rows;
  const KvLayout& kv;
  size_t layer_offset;
  int head;                         // KV head
  int group;                        // query heads of it
  int padded_dim;                   // head_dim, rounded up to whole tiles
  int64_t stride;                   // of scores: positions, rounded up to whole pages
  float *queries, *scores, *mixed;  // [rows·group][head_dim], [..][stride], [..][padded_dim]
  float *page, *totals;             // widened keys or values; 1 / the softmax's sum

  int pages() const { return static_cast<int>(stride / kPageTokens); }
  const std::byte* layer(size_t row, int index) const {
    return rows[row].pages[index] + layer_offset;
  }
  // Positions of page `index` that the row sees.
  int tokens(size_t row, int index) const {
    return std::clamp(rows[row].position + 1 - index * kPageTokens, 0, kPageTokens);
  }
  float* scores_of(size_t row, int index) const {
    return scores + row * group * stride + int64_t{index} * kPageTokens;
  }

  // Calls body(first row, rows, tokens, page) for each run of rows that see the same positions of
  // the same page `index`; asks for what the next run will read, `offset` bytes into its page.
  template <typename Body>
  void for_each_run(int index, size_t offset, const Body& body) const {
    for (size_t first = 0; first < rows.size();) {
      const int count = tokens(first, index);
      size_t end = first + 1;
      if (count > 0) {
        const std::byte* page_bytes = layer(first, index);
        while (end < rows.size() && tokens(end, index) == count &&
               layer(end, index) == page_bytes) {
          ++end;
        }
        if (end < rows.size() && tokens(end, index) > 0) {
          const std::byte* next = layer(end, index) + offset;
          for (size_t at = 0; at < kv.head_bytes(); at += 64) __builtin_prefetch(next + at);
        }
        body(first, end - first, count, page_bytes);
      }
      first = end;
    }
  }
};

void CpuAttention::store_row(const float* k, const float* v, const BatchRow& row, int head,
                             const KvLayout& kv, size_t layer_offset) const {
  std::byte* layer = row.pages[row.position / kPageTokens] + layer_offset;
  const int dim = kv.head_dim, slot = row.position % kPageTokens;
  if (kv.type == KvType::kF32) {
    auto* keys = reinterpret_cast<float*>(layer + kv.keys(head));
    for (int d = 0; d < dim; ++d) keys[d * kPageTokens + slot] = k[d];
    std::copy_n(v, dim, reinterpret_cast<float*>(layer + kv.values(head)) + slot * dim);
    return;
  }
  const auto group_scales = [&](size_t offset) { return reinterpret_cast<float*>(layer + offset); };
  auto* keys = reinterpret_cast<int16_t*>(layer + kv.keys(head));
  auto* values = reinterpret_cast<int16_t*>(layer + kv.values(head)) + slot * dim;
  for (int start = 0; start < dim; start += kKvGroup) {
    const int count = std::min(kKvGroup, dim - start), group = start / kKvGroup;
    int16_t whole[kKvGroup];
    group_scales(kv.key_scales(head))[group * kPageTokens + slot] =
        to_fixed16(k + start, count, whole);
    for (int d = 0; d < count; ++d) keys[(start + d) * kPageTokens + slot] = whole[d];
    group_scales(kv.value_scales(head))[slot * kv.groups() + group] =
        to_fixed16(v + start, count, values + start);
  }
}

void CpuAttention::store(const float* k, const float* v, std::span<const BatchRow> rows,
                         const KvLayout& kv, size_t layer_offset) {
  const auto one = [=, this, &kv](int64_t r) {
    for (int h = 0; h < kv.kv_heads; ++h) {
      const int64_t from = (r * kv.kv_heads + h) * kv.head_dim;
      store_row(k + from, v + from, rows[r], h, kv, layer_offset);
    }
  };
  if (rows.size() < 8) {
    for (size_t r = 0; r < rows.size(); ++r) one(static_cast<int64_t>(r));
  } else {
    team_.for_each(static_cast<int64_t>(rows.size()), one);
  }
}

void CpuAttention::run(const float* q, std::span<const BatchRow> rows, int heads,
                       const KvLayout& kv, size_t layer_offset, float* out) {
  const int group = heads / kv.kv_heads, dim = kv.head_dim;
  const auto count = static_cast<int64_t>(rows.size());
  int64_t block = std::max(1, kQueries / group);
  // Small units when there are many threads to share them.
  block = std::clamp<int64_t>(count * kv.kv_heads / (int64_t{2} * team_.threads()), 1, block);
  const int64_t blocks = (count + block - 1) / block;
  team_.for_each(blocks * kv.kv_heads, [&](int64_t task) {
    const int64_t first = task / kv.kv_heads * block;
    const int head = static_cast<int>(task % kv.kv_heads);
    const auto own = rows.subspan(static_cast<size_t>(first),
                                  static_cast<size_t>(std::min(block, count - first)));
    int last = 0;
    for (const BatchRow& row : own) last = std::max(last, row.position);
    const int64_t stride = (last / kPageTokens + 1) * kPageTokens;
    const int padded = (dim + kTileColumns - 1) / kTileColumns * kTileColumns;
    const size_t vectors = own.size() * group;
    thread_local std::vector<float> scratch;
    float* memory = at_least(scratch, vectors * (dim + stride + padded + 1) + kPageTokens * padded);
    float* scores = memory + vectors * dim;
    float* mixed = scores + vectors * stride;
    float* page = mixed + vectors * padded;
    const Unit unit = {own,    kv,     layer_offset, head,  group, padded,
                       stride, memory, scores,       mixed, page,  page + kPageTokens * padded};
    const auto head_at = [&](size_t r) { return ((first + r) * heads + head * group) * dim; };
    for (size_t r = 0; r < own.size(); ++r) {
      std::copy_n(q + head_at(r), group * dim, unit.queries + r * group * dim);
    }
    attend(unit);
    for (size_t r = 0; r < own.size(); ++r) {
      for (int g = 0; g < group; ++g) {
        std::copy_n(mixed + (r * group + g) * padded, dim, out + head_at(r) + g * dim);
      }
    }
  });
}

void CpuAttention::attend(const Unit& unit) const {
  score(unit);
  const float factor = 1.0f / std::sqrt(static_cast<float>(unit.kv.head_dim));
  const size_t vectors = unit.rows.size() * unit.group;
  for (size_t i = 0; i < vectors; ++i) {
    float* p = unit.scores + i * unit.stride;
    const int64_t length = int64_t{unit.rows[i / unit.group].position} + 1;
    unit.totals[i] =
        static_cast<float>(1.0 / kernels_.exp_sum(p, length, kernels_.max(p, length), factor, p));
  }
  mix(unit);
  for (size_t i = 0; i < vectors; ++i) {
    float* row = unit.mixed + i * unit.padded_dim;
    for (int d = 0; d < unit.padded_dim; ++d) row[d] *= unit.totals[i];
  }
}

// scores[i][t] = q[i] · k[t]
void CpuAttention::score(const Unit& unit) const {
  const KvLayout& kv = unit.kv;
  const int dim = kv.head_dim, group = unit.group;
  for (int index = 0; index < unit.pages(); ++index) {
    const std::byte* widened = nullptr;
    unit.for_each_run(
        index, kv.keys(unit.head), [&](size_t first, size_t count, int, const std::byte* layer) {
          const auto* keys = reinterpret_cast<const float*>(layer + kv.keys(unit.head));
          if (kv.type == KvType::kFixed16) {
            keys = unit.page;
            if (widened != layer) {
              kernels_.widen_keys(reinterpret_cast<const int16_t*>(layer + kv.keys(unit.head)),
                                  reinterpret_cast<const float*>(layer + kv.key_scales(unit.head)),
                                  dim, unit.page);
            }
            widened = layer;
          }
          float* scores = unit.scores_of(first, index);
          const int vectors = static_cast<int>(count) * group;
          kernels_.product_f32(keys, kPageTokens, unit.queries + first * group * dim, dim, vectors,
                               dim, scores, unit.stride, false);
        });
  }
}

// mixed[i] = Σ_t p[i][t] · v[t], in order of t
void CpuAttention::mix(const Unit& unit) const {
  const KvLayout& kv = unit.kv;
  const int dim = kv.head_dim, padded = unit.padded_dim, group = unit.group;
  for (int index = 0; index < unit.pages(); ++index) {
    const std::byte* widened = nullptr;
    unit.for_each_run(
        index, kv.values(unit.head),
        [&](size_t first, size_t count, int tokens, const std::byte* layer) {
          const std::byte* stored = layer + kv.values(unit.head);
          const auto* values = reinterpret_cast<const float*>(stored);
          const auto* scales = reinterpret_cast<const float*>(layer + kv.value_scales(unit.head));
          if (kv.type == KvType::kFixed16 || padded != dim) {
            for (int t = 0; t < kPageTokens && widened != layer; ++t) {
              if (kv.type == KvType::kF32) {
                std::copy_n(values + t * dim, dim, unit.page + t * padded);
              } else {
                kernels_.widen_value(reinterpret_cast<const int16_t*>(stored) + t * dim,
                                     scales + t * kv.groups(), dim, unit.page + t * padded);
              }
            }
            widened = layer;
            values = unit.page;
          }
          const float* p = unit.scores_of(first, index);
          const int vectors = static_cast<int>(count) * group;
          for (int d = 0; d < padded; d += kTileColumns) {
            kernels_.product_f32(values + d, padded, p, unit.stride, vectors, tokens,
                                 unit.mixed + first * group * padded + d, padded, index > 0);
          }
        });
  }
}

}  // namespace assay
