// Memory for activations as whole numbers.
#pragma once

#include <vector>

#include "engine/cpu/kernels.h"

namespace assay {

class IntRowsBuffer {
 public:
  // Rows to be written by quantize_row; they hold until the next call. Memory grows, and is kept.
  const IntRows& shape(int64_t rows, int64_t columns, bool fixed16, bool for_bf16 = false) {
    rows_ = {};
    rows_.columns = columns;
    rows_.limit = fixed16 ? IntRows::kFixed16Limit : IntRows::kInt8Limit;
    rows_.for_bf16 = for_bf16;
    rows_.a = at_least(a_, rows * columns);
    rows_.scales = at_least(scales_, rows * rows_.blocks());
    if (!for_bf16) {
      rows_.sums = at_least(sums_, rows * IntRows::sums_of(columns));
      rows_.starts = at_least(starts_, rows * IntRows::sums_of(columns));
    }
    if (fixed16) {
      rows_.outliers = at_least(outliers_, rows * rows_.blocks());
      rows_.outlier_counts = at_least(outlier_counts_, rows * rows_.chunks());
    }
    return rows_;
  }
  const IntRows& rows() const { return rows_; }

 private:
  template <typename T>
  static T* at_least(std::vector<T>& buffer, int64_t count) {
    if (buffer.size() < static_cast<size_t>(count)) buffer.resize(static_cast<size_t>(count));
    return buffer.data();
  }

  IntRows rows_;
  std::vector<int16_t> a_;
  std::vector<float> scales_, sums_;
  std::vector<int32_t> starts_, outlier_counts_;
  std::vector<Outlier> outliers_;
};

}  // namespace assay
