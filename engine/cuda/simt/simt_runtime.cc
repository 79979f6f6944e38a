#include <algorithm>
#include <cstring>
#include <deque>
#include <vector>

#include "engine/cuda/runtime.h"
#include "engine/cuda/simt/block.h"
#include "harness/base/check.h"

namespace assay {
namespace {

struct SimtGraph : CudaGraph {
  std::vector<std::function<void()>> launches;
};

// Everything is done at once; but what a download brings is seen only when it has been waited for,
// and memory and copies are refused while launches are recorded, as the hardware does.
class SimtRuntime : public CudaRuntime {
 public:
  std::string name() const override { return "simt"; }
  const CudaKernels& kernels() const override { return emulated::kernel_table(); }
  CudaStream stream() const override { return nullptr; }

  void* allocate(size_t bytes) override {
    CHECK(!capturing_);
    return simt::allocate(bytes);
  }
  void release(void* data) override {
    CHECK(!capturing_);
    simt::release(data);
  }
  uint64_t free_bytes() const override { return uint64_t{4} << 30; }

  void upload_filled(size_t bytes, size_t unit, const Fill& fill, void* device) override {
    CHECK(!capturing_);
    constexpr size_t kUnits = 3;  // so that a weight comes in several parts here too
    for (size_t first = 0; first < bytes; first += kUnits * unit) {
      fill(first, std::min(kUnits * unit, bytes - first), static_cast<uint8_t*>(device) + first);
    }
  }
  void upload(const void* host, size_t bytes, void* device) override {
    CHECK(!capturing_);
    std::memcpy(device, host, bytes);
  }
  void download(const void* device, size_t bytes, void* host) override {
    CHECK(!capturing_);
    std::memcpy(host, device, bytes);
  }
  void copy(const void* from, size_t bytes, void* to) override {
    CHECK(!capturing_);
    std::memcpy(to, from, bytes);
  }
  void start_download(const void* device, size_t bytes) override {
    CHECK(!capturing_ && downloads_.size() < 2);
    const auto* from = static_cast<const uint8_t*>(device);
    downloads_.emplace_back(from, from + bytes);
  }
  void finish_download(size_t bytes, void* host) override {
    CHECK(!downloads_.empty() && downloads_.front().size() == bytes);
    std::copy_n(downloads_.front().data(), bytes, static_cast<uint8_t*>(host));
    downloads_.pop_front();
  }

  void begin_capture() override {
    CHECK(!capturing_);
    capturing_ = std::make_unique<SimtGraph>();
    simt::record_launches(&capturing_->launches);
  }
  std::unique_ptr<CudaGraph> end_capture() override {
    CHECK(capturing_ != nullptr);
    simt::record_launches(nullptr);
    return std::move(capturing_);
  }
  void launch(CudaGraph& graph) override {
    CHECK(!capturing_);
    for (const auto& each : static_cast<SimtGraph&>(graph).launches) each();
  }

  Status status() override {
    if (error_.empty()) {
      if (const auto fault = simt::take_fault()) error_ = "the emulated device: " + fault->text();
    }
    return error_.empty() ? Status() : Status(Error{error_});
  }

 private:
  std::string error_;
  std::unique_ptr<SimtGraph> capturing_;
  std::deque<std::vector<uint8_t>> downloads_;
};

}  // namespace

std::unique_ptr<CudaRuntime> make_simt_runtime() { return std::make_unique<SimtRuntime>(); }

}  // namespace assay
