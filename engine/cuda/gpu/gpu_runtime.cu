// A GPU, through the runtime library that is linked in; without a driver it says so at open.
#include <cuda_runtime.h>

#include "engine/cuda/runtime.h"

namespace assay {
namespace {

Error error_of(const char* what, cudaError_t code) {
  return Error{std::string("--device cuda: ") + what + ": " + cudaGetErrorString(code)};
}

class GpuRuntime : public CudaRuntime {
 public:
  GpuRuntime(int index, cudaStream_t stream) : index_(index), stream_(stream) {}
  ~GpuRuntime() override {
    cudaStreamSynchronize(stream_);
    cudaStreamDestroy(stream_);
  }

  std::string name() const override { return "cuda"; }
  const CudaKernels& kernels() const override { return gpu::kernel_table(); }
  CudaStream stream() const override { return stream_; }

  void* allocate(size_t bytes) override {
    use();
    void* data = nullptr;
    if (!check("the device's memory is used up", cudaMallocAsync(&data, bytes, stream_))) {
      return nullptr;
    }
    check("cudaMemset", cudaMemsetAsync(data, 0, bytes, stream_));
    return data;
  }
  void release(void* data) override {
    use();
    if (data != nullptr) check("cudaFree", cudaFreeAsync(data, stream_));
  }
  uint64_t free_bytes() const override {
    cudaSetDevice(index_);
    size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    return free;
  }

  // From memory that is not pinned, cudaMemcpyAsync has read it all when it returns.
  void upload(const void* host, size_t bytes, void* device) override {
    use();
    check("cudaMemcpy to the device",
          cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_));
  }
  void download(const void* device, size_t bytes, void* host) override {
    use();
    check("cudaMemcpy from the device",
          cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_));
    check("a kernel", cudaStreamSynchronize(stream_));
  }
  void copy(const void* from, size_t bytes, void* to) override {
    use();
    check("cudaMemcpy", cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_));
  }

  Status status() override {
    check("the launch of a kernel", cudaGetLastError());
    return error_.empty() ? Status() : Status(Error{error_});
  }

 private:
  // A thread has one current device; what it asks for first, before any launch, comes through here.
  void use() { check("cudaSetDevice", cudaSetDevice(index_)); }
  bool check(const char* what, cudaError_t code) {
    if (code == cudaSuccess) return true;
    if (error_.empty()) error_ = error_of(what, code).message;
    return false;
  }

  int index_;
  cudaStream_t stream_;
  std::string error_;
};

}  // namespace

int gpu_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

Result<std::unique_ptr<CudaRuntime>> make_gpu_runtime(int index) {
  int count = 0;
  const cudaError_t found = cudaGetDeviceCount(&count);
  if (found != cudaSuccess) return error_of("no usable GPU (is the driver installed?)", found);
  if (index >= count) {
    return Error{"--device cuda:" + std::to_string(index) + ": this machine has " +
                 std::to_string(count) + " GPUs, counted from 0"};
  }
  cudaStream_t stream = nullptr;
  cudaError_t code = cudaSetDevice(index);
  if (code == cudaSuccess) code = cudaStreamCreate(&stream);
  cudaMemPool_t pool = nullptr;
  if (code == cudaSuccess) code = cudaDeviceGetDefaultMemPool(&pool, index);
  // What is released stays with the program, so that memory is asked for once.
  uint64_t keep = UINT64_MAX;
  if (code == cudaSuccess) {
    code = cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep);
  }
  if (code != cudaSuccess) return error_of("the GPU cannot be opened", code);
  return std::unique_ptr<CudaRuntime>(new GpuRuntime(index, stream));
}

}  // namespace assay
