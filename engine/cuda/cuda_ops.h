// The CUDA device: kernels.h on a GPU, or on the emulator of one.
#pragma once

#include <memory>
#include <string>

#include "engine/cuda/runtime.h"
#include "engine/ops.h"
#include "harness/base/result.h"

namespace assay {

// `activations` is kBF16x2 or kBF16. With `for_gemm`, products with 16-bit weights are the
// runtime's gemm(), which has been loaded. Used by one thread at a time; `runtime` is the device's
// own.
std::unique_ptr<Ops> make_cuda_ops(std::unique_ptr<CudaRuntime> runtime, Activations activations,
                                   bool for_gemm = false);

// Head dimensions that the attention kernel is built for.
constexpr int kCudaHeadDims[] = {32, 64, 96, 128};

}  // namespace assay
