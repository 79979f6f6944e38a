#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <vector>

#include "engine/cuda/runtime.h"
#include "engine/cuda/simt/block.h"
#include "engine/half.h"
#include "harness/base/check.h"

namespace assay {
namespace {

struct SimtGraph : CudaGraph {
  std::vector<std::function<void()>> launches;
};

// Ranks that meet to exchange what they have.
class Meeting {
 public:
  explicit Meeting(int ranks) : given_(static_cast<size_t>(ranks)) {}

  int ranks() const { return static_cast<int>(given_.size()); }
  // False when a rank has left.
  bool gather(int rank, const float* x, size_t count, float* out) {
    given_[static_cast<size_t>(rank)] = x;
    if (!wait()) return false;
    for (size_t i = 0; i < given_.size(); ++i) std::copy_n(given_[i], count, out + i * count);
    return wait();  // before anybody changes what was given
  }
  void leave() {
    const std::scoped_lock lock(mutex_);
    left_ = true;
    changed_.notify_all();
  }

 private:
  bool wait() {
    std::unique_lock lock(mutex_);
    if (++arrived_ == given_.size()) {
      arrived_ = 0;
      ++round_;
      changed_.notify_all();
      return !left_;
    }
    const uint64_t own = round_;
    changed_.wait(lock, [&] { return left_ || round_ != own; });
    return !left_;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<const float*> given_;
  size_t arrived_ = 0;
  uint64_t round_ = 0;
  bool left_ = false;
};

// Everything is done at once; but what a download brings is seen only when it has been waited for,
// and memory and copies are refused while launches are recorded, as the hardware does.
class SimtRuntime : public CudaRuntime {
 public:
  SimtRuntime(std::shared_ptr<Meeting> meeting, int rank)
      : meeting_(std::move(meeting)), rank_(rank) {}

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

  // What the library is asked for on a GPU.
  Status load_gemm() override { return {}; }
  void gemm(const CudaGemm& gemm) override {
    const auto run = [gemm] {
      const auto widen = [half = gemm.half](const void* at, int64_t i) {
        uint16_t bits;
        std::memcpy(&bits, static_cast<const uint8_t*>(at) + 2 * i, 2);
        return half ? half_to_float(bits) : bf16_to_float(bits);
      };
      for (int64_t r = 0; r < gemm.rows; ++r) {
        for (int64_t o = 0; o < gemm.outputs; ++o) {
          float& out = gemm.out[r * gemm.outputs + o];
          double sum = gemm.add ? double{out} : 0.0;
          for (int64_t k = 0; k < gemm.columns; ++k) {
            sum += double{widen(gemm.x, r * gemm.columns + k)} *
                   double{widen(gemm.weight, o * gemm.columns + k)};
          }
          out = static_cast<float>(sum);
        }
      }
    };
    if (capturing_) {
      capturing_->launches.push_back(run);
    } else {
      run();
    }
  }

  int ranks() const override { return meeting_->ranks(); }
  void all_gather(const float* x, size_t count, float* out) override {
    const auto gather = [=, this] {
      if (!meeting_->gather(rank_, x, count, out) && error_.empty()) {
        error_ = "the emulated device: another rank has left";
      }
    };
    if (capturing_) {
      capturing_->launches.push_back(gather);
    } else {
      gather();
    }
  }
  void leave() override { meeting_->leave(); }

  Status status() override {
    if (error_.empty()) {
      if (const auto fault = simt::take_fault()) error_ = "the emulated device: " + fault->text();
    }
    return error_.empty() ? Status() : Status(Error{error_});
  }

 private:
  std::shared_ptr<Meeting> meeting_;
  int rank_;
  std::string error_;
  std::unique_ptr<SimtGraph> capturing_;
  std::deque<std::vector<uint8_t>> downloads_;
};

}  // namespace

std::unique_ptr<CudaRuntime> make_simt_runtime() { return std::move(make_simt_ranks(1)[0]); }

CudaRuntimes make_simt_ranks(int ranks) {
  const auto meeting = std::make_shared<Meeting>(ranks);
  CudaRuntimes runtimes;
  for (int i = 0; i < ranks; ++i) runtimes.push_back(std::make_unique<SimtRuntime>(meeting, i));
  return runtimes;
}

}  // namespace assay
