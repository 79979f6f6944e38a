#include "engine/cpu/sampler.h"

#include <algorithm>
#include <cmath>

namespace assay {
namespace {

// Better means likelier, then lower id.
struct Better {
  const float* weights;
  bool operator()(int32_t a, int32_t b) const {
    return weights[a] != weights[b] ? weights[a] > weights[b] : a < b;
  }
};

double sum_of(const float* weights, const int32_t* first, const int32_t* last) {
  double sum = 0;
  for (; first != last; ++first) sum += weights[*first];
  return sum;
}

// Moves the smallest set of the best entries whose weight reaches `needed` to the front of `order`
// and returns its size; linear on average (a quickselect by weight).
size_t select_by_weight(const float* weights, std::vector<int32_t>& order, double needed) {
  size_t low = 0, high = order.size();
  while (high - low > 1) {
    const size_t middle = (low + high) / 2;
    std::nth_element(order.begin() + low, order.begin() + middle, order.begin() + high,
                     Better{weights});
    const double upper = sum_of(weights, order.data() + low, order.data() + middle);
    if (upper >= needed) {
      high = middle;
    } else {
      needed -= upper;
      low = middle;
    }
  }
  return std::min(low + 1, order.size());
}

// Ids whose weight is at least `floor`, in order of id; returns their total.
double collect(const std::vector<float>& weights, int count, float floor,
               std::vector<int32_t>& out) {
  constexpr int kBlock = 64;  // of which hardly any has an entry
  out.clear();
  double total = 0;
  for (int32_t first = 0; first < count; first += kBlock) {
    const int32_t end = std::min(count, first + kBlock);
    bool any = false;
    for (int32_t id = first; id < end; ++id) any |= weights[id] >= floor;
    for (int32_t id = first; any && id < end; ++id) {
      if (weights[id] < floor) continue;
      out.push_back(id);
      total += weights[id];
    }
  }
  return total;
}

// Removes from `kept` (in order of id) all but the `count` best entries.
void keep_best(const float* weights, std::vector<int32_t>& kept, std::vector<int32_t>& order,
               size_t count) {
  if (count >= kept.size()) return;
  if (&order != &kept) order = kept;
  std::nth_element(order.begin(), order.begin() + (count - 1), order.end(), Better{weights});
  const int32_t last = order[count - 1];
  const Better better{weights};
  std::erase_if(kept, [&](int32_t id) { return id != last && !better(id, last); });
}

// Leaves in scratch.kept, in order of id, the tokens that top_k and top_p keep.
void truncate(const SamplingParams& params, double total, int count, Sampler::Scratch& scratch) {
  const float* weights = scratch.weights.data();
  // The likely tokens are few; only a flat distribution needs a lower floor.
  double mass = 0;
  for (const float floor : {0x1p-12f, 0x1p-15f, 0x1p-18f, 0x1p-24f, 0.0f}) {
    mass = collect(scratch.weights, count, floor, scratch.kept);
    const bool enough = params.top_k > 0 ? scratch.kept.size() >= static_cast<size_t>(params.top_k)
                                         : mass >= params.top_p * total;
    if (enough) break;
  }
  if (params.top_k > 0) {
    keep_best(weights, scratch.kept, scratch.order, static_cast<size_t>(params.top_k));
    total = sum_of(weights, scratch.kept.data(), scratch.kept.data() + scratch.kept.size());
  }
  if (params.top_p < 1) {
    scratch.order = scratch.kept;
    const size_t size = select_by_weight(weights, scratch.order, params.top_p * total);
    keep_best(weights, scratch.kept, scratch.order, size);
  }
}

int32_t draw(const float* weights, const std::vector<int32_t>& kept, double uniform) {
  const double target = uniform * sum_of(weights, kept.data(), kept.data() + kept.size());
  double passed = 0;
  for (const int32_t id : kept) {
    passed += weights[id];
    if (passed > target) return id;
  }
  return kept.back();
}

}  // namespace

void Sampler::Scratch::reserve(int vocab_size) {
  weights.reserve(static_cast<size_t>(vocab_size));
  kept.reserve(static_cast<size_t>(vocab_size));
  order.reserve(static_cast<size_t>(vocab_size));
}

SampledToken Sampler::sample(const float* logits, int vocab_size, const SampleRow& row,
                             Scratch& scratch) const {
  const SamplingParams& params = *row.params;
  const float best = kernels_.max(logits, vocab_size);
  if (!std::isfinite(best)) return {};
  scratch.weights.resize(static_cast<size_t>(vocab_size));
  float* weights = scratch.weights.data();
  const double untempered = kernels_.exp_sum(logits, vocab_size, best, 1.0f, weights);
  if (!std::isfinite(untempered)) return {};
  SampledToken sampled;
  if (params.temperature == 0) {
    sampled.token = static_cast<int32_t>(std::find(logits, logits + vocab_size, best) - logits);
  } else {
    double total = untempered;
    if (params.temperature != 1) {
      const float factor = static_cast<float>(1.0 / params.temperature);
      total = kernels_.exp_sum(logits, vocab_size, best, factor, weights);
    }
    if (params.top_k == 0 && params.top_p >= 1) {
      collect(scratch.weights, vocab_size, 0.0f, scratch.kept);
    } else {
      truncate(params, total, vocab_size, scratch);
    }
    if (params.min_p > 0) {
      const float floor = static_cast<float>(params.min_p);  // the best weight is 1
      std::erase_if(scratch.kept, [&](int32_t id) { return weights[id] < floor; });
    }
    const PhiloxCounter counter = {row.position, row.sample_index, 0, 0};
    sampled.token = draw(weights, scratch.kept, philox_uniform(counter, row.key));
  }
  sampled.logprob = static_cast<double>(logits[sampled.token] - best) - std::log(untempered);
  return sampled;
}

}  // namespace assay
