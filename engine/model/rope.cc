#include "engine/model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace assay {
namespace {

double llama3_frequency(const RopeConfig& config, double frequency) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  if (wavelength > config.original_context / config.low_freq_factor) {
    return frequency / config.factor;
  }
  if (wavelength < config.original_context / config.high_freq_factor) return frequency;
  const double smooth = (config.original_context / wavelength - config.low_freq_factor) /
                        (config.high_freq_factor - config.low_freq_factor);
  return (1 - smooth) * frequency / config.factor + smooth * frequency;
}

// The dimension that turns `rotations` times within the original context.
double correction_dimension(const RopeConfig& config, int head_dim, double rotations) {
  return head_dim * std::log(config.original_context / (rotations * 2 * std::numbers::pi)) /
         (2 * std::log(config.theta));
}

void stretch_yarn(const RopeConfig& config, int head_dim, RopeTable& table) {
  const double low =
      std::max(0.0, std::floor(correction_dimension(config, head_dim, config.beta_fast)));
  const double high =
      std::min(head_dim - 1.0, std::ceil(correction_dimension(config, head_dim, config.beta_slow)));
  for (size_t i = 0; i < table.frequencies.size(); ++i) {
    const double width = std::max(high - low, 0.001);
    const double ramp = std::clamp((static_cast<double>(i) - low) / width, 0.0, 1.0);
    const double frequency = table.frequencies[i];
    table.frequencies[i] = frequency / config.factor * ramp + frequency * (1 - ramp);
  }
  table.magnitude = config.attention_factor > 0 ? config.attention_factor
                    : config.factor > 1         ? 0.1 * std::log(config.factor) + 1
                                                : 1;
}

}  // namespace

void RopeTable::fill(int32_t position, float* angles) const {
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double angle = position * frequencies[i];
    angles[2 * i] = static_cast<float>(std::cos(angle) * magnitude);
    angles[2 * i + 1] = static_cast<float>(std::sin(angle) * magnitude);
  }
}

RopeTable make_rope_table(const RopeConfig& config, int head_dim) {
  RopeTable table;
  const int half = head_dim / 2;
  for (int i = 0; i < half; ++i) {
    double frequency = std::pow(config.theta, -static_cast<double>(i) / half);
    if (config.scaling == RopeScaling::kLinear) frequency /= config.factor;
    if (config.scaling == RopeScaling::kLlama3) frequency = llama3_frequency(config, frequency);
    if (!config.divisors.empty()) frequency /= double{config.divisors[i]};
    table.frequencies.push_back(frequency);
  }
  if (config.scaling == RopeScaling::kYarn) stretch_yarn(config, head_dim, table);
  return table;
}

}  // namespace assay
