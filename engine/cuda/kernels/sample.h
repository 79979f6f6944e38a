// Sampling, a block a row. The kept set (Ops::sample says which) is found as a threshold: the
// weight of its least entry, by bisection of the bit patterns, and how many of the equal ones
// count, in order of id. The few entries that can be in it are gathered first, if they are few.
#pragma once

#include "engine/cuda/device.h"
#include "engine/cuda/kernels.h"
#include "engine/cuda/kernels/softmax.h"

namespace assay::ASSAY_KERNELS {

struct Kept {
  uint32_t least;  // bits of the least weight that is kept
  int equal;       // so many entries of that weight are, the lowest ids
};

// Entries in order of id: a whole row, or those of it that were gathered.
struct RowEntries {
  Global<const float> weights;
  int count;
  __device__ float weight(int i) const { return weights[i]; }
  __device__ int id(int i) const { return i; }
};
struct ListEntries {
  Shared<float> weights;
  Shared<int> ids;
  int count;
  __device__ float weight(int i) const { return weights[i]; }
  __device__ int id(int i) const { return ids[i]; }
};

// Who works on the entries: the block on a row, one warp on a list.
struct BlockTeam {
  static constexpr int kSize = kSampleThreads;
  Shared<double> lanes;
  __device__ int own() const { return static_cast<int>(threadIdx.x); }
  __device__ double sum(double value) const { return sum_of_block(value, lanes); }
};
struct WarpTeam {
  static constexpr int kSize = 32;
  __device__ int own() const { return static_cast<int>(threadIdx.x % 32); }
  __device__ double sum(double value) const {
    for (int apart = 16; apart > 0; apart /= 2) value += __shfl_xor_sync(~0u, value, apart);
    return value;
  }
};

// Where `enough(mass, count)` of the entries above or at a weight first holds, from the best down.
// It holds at `low`, or for no weight; not at `high`.
template <typename Team, typename Entries, typename Enough>
__device__ Kept find_least(const Team& team, const Entries& entries, Kept known, uint32_t low,
                           uint32_t high, Enough enough) {
  // Sums over entries that are kept so far and whose bits are at least `floor`.
  const auto measure = [&](uint32_t floor, double& mass, double& number) {
    double own_mass = 0, own_number = 0;
    for (int i = team.own(); i < entries.count; i += Team::kSize) {
      const float weight = entries.weight(i);
      const uint32_t bits = __float_as_uint(weight);
      if (bits < floor || bits <= known.least) continue;
      own_mass += static_cast<double>(weight);
      own_number += 1;
    }
    mass = team.sum(own_mass);
    number = team.sum(own_number);
    if (floor <= known.least) {
      mass += static_cast<double>(__uint_as_float(known.least)) * known.equal;
      number += known.equal;
    }
  };
  if (low < known.least) low = known.least;
  while (high - low > 1) {
    const uint32_t middle = low + (high - low) / 2;
    double mass, number;
    measure(middle, mass, number);
    if (enough(mass, number)) {
      low = middle;
    } else {
      high = middle;
    }
  }
  double above_mass, above_number, mass, number;
  measure(low + 1, above_mass, above_number);
  measure(low, mass, number);
  const double weight = static_cast<double>(__uint_as_float(low));
  const int equal = static_cast<int>(number - above_number);
  // The fewest of the equal ones that are enough.
  int least = 1, most = equal > 1 ? equal : 1;
  while (least < most) {
    const int middle = (least + most) / 2;
    if (enough(above_mass + weight * middle, above_number + middle)) {
      most = middle;
    } else {
      least = middle + 1;
    }
  }
  return {low, least};
}

// What of a row lies before the entries that are looked at: their mass, and how many are as heavy
// as the least that is kept.
struct Before {
  double mass;
  int equal;
};

// A warp's entries `begin` to `end` behind what lies before them: visits the kept ones of 32 at a
// time, in order of id.
template <typename Entries, typename Visit>
__device__ void over_kept(const Entries& entries, int begin, int end, const Kept& kept,
                          uint32_t floor, int equal_before, Visit visit) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const uint32_t below = (1u << lane) - 1;
  for (int first = begin; first < end; first += 32) {
    const int i = first + lane;
    const float weight = i < end ? entries.weight(i) : 0.0f;
    const uint32_t bits = __float_as_uint(weight);
    const bool is_equal = i < end && bits == kept.least;
    const uint32_t equals = __ballot_sync(~0u, is_equal ? 1 : 0);
    const bool is_kept =
        i < end && bits >= floor &&
        (bits > kept.least || (is_equal && equal_before + __popc(equals & below) < kept.equal));
    equal_before += __popc(equals);
    if (visit(i, is_kept ? static_cast<double>(weight) : 0.0, is_kept)) return;
  }
}

// The mass of a warp's entries that are kept.
template <typename Entries>
__device__ double mass_of_kept(const Entries& entries, int begin, int end, const Kept& kept,
                               uint32_t floor, int equal_before) {
  double mass = 0;
  over_kept(entries, begin, end, kept, floor, equal_before, [&](int, double weight, bool) {
    mass += weight;
    return false;
  });
  return WarpTeam().sum(mass);
}

// The id of the entry at which the running total of the kept ones passes `target`, else of the last
// one; a warp's work.
template <typename Entries>
__device__ int draw_of_warp(const Entries& entries, int begin, int end, const Kept& kept,
                            uint32_t floor, Before before, double target) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  int last = -1;
  over_kept(entries, begin, end, kept, floor, before.equal, [&](int i, double weight, bool is) {
    double passed = weight;
    for (int apart = 1; apart < 32; apart *= 2) {
      const double lower = __shfl_up_sync(~0u, passed, apart);
      if (lane >= apart) passed += lower;
    }
    passed += before.mass;
    const uint32_t over = __ballot_sync(~0u, is && passed > target ? 1 : 0);
    const uint32_t chosen = over != 0 ? over & (0u - over) : __ballot_sync(~0u, is ? 1 : 0);
    if (chosen != 0) last = i - lane + 31 - __clz(static_cast<int>(chosen));
    before.mass = __shfl_sync(~0u, passed, 31);
    return over != 0;
  });
  return last < 0 ? -1 : entries.id(last);
}

// Draws with probability proportional to the weights of the kept entries, in order of id.
__device__ inline int draw(const WarpTeam&, const ListEntries& entries, const Kept& kept,
                           uint32_t floor, double uniform, Shared<double>, Shared<int>,
                           Shared<int>) {
  const double all = mass_of_kept(entries, 0, entries.count, kept, floor, 0);
  return draw_of_warp(entries, 0, entries.count, kept, floor, {0, 0}, uniform * all);
}

// Of a row, a part for each warp; then the part that the target is in once more; then its part.
__device__ inline int draw(const BlockTeam&, const RowEntries& entries, const Kept& kept,
                           uint32_t floor, double uniform, Shared<double> masses,
                           Shared<int> numbers, Shared<int> result) {
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  int begin = 0, end = entries.count;
  Before before{0, 0};
  double target = 0;
  for (int level = 0; level < 2; ++level) {
    const int share = ((end - begin + kSampleWarps - 1) / kSampleWarps + 31) / 32 * 32;
    const int own_begin = begin + warp * share < end ? begin + warp * share : end;
    const int own_end = own_begin + share < end ? own_begin + share : end;
    int equal = 0;
    for (int i = own_begin + lane; i < own_end; i += 32) {
      if (__float_as_uint(entries.weight(i)) == kept.least) ++equal;
    }
    for (int apart = 16; apart > 0; apart /= 2) equal += __shfl_xor_sync(~0u, equal, apart);
    __syncthreads();
    if (lane == 0) numbers[warp] = equal;
    __syncthreads();
    int equal_before = before.equal;
    for (int w = 0; w < warp; ++w) equal_before += numbers[w];
    const double mass = mass_of_kept(entries, own_begin, own_end, kept, floor, equal_before);
    if (lane == 0) masses[warp] = mass;
    __syncthreads();
    if (level == 0) {
      double all = 0;
      for (int w = 0; w < kSampleWarps; ++w) all += masses[w];
      target = uniform * all;
    }
    // The first part that passes the target, else the last that has any of it.
    double passed = before.mass, passed_before = before.mass;
    int found = 0;
    for (int w = 0; w < kSampleWarps; ++w) {
      if (masses[w] == 0) continue;
      found = w;
      passed_before = passed;
      passed += masses[w];
      if (passed > target) break;
    }
    before.mass = passed_before;
    for (int w = 0; w < found; ++w) before.equal += numbers[w];
    begin = begin + found * share < end ? begin + found * share : end;
    end = begin + share < end ? begin + share : end;
  }
  if (warp == 0) {
    const int token = draw_of_warp(entries, begin, end, kept, floor, before, target);
    if (lane == 0) result[0] = token;
  }
  __syncthreads();
  return result[0];
}

// Entries whose bits are at least a floor, in order of id; there are at most kListed.
constexpr int kListed = 3072;
__device__ inline void gather_list(Global<const float> weights, int count, uint32_t floor,
                                   Shared<float> list, Shared<int> ids, Shared<int> numbers) {
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const int share = ((count + kSampleWarps - 1) / kSampleWarps + 31) / 32 * 32;
  const int begin = warp * share, end = begin + share < count ? begin + share : count;
  int own = 0;
  for (int i = begin + lane; i < end; i += 32) {
    if (__float_as_uint(weights[i]) >= floor) ++own;
  }
  for (int apart = 16; apart > 0; apart /= 2) own += __shfl_xor_sync(~0u, own, apart);
  __syncthreads();
  if (lane == 0) numbers[warp] = own;
  __syncthreads();
  int at = 0;
  for (int w = 0; w < warp; ++w) at += numbers[w];
  if (own > 0) {
    for (int first = begin; first < end; first += 32) {
      const int i = first + lane;
      const float weight = i < end ? weights[i] : 0.0f;
      const bool listed = i < end && __float_as_uint(weight) >= floor;
      const uint32_t lanes = __ballot_sync(~0u, listed ? 1 : 0);
      if (listed) {
        const int to = at + __popc(lanes & ((1u << lane) - 1));
        list[to] = weight;
        ids[to] = i;
      }
      at += __popc(lanes);
    }
  }
  __syncthreads();
}

// Powers of two, as bits: what of a row is at least as heavy is measured in one pass.
constexpr int kFloors = 6;
__device__ inline uint32_t floor_bits(int i) {
  return i < 0 ? 0x3F800001u : 0x3F800000u - (static_cast<uint32_t>(3 * i + 2) << 23);
}

// report: sample threads 1024 shared 0 occupancy 50
__global__ void __launch_bounds__(kSampleThreads)
    sample(Global<const float> logits, Global<const CudaSampleRow> rows, int vocab_size,
           Global<float> all_weights, Global<float> all_blocks, Global<CudaSampled> out) {
  ASSAY_SHARED(float, lanes, kSampleWarps);
  ASSAY_SHARED(double, sums, kSampleWarps);
  ASSAY_SHARED(int, numbers, kSampleWarps);
  ASSAY_SHARED(int, result, 1);
  ASSAY_SHARED(float, list, kListed);
  ASSAY_SHARED(int, ids, kListed);
  const int64_t row = blockIdx.x;
  const Global<const float> x = logits + row * vocab_size;
  const Global<float> weights = all_weights + row * vocab_size;
  const Global<float> blocks = all_blocks + row * ((vocab_size + kExpBlock - 1) / kExpBlock);
  const CudaSampleRow params = rows[row];

  const float best = max_of_row(x, vocab_size, lanes);
  const double untempered = exp_sum(x, vocab_size, best, 1.0f, weights, blocks);
  if (!(best < 3.4e38f && best > -3.4e38f) || !(untempered < 1e300)) {
    if (threadIdx.x == 0) out[row] = CudaSampled{-1, 0, 0};
    return;
  }
  int token = -1;  // the first thread needs it
  if (params.temperature_factor == 0) {
    token = first_of(x, vocab_size, best, numbers);
  } else {
    double total = untempered;
    if (params.temperature_factor != 1) {
      total = exp_sum(x, vocab_size, best, params.temperature_factor, weights, blocks);
    }
    const double wanted = params.top_k < vocab_size ? params.top_k : vocab_size;
    const uint32_t min_p_floor = params.min_p > 0 ? __float_as_uint(params.min_p) : 0;
    // Cuts the entries down and draws; enough of them are at or above `low`, not at `high`.
    const auto choose = [&](const auto& team, const auto& entries, uint32_t low, uint32_t high) {
      Kept kept{0, vocab_size};
      if (params.top_k > 0) {
        kept = find_least(team, entries, kept, low, high,
                          [&](double, double number) { return number >= wanted; });
        double mass = 0;
        for (int i = team.own(); i < entries.count; i += team.kSize) {
          const float weight = entries.weight(i);
          if (__float_as_uint(weight) > kept.least) mass += static_cast<double>(weight);
        }
        total = team.sum(mass) + static_cast<double>(__uint_as_float(kept.least)) * kept.equal;
        low = kept.least, high = floor_bits(-1);
      }
      if (params.top_p < 1) {
        const double needed = params.top_p * total;
        kept = find_least(team, entries, kept, low, high,
                          [&](double mass, double) { return mass >= needed; });
      }
      return draw(team, entries, kept, min_p_floor, params.uniform, sums, numbers, result);
    };
    uint32_t low = 0, high = floor_bits(-1);
    double listed = vocab_size;
    if (params.top_k > 0 || params.top_p < 1) {
      double own_masses[kFloors] = {}, own_numbers[kFloors] = {};
      for (int i = static_cast<int>(threadIdx.x); i < vocab_size; i += kSampleThreads) {
        const float weight = weights[i];
        if (__float_as_uint(weight) < floor_bits(kFloors - 1)) continue;
        ASSAY_UNROLL
        for (int f = 0; f < kFloors; ++f) {
          if (__float_as_uint(weight) < floor_bits(f)) continue;
          own_masses[f] += static_cast<double>(weight);
          own_numbers[f] += 1;
        }
      }
      const double needed = params.top_p * total;
      bool found = false;
      ASSAY_UNROLL
      for (int f = 0; f < kFloors; ++f) {
        if (found) continue;
        const double mass = sum_of_block(own_masses[f], sums);
        const double number = sum_of_block(own_numbers[f], sums);
        if (!(params.top_k > 0 ? number >= wanted : mass >= needed)) continue;
        found = true;
        low = floor_bits(f), high = floor_bits(f - 1);
        listed = number;
      }
    }
    if (listed <= kListed) {
      gather_list(weights, vocab_size, low, list, ids, numbers);
      if (threadIdx.x < 32) {
        token = choose(WarpTeam(), ListEntries{list, ids, static_cast<int>(listed)}, low, high);
      }
    } else {
      token = choose(BlockTeam{sums}, RowEntries{weights, vocab_size}, low, high);
    }
  }
  if (threadIdx.x == 0) out[row] = CudaSampled{token, x[token] - best, untempered};
}

}  // namespace assay::ASSAY_KERNELS
