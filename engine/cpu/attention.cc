#include "engine/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace assay {
namespace {

// Query vectors that pass over a page together.
constexpr int kQueries = 48;

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
  int64_t stride;                   // of scores: positions, rounded up to whole pages
  float *queries, *scores, *mixed;  // [rows·group][head_dim], [..][stride], [..][kv.padded_dim()]
  float* totals;                    // 1 / the softmax's sum

  int pages() const { return static_cast<int>(stride / kPageTokens); }
  const std::byte* layer(size_t row, int index) const {
    return rows[row].pages[index] + layer_offset;
  }
  KvPage page(const std::byte* layer) const {
    const auto scales = [&](size_t offset) {
      return kv.type == KvType::kF32 ? nullptr : reinterpret_cast<const float*>(layer + offset);
    };
    return {layer + kv.keys(head), layer + kv.values(head), scales(kv.key_scales(head)),
            scales(kv.value_scales(head))};
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
    std::copy_n(v, dim, reinterpret_cast<float*>(layer + kv.values(head)) + slot * kv.padded_dim());
    return;
  }
  auto* keys = reinterpret_cast<int16_t*>(layer + kv.keys(head));
  auto* values = reinterpret_cast<int16_t*>(layer + kv.values(head)) + slot * kv.padded_dim();
  auto* key_scales = reinterpret_cast<float*>(layer + kv.key_scales(head)) + slot;
  auto* value_scales = reinterpret_cast<float*>(layer + kv.value_scales(head)) + slot;
  for (int start = 0; start < dim; start += kKvGroup) {
    const int count = std::min(kKvGroup, dim - start), group = start / kKvGroup;
    int16_t whole[kKvGroup];
    key_scales[group * kPageTokens] = kernels_.to_fixed16(k + start, count, whole);
    for (int d = 0; d < count; ++d) keys[(start + d) * kPageTokens + slot] = whole[d];
    value_scales[group * kPageTokens] = kernels_.to_fixed16(v + start, count, values + start);
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
    const int padded = kv.padded_dim();
    const size_t vectors = own.size() * group;
    thread_local std::vector<float> scratch;
    float* memory = at_least(scratch, vectors * (dim + stride + padded + 1));
    float* scores = memory + vectors * dim;
    float* mixed = scores + vectors * stride;
    const Unit unit = {own,    kv,     layer_offset, head,  group,
                       stride, memory, scores,       mixed, mixed + vectors * padded};
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
  const int padded = unit.kv.padded_dim();
  for (size_t i = 0; i < vectors; ++i) {
    float* row = unit.mixed + i * padded;
    for (int d = 0; d < padded; ++d) row[d] *= unit.totals[i];
  }
}

// scores[i][t] = q[i] · k[t]
void CpuAttention::score(const Unit& unit) const {
  const int dim = unit.kv.head_dim, group = unit.group;
  for (int index = 0; index < unit.pages(); ++index) {
    unit.for_each_run(index, unit.kv.keys(unit.head),
                      [&](size_t first, size_t count, int, const std::byte* layer) {
                        kernels_.score_page(unit.page(layer), unit.queries + first * group * dim,
                                            static_cast<int>(count) * group, dim,
                                            unit.scores_of(first, index), unit.stride);
                      });
  }
}

// mixed[i] = Σ_t p[i][t] · v[t], in order of t
void CpuAttention::mix(const Unit& unit) const {
  const int padded = unit.kv.padded_dim(), group = unit.group;
  for (int index = 0; index < unit.pages(); ++index) {
    unit.for_each_run(index, unit.kv.values(unit.head),
                      [&](size_t first, size_t count, int tokens, const std::byte* layer) {
                        kernels_.mix_page(unit.page(layer), unit.scores_of(first, index),
                                          unit.stride, static_cast<int>(count) * group, padded,
                                          tokens, unit.mixed + first * group * padded, index > 0);
                      });
  }
}

}  // namespace assay
