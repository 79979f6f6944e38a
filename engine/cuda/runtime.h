// Memory, order and errors of a CUDA device, real or emulated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/cuda/kernels.h"
#include "harness/base/result.h"

namespace assay {

// Launches that have been recorded.
class CudaGraph {
 public:
  virtual ~CudaGraph() = default;
};

// A product of bf16 or fp16 matrices: out[r][o] (+)= Σ_k x[r][k] · weight[o][k], f32 sums. `rows`
// and `columns` are filled up: to multiples of kGemmRows and of 64.
struct CudaGemm {
  const uint8_t* weight = nullptr;  // [outputs][columns]
  const uint16_t* x = nullptr;      // [rows][columns]
  float* out = nullptr;             // [rows][outputs]
  int64_t outputs = 0, columns = 0;
  int rows = 0;
  bool add = false;   // to what is in `out`
  bool half = false;  // fp16
};
constexpr int kGemmRows = 64;

// Used by one thread at a time. Work is done in the order in which it is asked for, and nobody
// waits for it but finish_download() and download().
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

  // fill(first, bytes, to) writes bytes first..first + bytes of what `device` gets, in memory that
  // it may read too; it is called for whole units, in order.
  using Fill = std::function<void(size_t first, size_t bytes, uint8_t* to)>;
  virtual void upload_filled(size_t bytes, size_t unit, const Fill& fill, void* device) = 0;
  // `host` may change once upload() has returned; download() returns when it is there.
  virtual void upload(const void* host, size_t bytes, void* device) = 0;
  virtual void download(const void* device, size_t bytes, void* host) = 0;
  virtual void copy(const void* from, size_t bytes, void* to) = 0;
  // The second waits for the oldest of the first that it has not waited for, at most two are.
  virtual void start_download(const void* device, size_t bytes) = 0;
  virtual void finish_download(size_t bytes, void* host) = 0;

  // What is launched between these two is recorded and not done; nothing else may be asked for.
  virtual void begin_capture() = 0;
  virtual std::unique_ptr<CudaGraph> end_capture() = 0;
  virtual void launch(CudaGraph& graph) = 0;

  // Makes ready for gemm().
  virtual Status load_gemm() = 0;
  // A row's result does not depend on the number of rows.
  virtual void gemm(const CudaGemm& gemm) = 0;

  // Devices that compute a model together: each asks for the same, in a thread of its own.
  virtual int ranks() const { return 1; }
  // out [ranks][count]: every rank's x.
  virtual void all_gather(const float* x, size_t count, float* out) = 0;
  // This rank asks for nothing more: the others' all_gather() ends, and is an error.
  virtual void leave() = 0;

  // The first error so far, of this device's memory or of a kernel.
  virtual Status status() = 0;
};

using CudaRuntimes = std::vector<std::unique_ptr<CudaRuntime>>;

// The emulator (simt/): for tests; it finds mistakes in kernels, and is slow.
std::unique_ptr<CudaRuntime> make_simt_runtime();
CudaRuntimes make_simt_ranks(int ranks);

// GPUs that can be used; 0 without a driver, or without CUDA in this build.
int gpu_count();

// GPU number `index`. Fails, and says why, without a GPU, a driver, or CUDA in this build.
Result<std::unique_ptr<CudaRuntime>> make_gpu_runtime(int index);
// GPUs first..first + ranks − 1 as the ranks of one model; needs NVIDIA's NCCL, which is looked for
// when it is called.
Result<CudaRuntimes> make_gpu_ranks(int first, int ranks);

}  // namespace assay
