#include "engine/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/half.h"

namespace assay {
namespace {

// Query vectors that pass over a page together.
constexpr int kQueries = 48;

int64_t rows_together(int group) { return std::max(1, kQueries / group); }

int64_t whole_pages(int positions) { return (positions + kPageTokens - 1) / kPageTokens; }

}  // namespace

// Rows first..first+count-1 of a unit, which read the same pages begin..end-1; of the last one they
// see `last_tokens` positions.
struct CpuAttention::Segment {
  int first, count, begin, end, last_tokens;
  size_t pages;  // where they begin in Unit::pages
};

struct alignas(64) CpuAttention::Scratch {
  std::unique_ptr<float[]> floats;  // not touched, and so not taken, before it is needed
  size_t size = 0;
  std::vector<Segment> segments;
  std::vector<KvPage> pages;
};

// All queries of some rows on one KV head. Rows of samples of one question stand side by side and
// share their prompt's pages: such rows pass over them together.
struct CpuAttention::Unit {
  std::span<const BatchRow> rows;
  const KvLayout& kv;
  size_t layer_offset;
  int head;                         // KV head
  int group;                        // query heads of it
  int64_t stride;                   // of scores: positions, rounded up to whole pages
  float *queries, *scores, *mixed;  // [rows·group][head_dim], [..][stride], [..][kv.padded_dim()]
  float* totals;                    // 1 / the softmax's sum
  std::vector<Segment>& segments;
  std::vector<KvPage>& pages;

  KvPage page(int row, int index) const {
    const std::byte* layer = rows[row].pages[index] + layer_offset;
    const auto scales = [&](size_t offset) {
      const bool has_scales = kv.type == KvType::kFixed16;
      return has_scales ? reinterpret_cast<const float*>(layer + offset) : nullptr;
    };
    return {kv.type,
            layer + kv.keys(head),
            layer + kv.values(head),
            scales(kv.key_scales(head)),
            scales(kv.value_scales(head)),
            0};
  }
  // Positions of page `index` that the row sees.
  int tokens(int row, int index) const {
    return std::clamp(rows[row].position + 1 - index * kPageTokens, 0, kPageTokens);
  }
  bool see_the_same(int a, int b, int index) const {
    return tokens(a, index) == tokens(b, index) && rows[a].pages[index] == rows[b].pages[index];
  }

  // Adds the segments of rows first..end-1 from page `begin` on, the longest first pages together.
  void add_segments(int first, int end, int begin) const {
    if (tokens(first, begin) == 0) return;
    int index = begin;
    const auto all_see_it = [&] {
      if (tokens(first, index) == 0) return false;
      for (int row = first + 1; row < end; ++row) {
        if (!see_the_same(first, row, index)) return false;
      }
      return true;
    };
    while (all_see_it()) ++index;
    if (index > begin) {
      segments.push_back(
          {first, end - first, begin, index, tokens(first, index - 1), pages.size()});
      for (int i = begin; i < index; ++i) pages.push_back(page(first, i));
    }
    for (int row = first; row < end;) {
      int next = row + 1;
      if (tokens(row, index) > 0) {
        while (next < end && tokens(next, index) > 0 && see_the_same(row, next, index)) ++next;
        add_segments(row, next, index);
      }
      row = next;
    }
  }
  std::span<const KvPage> pages_of(const Segment& segment) const {
    return {pages.data() + segment.pages, static_cast<size_t>(segment.end - segment.begin)};
  }
  float* scores_of(const Segment& segment) const {
    return scores + int64_t{segment.first} * group * stride + segment.begin * kPageTokens;
  }
};

CpuAttention::CpuAttention(const CpuKernels& kernels, Team& team)
    : kernels_(kernels),
      team_(team),
      scratch_(std::make_unique<Scratch[]>(static_cast<size_t>(team.threads()))) {}

CpuAttention::~CpuAttention() = default;

// For every thread at once, since chance decides which of them takes the largest unit.
void CpuAttention::make_room(std::span<const BatchRow> rows, int group, const KvLayout& kv) {
  for (const BatchRow& row : rows) reserve(row.position + 1);
  const int64_t count = rows_together(group), pages = whole_pages(most_positions_);
  const auto size = static_cast<size_t>(count * group *
                                        (kv.head_dim + pages * kPageTokens + kv.padded_dim() + 1));
  for (int thread = 0; thread < team_.threads(); ++thread) {
    Scratch& scratch = scratch_[thread];
    if (size <= scratch.size) continue;
    scratch.floats = std::make_unique_for_overwrite<float[]>(size);
    scratch.size = size;
    scratch.segments.reserve(static_cast<size_t>(2 * count));  // a tree with the rows as leaves
    scratch.pages.reserve(static_cast<size_t>(count * pages));
  }
}

void CpuAttention::store(const float* k, const float* v, const BatchRow& row, int head,
                         const KvLayout& kv, size_t layer_offset) const {
  std::byte* layer = row.pages[row.position / kPageTokens] + layer_offset;
  const int dim = kv.head_dim, slot = row.position % kPageTokens;
  if (kv.type == KvType::kF32) {
    auto* keys = reinterpret_cast<float*>(layer + kv.keys(head));
    for (int d = 0; d < dim; ++d) keys[d * kPageTokens + slot] = k[d];
    std::copy_n(v, dim, reinterpret_cast<float*>(layer + kv.values(head)) + slot * kv.padded_dim());
    return;
  }
  if (kv.type == KvType::kBF16) {
    auto* bf16_keys = reinterpret_cast<uint16_t*>(layer + kv.keys(head));
    auto* bf16_values = reinterpret_cast<uint16_t*>(layer + kv.values(head));
    for (int d = 0; d < dim; ++d) {
      bf16_keys[d * kPageTokens + slot] = float_to_bf16(k[d]);
      bf16_values[slot * kv.padded_dim() + d] = float_to_bf16(v[d]);
    }
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

void CpuAttention::run(const float* q, std::span<const BatchRow> rows, int heads,
                       const KvLayout& kv, size_t layer_offset, float* out) {
  const int group = heads / kv.kv_heads, dim = kv.head_dim;
  const auto count = static_cast<int64_t>(rows.size());
  make_room(rows, group, kv);
  int64_t block = rows_together(group);
  // Small units when there are many threads to share them.
  block = std::clamp<int64_t>(count * kv.kv_heads / (int64_t{2} * team_.threads()), 1, block);
  const int64_t blocks = (count + block - 1) / block;
  team_.for_each(blocks * kv.kv_heads, [&](int64_t task, int thread) {
    const int64_t first = task / kv.kv_heads * block;
    const int head = static_cast<int>(task % kv.kv_heads);
    const auto own = rows.subspan(static_cast<size_t>(first),
                                  static_cast<size_t>(std::min(block, count - first)));
    int last = 0;
    for (const BatchRow& row : own) last = std::max(last, row.position);
    const int64_t stride = whole_pages(last + 1) * kPageTokens;
    const int padded = kv.padded_dim();
    const size_t vectors = own.size() * group;
    Scratch& scratch = scratch_[thread];
    std::vector<Segment>& segments = scratch.segments;
    std::vector<KvPage>& pages = scratch.pages;
    float* memory = scratch.floats.get();
    float* scores = memory + vectors * dim;
    float* mixed = scores + vectors * stride;
    const Unit unit = {own,      kv,     layer_offset, head,  group,
                       stride,   memory, scores,       mixed, mixed + vectors * padded,
                       segments, pages};
    segments.clear();
    pages.clear();
    unit.add_segments(0, static_cast<int>(own.size()), 0);
    for (size_t i = 0; i < pages.size(); ++i)
      pages[i].left = static_cast<int>(pages.size() - 1 - i);
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
  for (const Segment& segment : unit.segments) {
    kernels_.score_pages(unit.pages_of(segment), unit.queries + segment.first * group * dim,
                         segment.count * group, dim, unit.scores_of(segment), unit.stride);
  }
}

// mixed[i] = Σ_t p[i][t] · v[t], in order of t
void CpuAttention::mix(const Unit& unit) const {
  const int padded = unit.kv.padded_dim(), group = unit.group;
  for (const Segment& segment : unit.segments) {
    kernels_.mix_pages(unit.pages_of(segment), unit.scores_of(segment), unit.stride,
                       segment.count * group, padded, segment.last_tokens,
                       unit.mixed + segment.first * group * padded, segment.begin > 0);
  }
}

}  // namespace assay
