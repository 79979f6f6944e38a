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

  struct Scratch {
    std::vector<float> weights;
    std::vector<int32_t> kept, order;
  };

  SampledToken sample(const float* logits, int vocab_size, const SampleRow& row,
                      Scratch& scratch) const;

 private:
  const CpuKernels& kernels_;
};

}  // namespace assay
