// The language that kernels are written in: CUDA C++, with these wrappers in place of PTX and of
// raw pointers. nvcc builds a kernel for the GPU, the compiler of the host builds the same source
// for the emulator (simt/). What this header declares is in the namespace of the build that
// includes it, so that both are linked into one program.
//
//   Global<T>, Shared<T>       T* into global and shared memory; the emulator checks each access
//   ASSAY_SHARED(T, name, n)   __shared__ T name[n]
//   ASSAY_DYNAMIC_SHARED(T)    the launch's dynamic shared memory, a Shared<T>
//   ASSAY_UNROLL               before a loop whose arrays must be in registers
//   ASSAY_LAUNCH(kernel, grid, size, shared_bytes, stream, arguments...)
#pragma once

#include <cstdint>

#if defined(__CUDACC__)

#include <cuda_runtime.h>

#define ASSAY_KERNELS gpu
#define ASSAY_UNROLL _Pragma("unroll")
#define ASSAY_SHARED(T, name, count) __shared__ __align__(16) T name[count]
#define ASSAY_DYNAMIC_SHARED(T) (reinterpret_cast<T*>(::assay::gpu::dynamic_shared_bytes()))
#define ASSAY_LAUNCH(kernel, grid, size, shared_bytes, stream, ...)                 \
  (::assay::gpu::allow_shared(reinterpret_cast<const void*>(kernel), shared_bytes), \
   kernel<<<(grid), (size), (shared_bytes), static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__))

namespace assay::gpu {

template <typename T>
using Global = T*;
template <typename T>
using Shared = T*;

__device__ inline unsigned char* dynamic_shared_bytes() {
  extern __shared__ __align__(16) unsigned char assay_dynamic_shared[];
  return assay_dynamic_shared;
}

// Over 48 KiB a kernel must be told before its first launch.
inline void allow_shared(const void* kernel, size_t bytes) {
  if (bytes > 48 * 1024) {
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         static_cast<int>(bytes));
  }
}

template <typename V, typename T>
__device__ inline V load_as(const T* at) {
  return *reinterpret_cast<const V*>(at);
}
// Through the read-only cache: nobody writes there during the launch.
template <typename V, typename T>
__device__ inline V load_constant(const T* at) {
  return __ldg(reinterpret_cast<const V*>(at));
}
template <typename V, typename T>
__device__ inline void store_as(T* at, V value) {
  *reinterpret_cast<V*>(at) = value;
}

// cp.async of 16 bytes; zeros if not `valid` (nothing is read then).
template <typename T, typename U>
__device__ inline void copy_async_16(T* to, const U* from, bool valid = true) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from),
               "r"(valid ? 16 : 0)
               : "memory");
}
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until all but the last kLeft groups of this thread's copies are there.
template <int kLeft>
__device__ inline void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

// Asks the L2 cache for the line of an address.
template <typename T>
__device__ inline void prefetch_l2(const T* at) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(at));
}

// ldmatrix.x4: lane 8 i + r gives the address of row r (8 16-bit values) of matrix i.
template <typename T>
__device__ inline void load_matrices_4(uint32_t (&out)[4], const T* row) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(address)
               : "memory");
}
template <typename T>
__device__ inline void load_matrices_4_transposed(uint32_t (&out)[4], const T* row) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(address)
               : "memory");
}

// d += A · B, mma.m16n8k16 of bf16 with f32 sums.
__device__ inline void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
      "{%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// The same of fp16; and m16n8k32 of 8-bit whole numbers with exact 32-bit sums.
__device__ inline void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
      "{%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ inline void mma_s8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
      "{%8,%9}, {%0,%1,%2,%3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Rounds both to bf16, to the nearest, half to even; `low` is in the low 16 bits.
__device__ inline uint32_t pack_bf16(float low, float high) {
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}
// a + b of two pairs of bf16, where the sums are exact.
__device__ inline uint32_t add_bf16x2(uint32_t a, uint32_t b) {
  uint32_t sum;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(sum) : "r"(a), "r"(0x3F803F80u), "r"(b));
  return sum;
}
__device__ inline float half_bits_to_float(uint16_t bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}
__device__ inline uint16_t float_to_half_bits(float value) {
  uint16_t bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}

}  // namespace assay::gpu

#else  // the emulator

#include <atomic>
#include <bit>
#include <cmath>

#include "engine/cuda/simt/simt.h"
#include "engine/half.h"

#define ASSAY_KERNELS emulated
#define ASSAY_UNROLL
#define __global__ static
#define __device__
#define __launch_bounds__(...)
#define threadIdx (::assay::simt::block().thread->index)
#define blockIdx (::assay::simt::block().index)
#define blockDim (::assay::simt::block().size)
#define gridDim (::assay::simt::block().grid)
#define ASSAY_SHARED(T, name, count) \
  static const char name##_id = 0;   \
  const ::assay::simt::Shared<T> name = ::assay::simt::shared_variable<T>(&name##_id, count)
#define ASSAY_DYNAMIC_SHARED(T) (::assay::simt::dynamic_shared<T>())
#define ASSAY_LAUNCH(kernel, grid, size, shared_bytes, stream, ...) \
  ((void)(stream), ::assay::simt::launch(#kernel, grid, size, shared_bytes, kernel, __VA_ARGS__))

namespace assay::emulated {

using simt::Global, simt::Shared, simt::Where;
using dim3 = simt::Dim3;

struct alignas(8) uint2 {
  uint32_t x, y;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

inline void __syncthreads(Where at = Where::current()) {
  simt::block().barrier(0, "__syncthreads", at);
}
inline int __syncthreads_count(int value, Where at = Where::current()) {
  return simt::block().barrier(value, "__syncthreads_count", at);
}
inline int __syncthreads_or(int value, Where at = Where::current()) {
  return simt::block().barrier(value, "__syncthreads_or", at) > 0 ? 1 : 0;
}
inline int __syncthreads_and(int value, Where at = Where::current()) {
  const auto all = static_cast<int>(simt::block().size.count());
  return simt::block().barrier(value, "__syncthreads_and", at) == all ? 1 : 0;
}
inline void __syncwarp(uint32_t mask = ~0u, Where at = Where::current()) {
  simt::block().warp_sync(mask, at);
}
template <typename T>
T __shfl_sync(uint32_t mask, T value, int lane, Where at = Where::current()) {
  return simt::from_lane(mask, "__shfl_sync", value, lane, at);
}
template <typename T>
T __shfl_xor_sync(uint32_t mask, T value, int bits, Where at = Where::current()) {
  return simt::from_lane(mask, "__shfl_xor_sync", value, simt::block().thread->lane ^ bits, at);
}
// Lanes without one below or above keep their own.
template <typename T>
T __shfl_up_sync(uint32_t mask, T value, int by, Where at = Where::current()) {
  const int lane = simt::block().thread->lane;
  return simt::from_lane(mask, "__shfl_up_sync", value, lane < by ? lane : lane - by, at);
}
template <typename T>
T __shfl_down_sync(uint32_t mask, T value, int by, Where at = Where::current()) {
  const int lane = simt::block().thread->lane;
  return simt::from_lane(mask, "__shfl_down_sync", value, lane + by > 31 ? lane : lane + by, at);
}
inline uint32_t __ballot_sync(uint32_t mask, int value, Where at = Where::current()) {
  return simt::over_warp<int, uint32_t>(
      mask, "__ballot_sync", value,
      [](const int* values, uint32_t lanes, int) {
        uint32_t votes = 0;
        for (int i = 0; i < 32; ++i) votes |= (lanes >> i & 1) && values[i] != 0 ? 1u << i : 0;
        return votes;
      },
      at);
}
inline int __any_sync(uint32_t mask, int value, Where at = Where::current()) {
  return __ballot_sync(mask, value, at) != 0 ? 1 : 0;
}
inline int __all_sync(uint32_t mask, int value, Where at = Where::current()) {
  return __ballot_sync(mask, value, at) == mask ? 1 : 0;
}
template <typename T>
uint32_t __match_any_sync(uint32_t mask, T value, Where at = Where::current()) {
  return simt::over_warp<T, uint32_t>(
      mask, "__match_any_sync", value,
      [](const T* values, uint32_t lanes, int own) {
        uint32_t equal = 0;
        for (int i = 0; i < 32; ++i) {
          equal |= (lanes >> i & 1) && values[i] == values[own] ? 1u << i : 0;
        }
        return equal;
      },
      at);
}
inline uint32_t __reduce_add_sync(uint32_t mask, uint32_t value, Where at = Where::current()) {
  return simt::over_warp<uint32_t, uint32_t>(
      mask, "__reduce_add_sync", value,
      [](const uint32_t* values, uint32_t lanes, int) {
        uint32_t sum = 0;
        for (int i = 0; i < 32; ++i) sum += (lanes >> i & 1) != 0 ? values[i] : 0;
        return sum;
      },
      at);
}
template <typename T>
T atomicAdd(T* at, T value) {
  return std::atomic_ref<T>(*at).fetch_add(value);
}
template <typename T>
T atomicMax(T* at, T value) {
  std::atomic_ref<T> target(*at);
  T old = target.load();
  while (old < value && !target.compare_exchange_weak(old, value)) {
  }
  return old;
}

template <typename V, typename T>
V load_as(const Global<T>& at, Where where = Where::current()) {
  return at.template load<V>(where);
}
template <typename V, typename T>
V load_as(const Shared<T>& at, Where where = Where::current()) {
  return at.template load<V>(where);
}
template <typename V, typename T>
V load_constant(const Global<T>& at, Where where = Where::current()) {
  return at.template load<V>(where);
}
template <typename V, typename T>
void store_as(const Global<T>& at, V value, Where where = Where::current()) {
  at.store(value, where);
}
template <typename V, typename T>
void store_as(const Shared<T>& at, V value, Where where = Where::current()) {
  at.store(value, where);
}
template <typename T, typename U>
void copy_async_16(const Shared<T>& to, const Global<U>& from, bool valid = true,
                   Where where = Where::current()) {
  to.checked(to.offset(), 16, where);
  uint4 data{};
  if (valid) data = from.template load<uint4>(where);
  simt::async_copy(to.offset(), &data, 16, where);
}
inline void commit_copies() { ++simt::block().thread->copy_group; }
template <int kLeft>
void wait_copies(Where where = Where::current()) {
  simt::block().finish_copies(kLeft, where);
}
template <typename T>
void load_matrices_4(uint32_t (&out)[4], const Shared<T>& row, Where where = Where::current()) {
  simt::load_matrices<4, false>(out, row.template as<const uint16_t>(), where);
}
template <typename T>
void load_matrices_4_transposed(uint32_t (&out)[4], const Shared<T>& row,
                                Where where = Where::current()) {
  simt::load_matrices<4, true>(out, row.template as<const uint16_t>(), where);
}
inline void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                     Where where = Where::current()) {
  simt::mma<simt::apply_mma<simt::widen_bf16>>(d, a, b, where);
}
inline void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                    Where where = Where::current()) {
  simt::mma<simt::apply_mma<half_to_float>>(d, a, b, where);
}
inline void mma_s8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                   Where where = Where::current()) {
  simt::mma<simt::apply_mma_s8>(d, a, b, where);
}
template <typename T>
void prefetch_l2(const Global<T>& at, Where where = Where::current()) {
  at.template load<uint8_t>(where);
}
inline uint32_t add_bf16x2(uint32_t a, uint32_t b) {
  const auto widen = [](uint32_t bits) { return std::bit_cast<float>(bits); };
  return float_to_bf16(widen(a << 16) + widen(b << 16)) |
         uint32_t{float_to_bf16(widen(a & 0xFFFF0000u) + widen(b & 0xFFFF0000u))} << 16;
}
inline uint32_t pack_bf16(float low, float high) {
  return float_to_bf16(low) | uint32_t{float_to_bf16(high)} << 16;
}
inline float half_bits_to_float(uint16_t bits) { return half_to_float(bits); }
inline uint16_t float_to_half_bits(float value) { return float_to_half(value); }

inline int __popc(uint32_t value) { return std::popcount(value); }
inline int __clz(int value) { return std::countl_zero(static_cast<uint32_t>(value)); }
inline uint32_t __float_as_uint(float value) { return std::bit_cast<uint32_t>(value); }
inline float __uint_as_float(uint32_t bits) { return std::bit_cast<float>(bits); }

}  // namespace assay::emulated

#endif

namespace assay::ASSAY_KERNELS {

// The bf16 values in the halves of a word.
__device__ inline float low_bf16(uint32_t pair) { return __uint_as_float(pair << 16); }
__device__ inline float high_bf16(uint32_t pair) { return __uint_as_float(pair & 0xFFFF0000u); }

// FP8 E4M3 (Micikevicius et al., "FP8 Formats for Deep Learning", 2022): rounded to the nearest,
// half to even, saturated at 448, as cvt.rn.satfinite.e4m3x2, which sm_80 lacks.
__device__ inline uint8_t float_to_e4m3(float value) {
  const uint32_t bits = __float_as_uint(value), sign = bits >> 24 & 0x80;
  const float magnitude = __uint_as_float(bits & 0x7FFFFFFFu);
  if (!(magnitude < 448.0f)) {
    return static_cast<uint8_t>(sign | (magnitude == magnitude ? 0x7E : 0x7F));
  }
  // Below 2^-6 all are multiples of 2^-9: the sum with 2^14 rounds to one.
  if (magnitude < 0.015625f) {
    return static_cast<uint8_t>(sign | (__float_as_uint(magnitude + 16384.0f) - 0x46800000u));
  }
  const uint32_t whole = bits & 0x7FFFFFFFu, rounded = whole + 0x7FFFFu + (whole >> 20 & 1u);
  return static_cast<uint8_t>(sign | (rounded - 0x3C000000u) >> 20);
}
__device__ inline float e4m3_to_float(uint8_t code) {
  const uint32_t sign = (code & 0x80u) << 24, exponent = code >> 3 & 15u, mantissa = code & 7u;
  if ((code & 0x7Fu) == 0x7Fu) return __uint_as_float(0x7FC00000u | sign);
  if (exponent != 0) return __uint_as_float(sign | (exponent + 120u) << 23 | mantissa << 20);
  const float tiny = static_cast<float>(mantissa) * 0.001953125f;
  return sign != 0 ? -tiny : tiny;
}

// exp(x) to 2 ulp, 0 below the normal floats; NaN stays NaN. The same operations, so the same bits,
// as the CPU device's exp.
__device__ inline float exp_f32(float x) {
  const float clamped = fminf(fmaxf(x, -87.33654f), 88.3762626647949f);
  const float n = rintf(clamped * 1.44269504088896341f);
  float r = fmaf(n, -0.693359375f, clamped);
  r = fmaf(n, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = fmaf(p, r, 1.3981999507e-3f);
  p = fmaf(p, r, 8.3334519073e-3f);
  p = fmaf(p, r, 4.1665795894e-2f);
  p = fmaf(p, r, 1.6666665459e-1f);
  p = fmaf(p, r, 5.0000001201e-1f);
  p = fmaf(r * r, p, r) + 1.0f;
  const float scale = __uint_as_float(static_cast<uint32_t>(static_cast<int>(n) + 127) << 23);
  if (x != x) return x;
  return x < -87.33654f ? 0.0f : p * scale;
}

// The sum of 16 lanes' values (lane = i mod 16), in the fixed tree of the CPU device's kernels: i
// with i + 8, i + 4, i + 2, i + 1. Every lane gets it.
__device__ inline float sum_16_lanes(float value) {
  for (int apart = 8; apart > 0; apart /= 2) value += __shfl_xor_sync(~0u, value, apart);
  return value;
}

}  // namespace assay::ASSAY_KERNELS
