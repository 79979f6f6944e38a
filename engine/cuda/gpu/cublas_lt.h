// Products of bf16 and fp16 matrices by NVIDIA's cuBLASLt, which is loaded when it is asked for.
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <string>

#include "engine/cuda/runtime.h"
#include "harness/base/result.h"

namespace assay {

class CublasLt {
 public:
  virtual ~CublasLt() = default;

  // For the current device; what it allocates is freed with it.
  static Result<std::unique_ptr<CublasLt>> create();

  // What went wrong, or empty. A weight's shape has one algorithm for any number of rows, without
  // split-K, so that a row's bits do not depend on it.
  virtual std::string run(const CudaGemm& gemm, cudaStream_t stream) = 0;
};

}  // namespace assay
