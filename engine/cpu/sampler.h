// Draws tokens. A draw is a function of logits, parameters, key and counter alone.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/cpu/kernels.h"
#include "engine/ops.h"

namespace assay {

// Ops::sample for one row. `scratch` is reused between calls and belongs to one thread.
class Sampler {
 public:
  explicit Sampler(const CpuKernels& kernels) : kernels_(kernels) {}

  struct alignas(64) Scratch {
    std::vector<float> weights;
    std::vector<int32_t> kept, order;
    // So that sample() takes no memory for logits of so many tokens.
    void reserve(int vocab_size);
  };

  SampledToken sample(const float* logits, int vocab_size, const SampleRow& row,
                      Scratch& scratch) const;

 private:
  const CpuKernels& kernels_;
};

}  // namespace assay
