// A GPU, through the runtime library that is linked in; without a driver it says so at open.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstring>

#include "engine/cuda/gpu/cublas_lt.h"
#include "engine/cuda/gpu/nccl_group.h"
#include "engine/cuda/runtime.h"

namespace assay {
namespace {

Error error_of(const char* what, cudaError_t code) {
  return Error{std::string("--device cuda: ") + what + ": " + cudaGetErrorString(code)};
}

// Pinned memory in turns, each with the event after which the device is done with it.
struct Slot {
  uint8_t* data = nullptr;
  size_t size_bytes = 0, used_bytes = 0;
  cudaEvent_t done = nullptr;
};

struct GpuGraph : CudaGraph {
  ~GpuGraph() override {
    if (exec != nullptr) cudaGraphExecDestroy(exec);
  }
  cudaGraphExec_t exec = nullptr;
};

class GpuRuntime : public CudaRuntime {
 public:
  GpuRuntime(int index, cudaStream_t stream) : index_(index), stream_(stream) {}
  ~GpuRuntime() override {
    cudaSetDevice(index_);
    cudaStreamSynchronize(stream_);
    for (Slot* slots : {uploads_, downloads_}) {
      for (int i = 0; i < 2; ++i) {
        if (slots[i].data != nullptr) cudaFreeHost(slots[i].data);
        if (slots[i].done != nullptr) cudaEventDestroy(slots[i].done);
      }
    }
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

  void upload_filled(size_t bytes, size_t unit, const Fill& fill, void* device) override {
    use();
    const size_t part = std::max<size_t>(1, kUploadBytes / unit) * unit;
    for (size_t first = 0; first < bytes; first += part) {
      const size_t count = std::min(part, bytes - first);
      Slot* slot = room_for(count);
      if (slot == nullptr) return;
      uint8_t* from = slot->data + slot->used_bytes;
      fill(first, count, from);
      slot->used_bytes += (count + 15) / 16 * 16;
      check("cudaMemcpy to the device", cudaMemcpyAsync(static_cast<uint8_t*>(device) + first, from,
                                                        count, cudaMemcpyHostToDevice, stream_));
    }
  }
  void upload(const void* host, size_t bytes, void* device) override {
    const auto copy_part = [&](size_t first, size_t count, uint8_t* to) {
      std::memcpy(to, static_cast<const uint8_t*>(host) + first, count);
    };
    upload_filled(bytes, 1, copy_part, device);
  }
  void download(const void* device, size_t bytes, void* host) override {
    use();
    check("cudaMemcpy from the device",
          cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_));
    check("a kernel", cudaStreamSynchronize(stream_));
  }
  void start_download(const void* device, size_t bytes) override {
    use();
    Slot& slot = downloads_[next_download_++ % 2];
    if (!grow(slot, bytes)) return;
    check("cudaMemcpy from the device",
          cudaMemcpyAsync(slot.data, device, bytes, cudaMemcpyDeviceToHost, stream_));
    check("cudaEventRecord", cudaEventRecord(slot.done, stream_));
  }
  void finish_download(size_t bytes, void* host) override {
    use();
    Slot& slot = downloads_[next_finish_++ % 2];
    if (slot.size_bytes < bytes || !check("a kernel", cudaEventSynchronize(slot.done))) {
      std::memset(host, 0xFF, bytes);
      return;
    }
    std::memcpy(host, slot.data, bytes);
  }
  void copy(const void* from, size_t bytes, void* to) override {
    use();
    check("cudaMemcpy", cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_));
  }

  void begin_capture() override {
    use();
    check("cudaStreamBeginCapture",
          cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
  }
  std::unique_ptr<CudaGraph> end_capture() override {
    cudaGraph_t graph = nullptr;
    if (!check("cudaStreamEndCapture", cudaStreamEndCapture(stream_, &graph))) return nullptr;
    auto result = std::make_unique<GpuGraph>();
    const bool made = check("cudaGraphInstantiate", cudaGraphInstantiate(&result->exec, graph, 0));
    cudaGraphDestroy(graph);
    return made ? std::move(result) : nullptr;
  }
  void launch(CudaGraph& graph) override {
    use();
    check("cudaGraphLaunch", cudaGraphLaunch(static_cast<GpuGraph&>(graph).exec, stream_));
  }

  Status load_gemm() override {
    use();
    ASSAY_TRY(cublas_lt_, CublasLt::create());
    return {};
  }
  void gemm(const CudaGemm& gemm) override {
    use();
    const std::string wrong = cublas_lt_->run(gemm, stream_);
    if (!wrong.empty() && error_.empty()) error_ = "--gemm cublaslt: " + wrong;
  }

  void join(std::shared_ptr<NcclGroup> group, int rank) {
    group_ = std::move(group);
    rank_ = rank;
  }
  int ranks() const override { return group_ ? group_->ranks() : 1; }
  void all_gather(const float* x, size_t count, float* out) override {
    use();
    const std::string wrong = group_->all_gather(rank_, x, count, out, stream_);
    if (!wrong.empty() && error_.empty()) error_ = "--tensor-parallel: " + wrong;
  }
  void leave() override {
    if (group_) group_->leave();
  }

  Status status() override {
    check("the launch of a kernel", cudaGetLastError());
    return error_.empty() ? Status() : Status(Error{error_});
  }

 private:
  static constexpr size_t kUploadBytes = size_t{8} << 20;

  bool grow(Slot& slot, size_t bytes) {
    if (slot.done == nullptr &&
        !check("cudaEventCreate", cudaEventCreateWithFlags(&slot.done, cudaEventDisableTiming))) {
      return false;
    }
    if (slot.size_bytes >= bytes) return true;
    if (slot.data != nullptr) {
      cudaStreamSynchronize(stream_);
      cudaFreeHost(slot.data);
      slot = {nullptr, 0, 0, slot.done};
    }
    if (!check("pinned memory", cudaMallocHost(&slot.data, bytes))) return false;
    slot.size_bytes = bytes;
    return true;
  }

  // The slot that uploads go through, with room for `bytes`: the other one, once the device has
  // read all of it, when this one is full.
  Slot* room_for(size_t bytes) {
    Slot* slot = &uploads_[upload_];
    if (slot->used_bytes + bytes > slot->size_bytes) {
      if (slot->done != nullptr) check("cudaEventRecord", cudaEventRecord(slot->done, stream_));
      upload_ = 1 - upload_;
      slot = &uploads_[upload_];
      if (slot->used_bytes > 0) check("a kernel", cudaEventSynchronize(slot->done));
      slot->used_bytes = 0;
      if (!grow(*slot, std::max(bytes, kUploadBytes))) return nullptr;
    }
    return slot;
  }

  // A thread has one current device; what it asks for first, before any launch, comes through here.
  void use() { check("cudaSetDevice", cudaSetDevice(index_)); }
  bool check(const char* what, cudaError_t code) {
    if (code == cudaSuccess) return true;
    if (error_.empty()) error_ = error_of(what, code).message;
    return false;
  }

  int index_;
  cudaStream_t stream_;
  std::unique_ptr<CublasLt> cublas_lt_;
  std::shared_ptr<NcclGroup> group_;
  int rank_ = 0;
  std::string error_;
  Slot uploads_[2], downloads_[2];
  int upload_ = 0;
  unsigned next_download_ = 0, next_finish_ = 0;
};

Result<std::unique_ptr<GpuRuntime>> open_gpu(int index) {
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
  return std::make_unique<GpuRuntime>(index, stream);
}

}  // namespace

int gpu_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

Result<std::unique_ptr<CudaRuntime>> make_gpu_runtime(int index) {
  ASSAY_TRY(std::unique_ptr<GpuRuntime> runtime, open_gpu(index));
  return std::unique_ptr<CudaRuntime>(std::move(runtime));
}

Result<CudaRuntimes> make_gpu_ranks(int first, int ranks) {
  std::vector<std::unique_ptr<GpuRuntime>> opened;
  for (int i = 0; i < ranks; ++i) {
    ASSAY_TRY(std::unique_ptr<GpuRuntime> runtime, open_gpu(first + i));
    opened.push_back(std::move(runtime));
  }
  ASSAY_TRY(const std::shared_ptr<NcclGroup> group, NcclGroup::create(first, ranks));
  CudaRuntimes runtimes;
  for (int i = 0; i < ranks; ++i) {
    opened[i]->join(group, i);
    runtimes.push_back(std::move(opened[i]));
  }
  return Result<CudaRuntimes>(std::move(runtimes));
}

}  // namespace assay
