// GPUs that exchange data through NVIDIA's NCCL, which is loaded when a group is made.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <memory>
#include <string>

#include "harness/base/result.h"

namespace assay {

class NcclGroup {
 public:
  virtual ~NcclGroup() = default;

  // GPUs first..first + ranks − 1.
  static Result<std::shared_ptr<NcclGroup>> create(int first, int ranks);

  virtual int ranks() const = 0;
  // out [ranks][count]: every rank's x. Each rank asks in a thread of its own. What went wrong, or
  // empty.
  virtual std::string all_gather(int rank, const float* x, size_t count, float* out,
                                 cudaStream_t stream) = 0;
  // Ends what all ranks are waiting for; nothing can be asked for after it.
  virtual void leave() = 0;
};

}  // namespace assay
