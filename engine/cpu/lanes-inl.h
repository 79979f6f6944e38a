// Sixteen virtual lanes on whatever registers the target has; included once for each target by
// kernels.cc. A target without fused multiply-add gets scalar code with std::fma, which rounds
// the same way.
#if defined(ASSAY_ENGINE_CPU_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ASSAY_ENGINE_CPU_LANES_INL_H_
#undef ASSAY_ENGINE_CPU_LANES_INL_H_
#else
#define ASSAY_ENGINE_CPU_LANES_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace assay {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr int kLanes = 16;

#undef ASSAY_VECTOR_LANES
#if HWY_TARGET <= HWY_AVX2
#define ASSAY_VECTOR_LANES 1

using D = hn::CappedTag<float, kLanes>;
using DI = hn::RebindToSigned<D>;
using Part = hn::Vec<D>;
constexpr int kPartLanes = static_cast<int>(hn::MaxLanes(D()));
constexpr int kParts = kLanes / kPartLanes;

HWY_INLINE Part part_zero() { return hn::Zero(D()); }
HWY_INLINE Part part_set(float value) { return hn::Set(D(), value); }
HWY_INLINE Part part_load(const float* at) { return hn::LoadU(D(), at); }
// The first `count` lanes from memory, zero in the rest; count may be ≤ 0 or ≥ kPartLanes.
HWY_INLINE Part part_load_n(const float* at, int64_t count) {
  if (count <= 0) return part_zero();
  if (count >= kPartLanes) return part_load(at);
  return hn::MaskedLoad(hn::FirstN(D(), static_cast<size_t>(count)), D(), at);
}
// Holds a loaded value in its register; GCC would load it again for every use.
HWY_INLINE void part_keep(Part& value) { asm("" : "+v"(value.raw)); }
HWY_INLINE void part_store(Part value, float* at) { hn::StoreU(value, D(), at); }
HWY_INLINE void part_store_n(Part value, float* at, int64_t count) {
  if (count >= kPartLanes) {
    part_store(value, at);
  } else if (count > 0) {
    hn::BlendedStore(value, hn::FirstN(D(), static_cast<size_t>(count)), D(), at);
  }
}
HWY_INLINE Part part_fma(Part a, Part b, Part c) { return hn::MulAdd(a, b, c); }
HWY_INLINE Part part_add(Part a, Part b) { return hn::Add(a, b); }
HWY_INLINE Part part_sub(Part a, Part b) { return hn::Sub(a, b); }
HWY_INLINE Part part_mul(Part a, Part b) { return hn::Mul(a, b); }
HWY_INLINE Part part_div(Part a, Part b) { return hn::Div(a, b); }
HWY_INLINE Part part_max(Part a, Part b) { return hn::IfThenElse(hn::Gt(a, b), a, b); }
HWY_INLINE Part part_min(Part a, Part b) { return hn::IfThenElse(hn::Lt(a, b), a, b); }
HWY_INLINE Part part_round(Part a) { return hn::Round(a); }
// 2^n for whole n in [-126, 127]
HWY_INLINE Part part_exp2_whole(Part n) {
  const auto bits = hn::Add(hn::ConvertTo(DI(), n), hn::Set(DI(), 127));
  return hn::BitCast(D(), hn::ShiftLeft<23>(bits));
}
HWY_INLINE Part part_zero_below(Part value, Part x, float limit) {
  return hn::IfThenElse(hn::Lt(x, part_set(limit)), part_zero(), value);
}

// `value`, or x where x is not a number
HWY_INLINE Part part_keep_nan(Part value, Part x) { return hn::IfThenElse(hn::Eq(x, x), value, x); }

using D4 = hn::FixedTag<float, 4>;
using D8 = hn::FixedTag<float, 8>;

HWY_INLINE hn::Vec<D4> fold_to_4(const Part (&lanes)[kParts]) {
#if HWY_TARGET <= HWY_AVX3
  const auto v8 = hn::Add(hn::LowerHalf(D8(), lanes[0]), hn::UpperHalf(D8(), lanes[0]));
#else
  const auto v8 = hn::Add(lanes[0], lanes[1]);
#endif
  return hn::Add(hn::LowerHalf(D4(), v8), hn::UpperHalf(D4(), v8));
}

// The fixed tree for four sums at once.
HWY_INLINE void reduce_4(const Part (&a)[kParts], const Part (&b)[kParts], const Part (&c)[kParts],
                         const Part (&d)[kParts], float* out) {
  const auto a4 = fold_to_4(a), b4 = fold_to_4(b), c4 = fold_to_4(c), d4 = fold_to_4(d);
  const auto ab = hn::Add(hn::InterleaveLower(D4(), a4, b4), hn::InterleaveUpper(D4(), a4, b4));
  const auto cd = hn::Add(hn::InterleaveLower(D4(), c4, d4), hn::InterleaveUpper(D4(), c4, d4));
  hn::StoreU(hn::Add(hn::ConcatLowerLower(D4(), cd, ab), hn::ConcatUpperUpper(D4(), cd, ab)), D4(),
             out);
}

#else  // scalar, one float a part

using Part = float;
constexpr int kPartLanes = 1;
constexpr int kParts = kLanes;

inline Part part_zero() { return 0; }
inline Part part_set(float value) { return value; }
inline Part part_load(const float* at) { return *at; }
inline Part part_load_n(const float* at, int64_t count) { return count > 0 ? *at : 0; }
inline void part_keep(Part&) {}
inline void part_store(Part value, float* at) { *at = value; }
inline void part_store_n(Part value, float* at, int64_t count) {
  if (count > 0) *at = value;
}
inline Part part_fma(Part a, Part b, Part c) { return std::fma(a, b, c); }
inline Part part_add(Part a, Part b) { return a + b; }
inline Part part_sub(Part a, Part b) { return a - b; }
inline Part part_mul(Part a, Part b) { return a * b; }
inline Part part_div(Part a, Part b) { return a / b; }
inline Part part_max(Part a, Part b) { return a > b ? a : b; }
inline Part part_min(Part a, Part b) { return a < b ? a : b; }
inline Part part_round(Part a) { return std::nearbyint(a); }
inline Part part_exp2_whole(Part n) {
  return std::bit_cast<float>(static_cast<uint32_t>(static_cast<int32_t>(n) + 127) << 23);
}
inline Part part_zero_below(Part value, Part x, float limit) { return x < limit ? 0 : value; }
inline Part part_keep_nan(Part value, Part x) { return x == x ? value : x; }

inline float reduce_scalar(const Part (&v)[kParts]) {
  float s4[4];
  for (int i = 0; i < 4; ++i) s4[i] = (v[i] + v[i + 8]) + (v[i + 4] + v[i + 12]);
  return (s4[0] + s4[2]) + (s4[1] + s4[3]);
}
inline void reduce_4(const Part (&a)[kParts], const Part (&b)[kParts], const Part (&c)[kParts],
                     const Part (&d)[kParts], float* out) {
  out[0] = reduce_scalar(a);
  out[1] = reduce_scalar(b);
  out[2] = reduce_scalar(c);
  out[3] = reduce_scalar(d);
}

#endif

HWY_INLINE float reduce_1(const Part (&lanes)[kParts]) {
  float out[4];
  reduce_4(lanes, lanes, lanes, lanes, out);
  return out[0];
}

// exp(x); NaN stays NaN: Cody–Waite reduction and a minimax polynomial of degree 6 (Cephes expf).
HWY_INLINE Part part_exp(Part x) {
  constexpr float kLowest = -87.33654f;  // below it the result is not a normal float
  const Part clamped = part_min(part_max(x, part_set(kLowest)), part_set(88.3762626647949f));
  const Part n = part_round(part_mul(clamped, part_set(1.44269504088896341f)));
  Part r = part_fma(n, part_set(-0.693359375f), clamped);
  r = part_fma(n, part_set(2.12194440e-4f), r);
  Part p = part_set(1.9875691500e-4f);
  p = part_fma(p, r, part_set(1.3981999507e-3f));
  p = part_fma(p, r, part_set(8.3334519073e-3f));
  p = part_fma(p, r, part_set(4.1665795894e-2f));
  p = part_fma(p, r, part_set(1.6666665459e-1f));
  p = part_fma(p, r, part_set(5.0000001201e-1f));
  p = part_add(part_fma(part_mul(r, r), p, r), part_set(1.0f));
  return part_keep_nan(part_zero_below(part_mul(p, part_exp2_whole(n)), x, kLowest), x);
}

}  // namespace HWY_NAMESPACE
}  // namespace assay
HWY_AFTER_NAMESPACE();

#endif
