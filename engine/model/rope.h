// Rotary positions and the ways in which models stretch them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace assay {

enum class RopeScaling { kNone, kLinear, kLlama3, kYarn };

// Formulas: the papers of RoFormer (2104.09864) and YaRN (2309.00071); Llama-3 and the names of the
// parameters as transformers' modeling_rope_utils has them.
struct RopeConfig {
  double theta = 10000;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1;
  double original_context = 0;                       // Llama-3, YaRN
  double low_freq_factor = 1, high_freq_factor = 4;  // Llama-3
  double beta_fast = 32, beta_slow = 1;              // YaRN
  double attention_factor = 0;                       // YaRN; 0: from `factor`
  std::vector<float> divisors;                       // GGUF's rope_freqs: Llama-3, worked out
};

struct RopeTable {
  std::vector<double> frequencies;  // radians a position, [head_dim / 2]
  double magnitude = 1;             // of the rotated vectors: YaRN's attention factor

  // angles[r] = (cosine, sine) · magnitude of position · frequency, [head_dim / 2, 2]
  void fill(int32_t position, float* angles) const;
};

RopeTable make_rope_table(const RopeConfig& config, int head_dim);

}  // namespace assay
