// Widening of stored weights to f32, each value exactly as its block layout defines it: the product
// and the sum round once each, as ggml's and the gguf package's definitions do.
#if defined(ASSAY_ENGINE_CPU_DEQUANTIZE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ASSAY_ENGINE_CPU_DEQUANTIZE_INL_H_
#undef ASSAY_ENGINE_CPU_DEQUANTIZE_INL_H_
#else
#define ASSAY_ENGINE_CPU_DEQUANTIZE_INL_H_
#endif

#include <cstring>

#include "engine/cpu/lanes-inl.h"
#include "engine/half.h"
#include "engine/tensor.h"

HWY_BEFORE_NAMESPACE();
namespace assay {
namespace HWY_NAMESPACE {

#ifdef ASSAY_VECTOR_LANES

template <typename T>
HWY_INLINE Part widen(const T* at) {
  const hn::Rebind<T, D> narrow;
  return hn::ConvertTo(D(), hn::PromoteTo(DI(), hn::LoadU(narrow, at)));
}

HWY_INLINE void dequantize_q8_0(const uint8_t* block, float* out) {
  const Part d = part_set(half_to_float(block));
  for (int i = 0; i < 32; i += kPartLanes) {
    part_store(part_mul(widen(reinterpret_cast<const int8_t*>(block + 2 + i)), d), out + i);
  }
}

HWY_INLINE void dequantize_q4_1(const uint8_t* block, float* out) {
  const Part d = part_set(half_to_float(block)), m = part_set(half_to_float(block + 2));
  const hn::Rebind<uint8_t, D> narrow;
  for (int i = 0; i < 16; i += kPartLanes) {
    const auto bytes = hn::PromoteTo(DI(), hn::LoadU(narrow, block + 4 + i));
    const auto low = hn::ConvertTo(D(), hn::And(bytes, hn::Set(DI(), 15)));
    const auto high = hn::ConvertTo(D(), hn::ShiftRight<4>(bytes));
    part_store(part_add(part_mul(low, d), m), out + i);
    part_store(part_add(part_mul(high, d), m), out + 16 + i);
  }
}

#else

inline void dequantize_q8_0(const uint8_t* block, float* out) {
  const float d = half_to_float(block);
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(static_cast<int8_t>(block[2 + i])) * d;
}

inline void dequantize_q4_1(const uint8_t* block, float* out) {
  const float d = half_to_float(block), m = half_to_float(block + 2);
  for (int i = 0; i < 16; ++i) {
    out[i] = static_cast<float>(block[4 + i] & 15) * d + m;
    out[16 + i] = static_cast<float>(block[4 + i] >> 4) * d + m;
  }
}

#endif

inline void dequantize(DType dtype, const uint8_t* row, int64_t count, float* out) {
  switch (dtype) {
    case DType::kF32:
      std::memcpy(out, row, static_cast<size_t>(count) * 4);
      return;
    case DType::kBF16:
      for (int64_t i = 0; i < count; ++i) {
        uint16_t bits;
        std::memcpy(&bits, row + 2 * i, 2);
        out[i] = std::bit_cast<float>(uint32_t{bits} << 16);
      }
      return;
    case DType::kF16:
      for (int64_t i = 0; i < count; ++i) out[i] = half_to_float(row + 2 * i);
      return;
    case DType::kQ8_0:
      for (int64_t i = 0; i < count; i += 32, row += 34) dequantize_q8_0(row, out + i);
      return;
    case DType::kQ4_1:
      for (int64_t i = 0; i < count; i += 32, row += 20) dequantize_q4_1(row, out + i);
      return;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace assay
HWY_AFTER_NAMESPACE();

#endif
