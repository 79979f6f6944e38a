// In place of gpu_runtime.cu in a build without nvcc.
#include "engine/cuda/runtime.h"

namespace assay {

int gpu_count() { return 0; }

Result<std::unique_ptr<CudaRuntime>> make_gpu_runtime(int) {
  return Error{
      "--device cuda: this assay was built without CUDA; build it where nvcc is on the PATH, or "
      "use "
      "--device cpu"};
}

}  // namespace assay
