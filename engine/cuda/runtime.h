// Memory, order and errors of a CUDA device, real or emulated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "engine/cuda/kernels.h"
#include "harness/base/result.h"

namespace assay {

// Used by one thread at a time. Work is done in the order in which it is asked for.
class CudaRuntime {
 public:
  virtual ~CudaRuntime() = default;

  virtual std::string name() const = 0;
  virtual const CudaKernels& kernels() const = 0;
  virtual CudaStream stream() const = 0;

  // 256-byte aligned, zero; null when the device's memory is used up, which status() tells too.
  virtual void* allocate(size_t bytes) = 0;
  virtual void release(void* data) = 0;
  virtual uint64_t free_bytes() const = 0;

  // `host` may change once upload() has returned; download() returns when it is there.
  virtual void upload(const void* host, size_t bytes, void* device) = 0;
  virtual void download(const void* device, size_t bytes, void* host) = 0;
  virtual void copy(const void* from, size_t bytes, void* to) = 0;

  // The first error so far, of this device's memory or of a kernel.
  virtual Status status() = 0;
};

// The emulator (simt/): for tests; it finds mistakes in kernels, and is slow.
std::unique_ptr<CudaRuntime> make_simt_runtime();

// GPUs that can be used; 0 without a driver, or without CUDA in this build.
int gpu_count();

// GPU number `index`. Fails, and says why, without a GPU, a driver, or CUDA in this build.
Result<std::unique_ptr<CudaRuntime>> make_gpu_runtime(int index);

}  // namespace assay
