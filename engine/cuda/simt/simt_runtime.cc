#include <cstring>
#include <limits>

#include "engine/cuda/runtime.h"
#include "engine/cuda/simt/block.h"

namespace assay {
namespace {

class SimtRuntime : public CudaRuntime {
 public:
  std::string name() const override { return "simt"; }
  const CudaKernels& kernels() const override { return emulated::kernel_table(); }
  CudaStream stream() const override { return nullptr; }

  void* allocate(size_t bytes) override { return simt::allocate(bytes); }
  void release(void* data) override { simt::release(data); }
  uint64_t free_bytes() const override { return uint64_t{4} << 30; }

  void upload(const void* host, size_t bytes, void* device) override {
    std::memcpy(device, host, bytes);
  }
  void download(const void* device, size_t bytes, void* host) override {
    std::memcpy(host, device, bytes);
  }
  void copy(const void* from, size_t bytes, void* to) override { std::memcpy(to, from, bytes); }

  Status status() override {
    if (error_.empty()) {
      if (const auto fault = simt::take_fault()) error_ = "the emulated device: " + fault->text();
    }
    return error_.empty() ? Status() : Status(Error{error_});
  }

 private:
  std::string error_;
};

}  // namespace

std::unique_ptr<CudaRuntime> make_simt_runtime() { return std::make_unique<SimtRuntime>(); }

}  // namespace assay
