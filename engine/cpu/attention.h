// Causal attention over the paged KV cache.
#pragma once

#include <algorithm>
#include <memory>
#include <span>

#include "engine/cpu/kernels.h"
#include "engine/cpu/team.h"
#include "engine/ops.h"

namespace assay {

class CpuAttention {
 public:
  CpuAttention(const CpuKernels& kernels, Team& team);
  ~CpuAttention();

  // Ops::reserve
  void reserve(int positions) { most_positions_ = std::max(most_positions_, positions); }
  // Writes a row's key and value of one KV head, [head_dim] each, into its page.
  void store(const float* k, const float* v, const BatchRow& row, int head, const KvLayout& kv,
             size_t layer_offset) const;
  void run(const float* q, std::span<const BatchRow> rows, int heads, const KvLayout& kv,
           size_t layer_offset, float* out);

 private:
  struct Segment;
  struct Unit;
  struct Scratch;

  void make_room(std::span<const BatchRow> rows, int group, const KvLayout& kv);
  void attend(const Unit& unit) const;
  void score(const Unit& unit) const;
  void mix(const Unit& unit) const;

  const CpuKernels& kernels_;
  Team& team_;
  int most_positions_ = 0;
  std::unique_ptr<Scratch[]> scratch_;  // of each thread
};

}  // namespace assay
