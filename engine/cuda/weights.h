// Weights in the device's memory.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/cuda/runtime.h"
#include "engine/ops.h"

namespace assay {

// With `for_gemm` a bf16 or fp16 weight stays as gemm() takes it; other types do not change by it.
size_t cuda_weight_bytes(const Weight& weight, bool for_gemm);

class CudaWeight : public PackedWeight {
 public:
  CudaWeight(CudaRuntime& runtime, const Weight& weight, bool for_gemm);
  ~CudaWeight() override;
  CudaWeight(const CudaWeight&) = delete;
  CudaWeight& operator=(const CudaWeight&) = delete;

  int64_t rows() const override { return view_.shape.outputs; }
  int64_t columns() const override { return view_.shape.columns; }
  size_t size_bytes() const override { return size_bytes_; }
  const CudaWeightView& view() const { return view_; }

 private:
  CudaRuntime& runtime_;
  size_t size_bytes_;
  uint8_t* data_;
  CudaWeightView view_;
};

}  // namespace assay
