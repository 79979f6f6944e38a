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
#undef ASSAY_BYTE_PRODUCTS
#if HWY_TARGET <= HWY_AVX3_DL
#define ASSAY_BYTE_PRODUCTS 1
constexpr bool kByteForm = true;
#else
constexpr bool kByteForm = false;
#endif
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
HWY_INLINE void part_store(Part value, float* at) { hn::StoreU(value, D(), at); }
HWY_INLINE void part_store_n(Part value, float* at, int64_t count) {
  if (count >= kPartLanes) {
    part_store(value, at);
  } else if (count > 0) {
    hn::BlendedStore(value, hn::FirstN(D(), static_cast<size_t>(count)), D(), at);
  }
}
HWY_INLINE Part part_fma(Part a, Part b, Part c) { return hn::MulAdd(a, b, c); }
// sum + a · b, written out for the inner loops: GCC spills their sums and loads operands again.
HWY_INLINE Part part_fma_onto(Part sum, Part a, Part b) {
  asm("vfmadd231ps %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
  return sum;
}
HWY_INLINE Part part_add(Part a, Part b) { return hn::Add(a, b); }
HWY_INLINE Part part_sub(Part a, Part b) { return hn::Sub(a, b); }
HWY_INLINE Part part_mul(Part a, Part b) { return hn::Mul(a, b); }
HWY_INLINE Part part_div(Part a, Part b) { return hn::Div(a, b); }
HWY_INLINE Part part_sqrt(Part a) { return hn::Sqrt(a); }
// a > b ? a : b, which is b where one of them is not a number; x86's own maximum and minimum are.
HWY_INLINE Part part_max(Part a, Part b) { return hn::Max(a, b); }
HWY_INLINE Part part_min(Part a, Part b) { return hn::Min(a, b); }
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

// Whole numbers: pairs of int16 that multiply into the 32-bit lane of a Part.
using D16 = hn::RepartitionToNarrow<DI>;
using PartI = hn::Vec<DI>;
using Part16 = hn::Vec<D16>;
constexpr int kLanes16 = 2 * kPartLanes;

HWY_INLINE PartI int_zero() { return hn::Zero(DI()); }
HWY_INLINE PartI int_add(PartI a, PartI b) { return hn::Add(a, b); }
HWY_INLINE int int_sum(PartI a) { return hn::GetLane(hn::SumOfLanes(DI(), a)); }
HWY_INLINE Part int_to_float(PartI a) { return hn::ConvertTo(D(), a); }
HWY_INLINE PartI words_load(const int32_t* at) { return hn::LoadU(DI(), at); }
HWY_INLINE PartI words_and(PartI a, int32_t bits) { return hn::And(a, hn::Set(DI(), bits)); }
HWY_INLINE PartI words_or(PartI a, PartI b) { return hn::Or(a, b); }
// To the left, or, with a negative count, to the right, where the sign comes in.
template <int kLeft>
HWY_INLINE PartI words_shift(PartI a) {
  if constexpr (kLeft >= 0) {
    return hn::ShiftLeft<kLeft>(a);
  } else {
    return hn::ShiftRight<-kLeft>(a);
  }
}
HWY_INLINE Part words_as_floats(PartI a) { return hn::BitCast(D(), a); }
HWY_INLINE Part16 pairs_load(const int16_t* at) { return hn::LoadU(D16(), at); }
// The first or the second numbers of pairs.
HWY_INLINE Part pairs_side(Part16 pairs, int side) {
  const auto at_top = hn::ShiftLeftSame(hn::BitCast(DI(), pairs), side == 0 ? 16 : 0);
  return hn::ConvertTo(D(), hn::ShiftRight<16>(at_top));
}
// The pair at `at` in every lane.
HWY_INLINE Part16 pairs_set(const int16_t* at) {
  int32_t pair;
  __builtin_memcpy(&pair, at, sizeof(pair));
  return hn::BitCast(D16(), hn::Set(DI(), pair));
}
// sums + a0 · b0 + a1 · b1 of each pair, exact
HWY_INLINE PartI dot_pairs(PartI sums, Part16 a, Part16 b) {
#if HWY_TARGET <= HWY_AVX3
  return hn::Add(sums, PartI{_mm512_madd_epi16(a.raw, b.raw)});
#else
  // Written out for the same reason as part_fma_onto.
  __m256i products;
  asm("vpmaddwd %2, %3, %1\n\tvpaddd %1, %0, %0"
      : "+x"(sums.raw), "=&x"(products)
      : "x"(a.raw), "x"(b.raw));
  return sums;
#endif
}
#ifdef ASSAY_BYTE_PRODUCTS
// Four unsigned bytes of w times four signed bytes, the same in all lanes, added to each sum.
// Written out because Highway's AVX3_DL does not tell the compiler that there is VNNI.
HWY_INLINE PartI dot_quads(PartI sums, PartI w, PartI a) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sums.raw) : "v"(w.raw), "v"(a.raw));
  return sums;
}
// Two int16 of w times two of a.
HWY_INLINE PartI dot_word_pairs(PartI sums, PartI w, PartI a) {
  asm("vpdpwssd %2, %1, %0" : "+v"(sums.raw) : "v"(w.raw), "v"(a.raw));
  return sums;
}
HWY_INLINE PartI quads_load(const uint8_t* at) {
  return hn::LoadU(DI(), reinterpret_cast<const int32_t*>(at));
}
HWY_INLINE PartI quads_set(const int8_t* at) {
  int32_t quad;
  __builtin_memcpy(&quad, at, sizeof(quad));
  return hn::Set(DI(), quad);
}
HWY_INLINE PartI int_set(int32_t value) { return hn::Set(DI(), value); }
HWY_INLINE PartI int_times_256(PartI a) { return hn::ShiftLeft<8>(a); }
// The low bytes of a, and the high ones so that a = 256 · high + low.
HWY_INLINE void store_bytes(PartI a, int8_t* high, int8_t* low) {
  const auto store = [](PartI value, int8_t* at) HWY_ATTR {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(at), _mm512_cvtepi32_epi8(value.raw));
  };
  store(a, low);
  store(hn::ShiftRight<8>(hn::Add(a, hn::Set(DI(), 128))), high);
}
#endif
// The nearest whole number (half to even) of a value that int32 holds.
HWY_INLINE PartI rounded(Part value) {
#if HWY_TARGET <= HWY_AVX3
  return PartI{_mm512_cvtps_epi32(value.raw)};
#else
  return PartI{_mm256_cvtps_epi32(value.raw)};
#endif
}
HWY_INLINE void store_int16(PartI a, int16_t* at) {
  const hn::Rebind<int16_t, D> narrow;
  hn::StoreU(hn::DemoteTo(narrow, a), narrow, at);
}
// The bits of a mask, lane 0 in bit 0.
template <typename Mask>
HWY_INLINE uint32_t mask_bits(const Mask& mask) {
#if HWY_TARGET <= HWY_AVX3
  return mask.raw;
#else
  return static_cast<uint32_t>(_mm256_movemask_ps(mask.raw));
#endif
}
// Bit i: |x[i]| ≥ limit; x is 32 values.
template <int kCount>
HWY_INLINE uint32_t large_bits(const Part (&x)[kCount], float limit) {
  uint32_t bits = 0;
  for (int i = 0; i < kCount; ++i) {
    bits |= mask_bits(hn::Ge(hn::Abs(x[i]), hn::Set(D(), limit))) << (i * kPartLanes);
  }
  return bits;
}
// The largest and the second largest of pairs of these.
template <typename V>
struct TopTwo {
  V first, second;
  HWY_INLINE TopTwo with(const TopTwo& other) const {
    return {hn::Max(first, other.first),
            hn::Max(hn::Max(second, other.second), hn::Min(first, other.first))};
  }
};
// The two largest magnitudes, compared as their bits: what is not finite is larger than the rest.
template <int kCount>
HWY_INLINE void largest_two(const Part (&x)[kCount], float* first, float* second) {
  const auto bits = [](Part value) HWY_ATTR { return hn::BitCast(DI(), hn::Abs(value)); };
  TopTwo<PartI> top = {hn::Max(bits(x[0]), bits(x[1])), hn::Min(bits(x[0]), bits(x[1]))};
  for (int i = 2; i < kCount; ++i) top = top.with({bits(x[i]), int_zero()});
  const hn::FixedTag<int32_t, 8> d8;
  const hn::FixedTag<int32_t, 4> d4;
#if HWY_TARGET <= HWY_AVX3
  const TopTwo<hn::Vec<decltype(d8)>> upper8 = {hn::UpperHalf(d8, top.first),
                                                hn::UpperHalf(d8, top.second)};
  const auto top8 =
      TopTwo<hn::Vec<decltype(d8)>>{hn::LowerHalf(d8, top.first), hn::LowerHalf(d8, top.second)}
          .with(upper8);
#else
  const auto& top8 = top;
#endif
  using Top4 = TopTwo<hn::Vec<decltype(d4)>>;
  Top4 top4 = {hn::LowerHalf(d4, top8.first), hn::LowerHalf(d4, top8.second)};
  top4 = top4.with({hn::UpperHalf(d4, top8.first), hn::UpperHalf(d4, top8.second)});
  top4 = top4.with({hn::Shuffle1032(top4.first), hn::Shuffle1032(top4.second)});
  top4 = top4.with({hn::Shuffle2301(top4.first), hn::Shuffle2301(top4.second)});
  *first = std::bit_cast<float>(hn::GetLane(top4.first));
  *second = std::bit_cast<float>(hn::GetLane(top4.second));
}
// Sums of the first and of the second half of x.
template <int kCount>
HWY_INLINE void half_sums(const PartI (&x)[kCount], int32_t* sums) {
#if HWY_TARGET <= HWY_AVX3
  const DI d;
  static_assert(kCount == 2);
  const auto both =
      hn::Add(hn::ConcatLowerLower(d, x[1], x[0]), hn::ConcatUpperUpper(d, x[1], x[0]));
  const hn::Half<DI> d8;
  const hn::Half<hn::Half<DI>> d4;
  const auto a = hn::LowerHalf(d8, both), b = hn::UpperHalf(d8, both);
  auto pairs = hn::Add(hn::ConcatLowerLower(d8, b, a), hn::ConcatUpperUpper(d8, b, a));
  pairs = hn::Add(pairs, hn::Shuffle1032(pairs));
  pairs = hn::Add(pairs, hn::Shuffle2301(pairs));
  sums[0] = hn::GetLane(pairs);
  sums[1] = hn::GetLane(hn::UpperHalf(d4, pairs));
#else
  for (int half = 0; half < 2; ++half) {
    PartI total = int_zero();
    for (int i = 0; i < kCount / 2; ++i) total = int_add(total, x[half * kCount / 2 + i]);
    sums[half] = int_sum(total);
  }
#endif
}
HWY_INLINE Part part_below(Part a, float limit) {  // 0 unless |a| < limit
  return hn::IfThenElseZero(hn::Lt(hn::Abs(a), hn::Set(D(), limit)), a);
}
HWY_INLINE Part part_if_less(Part a, Part b, Part yes, Part no) {  // no where a or b is NaN
  return hn::IfThenElse(hn::Lt(a, b), yes, no);
}
HWY_INLINE Part part_abs(Part a) { return hn::Abs(a); }
HWY_INLINE float part_max_lane(Part a) { return hn::GetLane(hn::MaxOfLanes(D(), a)); }
HWY_INLINE bool part_all_zero(Part a) { return hn::AllTrue(D(), hn::Eq(a, part_zero())); }

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
inline void part_store(Part value, float* at) { *at = value; }
inline void part_store_n(Part value, float* at, int64_t count) {
  if (count > 0) *at = value;
}
inline Part part_fma(Part a, Part b, Part c) { return std::fma(a, b, c); }
inline Part part_fma_onto(Part sum, Part a, Part b) { return std::fma(a, b, sum); }
inline Part part_add(Part a, Part b) { return a + b; }
inline Part part_sub(Part a, Part b) { return a - b; }
inline Part part_mul(Part a, Part b) { return a * b; }
inline Part part_div(Part a, Part b) { return a / b; }
inline Part part_sqrt(Part a) { return std::sqrt(a); }
inline Part part_max(Part a, Part b) { return a > b ? a : b; }
inline Part part_min(Part a, Part b) { return a < b ? a : b; }
inline Part part_round(Part a) { return std::nearbyint(a); }
inline Part part_exp2_whole(Part n) {
  return std::bit_cast<float>(static_cast<uint32_t>(static_cast<int32_t>(n) + 127) << 23);
}
inline Part part_zero_below(Part value, Part x, float limit) { return x < limit ? 0 : value; }
inline Part part_keep_nan(Part value, Part x) { return x == x ? value : x; }

using PartI = int32_t;
struct Part16 {
  int16_t first, second;
};
constexpr int kLanes16 = 2;

inline PartI int_zero() { return 0; }
inline PartI int_add(PartI a, PartI b) { return a + b; }
inline int int_sum(PartI a) { return a; }
inline Part int_to_float(PartI a) { return static_cast<float>(a); }
inline PartI words_load(const int32_t* at) { return *at; }
inline PartI words_and(PartI a, int32_t bits) { return a & bits; }
inline PartI words_or(PartI a, PartI b) { return a | b; }
template <int kLeft>
inline PartI words_shift(PartI a) {
  if constexpr (kLeft >= 0) {
    return static_cast<int32_t>(static_cast<uint32_t>(a) << kLeft);
  } else {
    return a >> -kLeft;
  }
}
inline Part words_as_floats(PartI a) { return std::bit_cast<float>(a); }
inline Part16 pairs_load(const int16_t* at) { return {at[0], at[1]}; }
inline Part pairs_side(Part16 pairs, int side) {
  return static_cast<float>(side == 0 ? pairs.first : pairs.second);
}
inline Part16 pairs_set(const int16_t* at) { return {at[0], at[1]}; }
inline PartI dot_pairs(PartI sums, Part16 a, Part16 b) {
  return sums + a.first * b.first + a.second * b.second;
}
inline PartI rounded(Part value) { return static_cast<PartI>(std::nearbyint(value)); }
inline void store_int16(PartI a, int16_t* at) { *at = static_cast<int16_t>(a); }
template <int kCount>
inline uint32_t large_bits(const Part (&x)[kCount], float limit) {
  uint32_t bits = 0;
  for (int i = 0; i < kCount; ++i) bits |= (std::abs(x[i]) >= limit ? 1u : 0u) << i;
  return bits;
}
template <int kCount>
inline void largest_two(const Part (&x)[kCount], float* first, float* second) {
  int32_t most = 0, next = 0;
  for (const Part value : x) {
    const auto bits = std::bit_cast<int32_t>(std::abs(value));
    next = std::max(next, std::min(most, bits));
    most = std::max(most, bits);
  }
  *first = std::bit_cast<float>(most);
  *second = std::bit_cast<float>(next);
}
template <int kCount>
inline void half_sums(const PartI (&x)[kCount], int32_t* sums) {
  sums[0] = sums[1] = 0;
  for (int i = 0; i < kCount; ++i) sums[2 * i / kCount] += x[i];
}
inline Part part_below(Part a, float limit) { return std::abs(a) < limit ? a : 0; }
inline Part part_if_less(Part a, Part b, Part yes, Part no) { return a < b ? yes : no; }
inline Part part_abs(Part a) { return std::abs(a); }
inline float part_max_lane(Part a) { return a; }
inline bool part_all_zero(Part a) { return a == 0; }

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

HWY_INLINE void prefetch(const void* at) { __builtin_prefetch(at, 0, 2); }
HWY_INLINE void prefetch_near(const void* at) { __builtin_prefetch(at, 0, 3); }

// Asks for a line that other cores have read, to write it: what one core computes is read by all,
// and a store that must wait for them all to let go holds up those behind it.
HWY_INLINE void prefetch_to_write(const void* at) {
#if defined(__x86_64__)
  asm("prefetchw %0" : : "m"(*static_cast<const char*>(at)));
#else
  __builtin_prefetch(at, 1, 3);
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace assay
HWY_AFTER_NAMESPACE();

#endif
