// In place of gpu_runtime.cu in a build without nvcc.
#include "engine/cuda/runtime.h"

namespace assay {
namespace {

Error no_cuda() {
  return Error{
      "--device cuda: this assay was built without CUDA; build it where nvcc is on the PATH, or "
      "use --device cpu"};
}

}  // namespace

int gpu_count() { return 0; }
Result<std::unique_ptr<CudaRuntime>> make_gpu_runtime(int) { return no_cuda(); }
Result<CudaRuntimes> make_gpu_ranks(int, int) { return no_cuda(); }

}  // namespace assay
