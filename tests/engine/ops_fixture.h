// One table of devices for the tests of operations: the CPU's, the CUDA device's kernels in the
// emulator, and a GPU where there is one.
#pragma once

#include <gtest/gtest.h>

#include "engine/cpu/cpu_ops.h"
#include "engine/cuda/cuda_ops.h"
#include "tests/engine/random_weights.h"
#include "tests/support.h"

namespace assay::testing {

struct Device {
  const char* name;
  Activations activations;
  KvType kv_type;
  // Relative to Σ|w||x|: what rounding the activations costs, and the f32 sums.
  double product_tolerance;
  double kv_tolerance;    // what rounding a key or value the other way costs
  bool for_gemm = false;  // 16-bit weights by cuBLASLt, on the emulator by its reference
};

// bf16x2 keeps 16 bits of an activation, bf16 8; f32 sums of up to 512 terms err by 2^-19 at most.
inline constexpr Device kDevices[] = {
    {"cpu", Activations::kF32, KvType::kF32, 0x1p-18, 0},
    {"cpu", Activations::kFixed16, KvType::kFixed16, 0x1p-14, 0x1p-16},
    {"simt", Activations::kBF16x2, KvType::kBF16, 0x1p-16, 0x1p-8},
    {"simt", Activations::kBF16, KvType::kInt8, 0x1p-8, 0x1p-6},
    {"cuda", Activations::kBF16x2, KvType::kBF16, 0x1p-16, 0x1p-8},
    {"cuda", Activations::kBF16, KvType::kInt8, 0x1p-8, 0x1p-6},
};

class OpsTest : public ::testing::TestWithParam<Device> {
 protected:
  void SetUp() override {
    const Device& device = GetParam();
    const std::string name = device.name;
    if (name == "cpu") {
      ops_ = std::move(make_cpu_ops({2, "auto", device.activations})).value();
    } else if (name == "simt") {
      ops_ = make_cuda_ops(make_simt_runtime(), device.activations, device.for_gemm);
    } else {
      auto runtime = make_gpu_runtime(0);
      if (!runtime.ok()) GTEST_SKIP() << runtime.error().message;
      if (device.for_gemm) {
        const Status loaded = (*runtime)->load_gemm();
        if (!loaded.ok()) GTEST_SKIP() << loaded.error().message;
      }
      ops_ = make_cuda_ops(std::move(runtime).value(), device.activations, device.for_gemm);
    }
  }
  void TearDown() override {
    if (!ops_) return;
    const Status status = ops_->status();
    EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
  }

  Ops::Buffer on_device(const std::vector<float>& values) {
    Ops::Buffer buffer = ops_->allocate(values.size());
    ops_->upload(values.data(), values.size(), buffer.get());
    return buffer;
  }
  std::vector<float> from_device(const Ops::Buffer& buffer, size_t count) {
    std::vector<float> values(count);
    ops_->download(buffer.get(), count, values.data());
    return values;
  }

  std::unique_ptr<Ops> ops_;
};

inline std::string device_name(const ::testing::TestParamInfo<Device>& tested) {
  return std::string(tested.param.name) + "_" +
         std::string(kActivationNames[static_cast<int>(tested.param.activations)]) + "_" +
         std::string(kKvTypeNames[static_cast<int>(tested.param.kv_type)]) +
         (tested.param.for_gemm ? "_gemm" : "");
}

}  // namespace assay::testing
